"""What stands below a directory, as a value that two moments can be compared by.

Everything counts that a change may alter: type, mode, owner, bytes, link targets, the attributes that the agent
compares, and which paths are names of one inode. Times and inode numbers do not.
"""

from __future__ import annotations

import os
import stat
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from nodeagent.host.attributes import Attributes, compared


@dataclass(frozen=True)
class Item:
    """One path: `kind` is a letter of ls(1), `value` the bytes or the link target, `names` all paths of the inode."""

    kind: str
    mode: int
    uid: int
    gid: int
    value: bytes = b""
    xattrs: Attributes = ()
    names: tuple[str, ...] = ()


Snapshot = Mapping[str, Item]

_NONE: Attributes = ()

_LETTERS = {stat.S_IFREG: "-", stat.S_IFDIR: "d", stat.S_IFLNK: "l", stat.S_IFIFO: "p", stat.S_IFSOCK: "s"}


def walk(root: Path) -> Iterator[tuple[str, os.stat_result]]:
    """Every path below `root`, as seen from there, with its lstat(2)."""
    for directory, directories, files in os.walk(root):
        for name in (*directories, *files):
            path = os.path.join(directory, name)
            yield "/" + os.path.relpath(path, root), os.lstat(path)


def snapshot(root: Path) -> Snapshot:
    """Everything below `root`."""
    seen = dict(walk(root))
    names: dict[int, list[str]] = defaultdict(list)
    for path, found in sorted(seen.items()):
        if not stat.S_ISDIR(found.st_mode):
            names[found.st_ino].append(path)
    return {path: _item(root, path, found, tuple(names[found.st_ino])) for path, found in seen.items()}


def inodes(root: Path) -> Mapping[str, int]:
    """The inode number of every path below `root`."""
    return {path: found.st_ino for path, found in walk(root)}


def _item(root: Path, path: str, found: os.stat_result, names: tuple[str, ...]) -> Item:
    kind = _LETTERS.get(stat.S_IFMT(found.st_mode), "?")
    value, xattrs = b"", _NONE
    outside = os.path.join(root, path[1:])
    if kind == "l":
        value = os.fsencode(os.readlink(outside))
    elif kind in "-d":
        value, xattrs = _read(outside, kind)
    return Item(kind, stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid, value, xattrs, names)


def _read(path: str, kind: str) -> tuple[bytes, Attributes]:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        with open(descriptor, "rb", closefd=False) if kind == "-" else open(os.devnull, "rb") as file:
            return file.read(), compared(descriptor)
    finally:
        os.close(descriptor)


def difference(one: Snapshot, other: Snapshot) -> str:
    """What differs, a line a path; "" if nothing does."""
    differing = (path for path in sorted({*one, *other}) if one.get(path) != other.get(path))
    return "\n".join(f"{path}: {one.get(path, 'absent')} / {other.get(path, 'absent')}" for path in differing)
