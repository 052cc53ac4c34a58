"""Which boot loader's configuration a node has. Pure.

The rule: Debian's GRUB where its configuration and its tool are on the node, unless there are boot entries and no menu
of GRUB's, which says that GRUB is installed and does not boot the node. Else boot entries, where there are any.
"""

from __future__ import annotations

from collections.abc import Collection
from enum import StrEnum

from nodeagent.machineconfig import bls, grub


class Loader(StrEnum):
    """The boot loader configurations that the agent can edit."""

    GRUB_DEBIAN = "Debian's GRUB"
    BLS = "Boot Loader Specification entries"


def choose(present: Collection[str]) -> Loader:
    """The configuration to edit on a node that has the paths `present`; ValueError, with what is missing, if none."""
    by_entries = bls.detect(present)
    if grub.detect(present) and (grub.MENU in present or not by_entries):
        return Loader.GRUB_DEBIAN
    if by_entries:
        return Loader.BLS
    raise ValueError(
        "the node has no boot loader configuration that can be edited here: neither Debian's GRUB "
        f"({grub.DEFAULTS} with {grub.UPDATE} or {grub.MKCONFIG}) nor boot entries ({bls.ENTRIES}/*.conf)"
    )
