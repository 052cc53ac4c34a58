"""Which boot loader's configuration is edited."""

from __future__ import annotations

import pytest

from nodeagent.machineconfig import bls, bootloader, grub
from nodeagent.machineconfig.bootloader import Loader

ENTRY = f"{bls.ENTRIES}/a.conf"


@pytest.mark.parametrize(
    ("present", "loader"),
    [
        ({grub.DEFAULTS, grub.UPDATE}, Loader.GRUB_DEBIAN),
        ({grub.DEFAULTS, grub.MKCONFIG, grub.MENU, ENTRY}, Loader.GRUB_DEBIAN),
        ({grub.DEFAULTS, grub.UPDATE, ENTRY}, Loader.BLS),
        ({grub.DEFAULTS, "/usr/sbin/grub2-mkconfig", ENTRY}, Loader.BLS),
        ({ENTRY}, Loader.BLS),
    ],
)
def test_the_loader_that_boots_the_node_is_chosen(present: set[str], loader: Loader) -> None:
    assert bootloader.choose(present) is loader


@pytest.mark.parametrize("present", [set(), {grub.DEFAULTS}, {grub.UPDATE}, {"/usr/sbin/grub2-mkconfig"}])
def test_any_other_is_refused_with_what_was_looked_for(present: set[str]) -> None:
    with pytest.raises(ValueError, match="no boot loader") as caught:
        bootloader.choose(present)
    for path in (grub.DEFAULTS, grub.UPDATE, grub.MKCONFIG, bls.ENTRIES):
        assert path in str(caught.value)
