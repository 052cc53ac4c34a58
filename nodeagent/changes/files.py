"""Changes to the file tree, and the inverse that is journalled before any of them is made.

A change names what it saw when it was planned (`before`) and what it leaves (`after`); carrying it out is a
compare-and-swap between the two, so a change made meanwhile by somebody else is never overwritten unseen.
Paths are absolute inside the target root, clean (no `.`, `..`, `//`), and never followed through a link at the end.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import Any

from nodeagent.observed.files import ABSENT, FileState, FileType


class Phase:
    """Order of subjects in a plan: what others need comes first, removals last, actions and the reboot after all."""

    ORIGINAL = 0
    DIRECTORY = 1
    FILE = 2
    LINK = 3
    UNIT = 4
    ENABLEMENT = 5
    ACCOUNT = 6
    KERNEL = 7
    REMOVAL = 8
    RECORD = 9
    ACTION = 10
    REBOOT = 11


_WITH_MODE = (FileType.FILE, FileType.DIRECTORY)


@dataclass(frozen=True, slots=True)
class Actor:
    """The user in whose name a path is read and written: file-system checks are made with these ids."""

    uid: int
    gid: int


@dataclass(frozen=True, slots=True)
class Trace:
    """What identifies the state of a path across processes and power cuts (no inode numbers, no times)."""

    type: FileType
    mode: int = 0
    uid: int = 0
    gid: int = 0
    digest: str = ""
    target: str = ""

    @classmethod
    def of(cls, state: FileState) -> Trace:
        if state is ABSENT:
            return NOTHING
        mode = state.mode if state.type in _WITH_MODE else 0  # a link has none of its own
        return cls(state.type, mode, state.uid, state.gid, state.digest, state.target)

    def facts(self) -> dict[str, Any]:
        """JSON form; holds only what the type has."""
        facts: dict[str, Any] = {"type": str(self.type)}
        if self.type in _WITH_MODE:
            facts["mode"] = f"{self.mode:04o}"
        if self.type is not FileType.ABSENT:
            facts["uid"], facts["gid"] = self.uid, self.gid
        if self.digest:
            facts["digest"] = self.digest
        if self.target:
            facts["target"] = self.target
        return facts

    @classmethod
    def from_facts(cls, facts: Mapping[str, Any]) -> Trace:
        mode = int(facts.get("mode", "0"), 8)
        owner = facts.get("uid", 0), facts.get("gid", 0)
        return cls(FileType(facts["type"]), mode, *owner, facts.get("digest", ""), facts.get("target", ""))


NOTHING = Trace(FileType.ABSENT)


@dataclass(frozen=True, kw_only=True)
class _PathChange:
    """What every change to one path has in common."""

    path: str
    before: FileState = ABSENT
    sources: tuple[str, ...] = ()
    reason: str = ""
    phase: int = Phase.FILE
    actor: Actor | None = None

    reversible = True

    @property
    def order(self) -> tuple[int, str]:
        return self.phase, self.path

    @property
    def after(self) -> Trace:
        raise AssertionError("each change tells what it leaves")

    @property
    def verb(self) -> str:
        return "create" if self.before.type is FileType.ABSENT else "change"

    def describe(self) -> str:
        return f"{self.verb} {_NOUNS[self.after.type]} {self.path}"

    @property
    def size(self) -> int:
        """Bytes of the regular file that the change leaves."""
        return self.before.size

    def facts(self) -> dict[str, Any]:
        facts = {
            "change": type(self).__name__,
            "path": self.path,
            "before": _sized(Trace.of(self.before), self.before.size),
            "after": _sized(self.after, self.size),
        }
        if self.sources:
            facts["sources"] = list(self.sources)
        if self.reason:
            facts["reason"] = self.reason
        return facts


def _sized(trace: Trace, size: int) -> dict[str, Any]:
    """The facts of a trace, and of a regular file its size in bytes."""
    facts = trace.facts()
    if trace.type is FileType.FILE:
        facts["size"] = size
    return facts


def _xattrs(xattrs: tuple[tuple[str, bytes], ...]) -> dict[str, dict[str, str]]:
    return {"xattrs": {name: value.hex() for name, value in xattrs}} if xattrs else {}


_NOUNS = {
    FileType.FILE: "file",
    FileType.DIRECTORY: "directory",
    FileType.LINK: "link",
    FileType.ABSENT: "",
    FileType.OTHER: "special file",
}


@dataclass(frozen=True, kw_only=True)
class WriteFile(_PathChange):
    """Put a regular file with these bytes, mode, owner and extended attributes at `path`, whole or not at all."""

    data: bytes = field(repr=False)
    mode: int = 0o644
    uid: int = 0
    gid: int = 0
    xattrs: tuple[tuple[str, bytes], ...] = field(default=(), repr=False)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the bytes, in hex."""
        return hashlib.sha256(self.data).hexdigest()

    @property
    def size(self) -> int:
        return len(self.data)

    @cached_property
    def after(self) -> Trace:  # kept: planning asks for it many times
        return Trace(FileType.FILE, self.mode, self.uid, self.gid, self.digest)

    def facts(self) -> dict[str, Any]:
        return super().facts() | _xattrs(self.xattrs)


@dataclass(frozen=True, kw_only=True)
class MakeLink(_PathChange):
    """Put a symbolic link at `path`; with `hard`, a second name of the regular file `target` (a path in the root)."""

    target: str
    hard: bool = False
    uid: int = 0
    gid: int = 0
    linked: FileState = ABSENT
    phase: int = Phase.LINK

    @property
    def size(self) -> int:
        return self.linked.size

    @property
    def after(self) -> Trace:
        if self.hard:
            return Trace.of(self.linked)
        return Trace(FileType.LINK, 0, self.uid, self.gid, target=self.target)


