"""The state that a rendered MachineConfig asks for, path by path, resolved against one node.

Resolving reads the node (accounts, unit files, files to append to) and changes nothing. It finds every reason why the
configuration cannot be had on this node, all at once, before a plan is made.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from nodeagent.changes.files import Actor
from nodeagent.machineconfig.applied import Account, Kernel, Subject, Unit
from nodeagent.observed.files import FileState


@dataclass(frozen=True, kw_only=True)
class _Declared:
    """`mode`, `uid` and `gid` are None where nothing is declared and what stands there may keep its own."""

    subject: Subject
    sources: tuple[str, ...] = ()
    mode: int | None = None
    uid: int | None = None
    gid: int | None = None
    unit: str = ""
    actor: Actor | None = None


@dataclass(frozen=True, kw_only=True)
class File(_Declared):
    """A regular file; `data` None means any contents, empty if it has to be created.

    With `overwrite` False something else that stands there is a conflict. `shared` files are those of which the agent
    owns only parts (authorized_keys, shadow, boot entries): they keep no original and are never removed.
    """

    data: bytes | None = field(repr=False)
    overwrite: bool = True
    shared: bool = False


@dataclass(frozen=True, kw_only=True)
class Directory(_Declared):
    """A directory; what stands in it is nobody's business."""


@dataclass(frozen=True, kw_only=True)
class Link(_Declared):
    """A symbolic link, or with `hard` a second name of a regular file."""

    target: str
    hard: bool = False
    linked: FileState | None = None
    overwrite: bool = True


@dataclass(frozen=True, kw_only=True)
class Absent(_Declared):
    """Nothing may stand at the path (an enablement link of a disabled unit)."""


Declared = File | Directory | Link | Absent


@dataclass(frozen=True)
class Desired:
    """Everything a node should have: by path, and by the parts that the agent owns of shared files.

    `boot_menu` is the command that writes the boot menu from its configuration files, () where none is needed, and
    `stale_menu` says that the menu is not what those files ask for.
    `unwanted` are paths that nobody declares and that have to go (a dropin that somebody added to a managed unit).
    """

    config: str
    paths: Mapping[str, Declared]
    units: Mapping[str, Unit]
    account: Account
    kernel: Kernel
    boot_menu: tuple[str, ...] = ()
    stale_menu: bool = False
    unwanted: tuple[str, ...] = ()