@dataclass(frozen=True, kw_only=True)
class MakeDirectory(_PathChange):
    """Make the directory `path`, whose parent exists or is made by an earlier change of the same plan."""

    mode: int = 0o755
    uid: int = 0
    gid: int = 0
    phase: int = Phase.DIRECTORY

    @property
    def after(self) -> Trace:
        return Trace(FileType.DIRECTORY, self.mode, self.uid, self.gid)


@dataclass(frozen=True, kw_only=True)
class SetMetadata(_PathChange):
    """Give the file or directory at `path` this mode, owner and attributes; the bytes stay, and so does the inode."""

    mode: int
    uid: int
    gid: int
    xattrs: tuple[tuple[str, bytes], ...] = field(default=(), repr=False)

    @property
    def after(self) -> Trace:
        return Trace(self.before.type, self.mode, self.uid, self.gid, self.before.digest)

    def facts(self) -> dict[str, Any]:
        return super().facts() | _xattrs(self.xattrs)

    def describe(self) -> str:
        return f"set mode and owner of {_NOUNS[self.before.type]} {self.path}"


@dataclass(frozen=True, kw_only=True)
class RemovePath(_PathChange):
    """Take away what stands at `path`; a directory only if it is empty."""

    phase: int = Phase.REMOVAL

    @property
    def order(self) -> tuple[int, str]:
        return self.phase, _children_first(self.path)

    @property
    def after(self) -> Trace:
        return NOTHING

    def describe(self) -> str:
        return f"remove {_NOUNS[self.before.type]} {self.path}"


def _children_first(path: str) -> str:
    """Sort key under which a path comes after everything below it."""
    return "".join(chr(0x10FFFF - ord(letter)) for letter in path) + chr(0x10FFFF)


@dataclass(frozen=True, kw_only=True)
class KeepOriginal(_PathChange):
    """Keep the bytes of the regular file that stands at `path` before the agent first replaces it."""

    phase: int = Phase.ORIGINAL

    @property
    def after(self) -> Trace:
        return Trace.of(self.before)

    def describe(self) -> str:
        return f"keep the original of {self.path}"


FileChange = WriteFile | MakeLink | MakeDirectory | SetMetadata | RemovePath | KeepOriginal


class Undo(StrEnum):
    """How a change is taken back."""

    SWAP = "swap"  # exchange `path` with `aside`, then drop `aside`
    UNLINK = "unlink"  # drop `path`, and `aside` if it is still there
    RESTORE = "restore"  # move `aside` back to `path`
    RMDIR = "rmdir"  # remove the directory `path` if it is empty
    METADATA = "metadata"  # set mode, owner and attributes back
    LATER = "later"  # nothing yet: an empty directory goes last, when nothing can fail any more
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True)
class Inverse:
    """The journalled inverse of one change: enough to take it back in another process, after a power cut.

    `aside` is the name beside `path` under which the new state waits until it is put in place, and under which the
    old state waits afterwards; "" where nothing is put aside. `stamp` is inode number and mtime (ns) of the old state,
    or of the file that a new hard link shares, () if there is none: what has it is that inode, but not every file
    system keeps inode numbers. `xattrs` are the attributes to set back.
    """

    undo: Undo
    path: str
    before: Trace
    after: Trace
    aside: str = ""
    actor: Actor | None = None
    stamp: tuple[int, ...] = ()
    xattrs: tuple[tuple[str, bytes], ...] = ()

    def facts(self) -> dict[str, Any]:
        facts: dict[str, Any] = {
            "undo": str(self.undo),
            "path": self.path,
            "before": self.before.facts(),
            "after": self.after.facts(),
            "aside": self.aside,
            "stamp": list(self.stamp),
        } | _xattrs(self.xattrs)
        if self.actor is not None:
            facts["actor"] = [self.actor.uid, self.actor.gid]
        return facts

    @classmethod
    def from_facts(cls, facts: Mapping[str, Any]) -> Inverse:
        actor = Actor(*facts["actor"]) if "actor" in facts else None
        before, after = Trace.from_facts(facts["before"]), Trace.from_facts(facts["after"])
        xattrs = tuple((name, bytes.fromhex(value)) for name, value in facts.get("xattrs", {}).items())
        stamp = tuple(facts["stamp"])
        return cls(Undo(facts["undo"]), facts["path"], before, after, facts["aside"], actor, stamp, xattrs)


def inverse(change: FileChange, aside: str) -> Inverse:
    """The inverse of `change`, whose new or old state waits under the name `aside` beside the path."""
    before, undo = change.before, _undo(change)
    stamped = change.linked if isinstance(change, MakeLink) and undo is Undo.UNLINK else before
    return Inverse(
        undo,
        change.path,
        Trace.of(before),
        change.after,
        aside if undo in (Undo.SWAP, Undo.UNLINK, Undo.RESTORE) else "",
        change.actor,
        stamped.identity[1:4:2],
        before.xattrs if undo is Undo.METADATA else (),
    )


def _undo(change: FileChange) -> Undo:
    match change:
        case WriteFile() | MakeLink():
            return Undo.UNLINK if change.before.type is FileType.ABSENT else Undo.SWAP
        case RemovePath():
            return Undo.LATER if change.before.type is FileType.DIRECTORY else Undo.RESTORE
        case MakeDirectory():
            return Undo.RMDIR
        case SetMetadata():
            return Undo.METADATA
        case KeepOriginal():
            return Undo.NOTHING
