"""A disk that keeps only what was flushed: the model behind the power-cut tests.

Stricter than any file system in use: of the operations that no flush has covered yet, any may be lost, each by itself.
An fsync of a file covers its bytes and metadata, of a directory the entries in it, a syncfs everything before it;
fdatasync covers bytes. What depends on an operation that was lost is lost with it. A rename within a directory is one
operation: all or nothing.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from nodeagent.host.syscalls import RENAME_EXCHANGE
from tests.crash.snapshot import inodes, snapshot
from tests.crash.trace import Call

_ROOT = 0


@dataclass
class Inode:
    """A file, directory or link; `data` holds bytes or the target."""

    kind: str
    mode: int
    uid: int
    gid: int
    data: bytes = b""
    xattrs: dict[str, bytes] = field(default_factory=dict)
    entries: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Operation:
    """One operation on the disk. `inode` is what an fsync must be of to cover it, `data` whether fdatasync does.

    `buries` is the directory that it removes: once that is safe, so is that the directory was empty.
    """

    inode: int
    apply: Callable[[Disk], None]
    data: bool = False
    buries: int | None = None


@dataclass(frozen=True)
class Write:
    """Bytes that reach a file: it may happen that only the first half of them does."""

    inode: int
    offset: int
    bytes: bytes

    def __call__(self, disk: Disk) -> None:
        old = disk.inodes[self.inode].data.ljust(self.offset, b"\0")
        disk.inodes[self.inode].data = old[: self.offset] + self.bytes + old[self.offset + len(self.bytes) :]

    def torn(self) -> Write:
        return Write(self.inode, self.offset, self.bytes[: len(self.bytes) // 2])


@dataclass(frozen=True)
class Flush:
    """What was done before to `inode` (None for the whole file system) is safe; with `data`, only its bytes."""

    inode: int | None
    data: bool = False

    def covers(self, operation: Operation) -> bool:
        return self.inode is None or (self.inode == operation.inode and (operation.data or not self.data))


@dataclass
class Disk:
    """Inodes by number; number 0 is the root directory."""

    inodes: dict[int, Inode]

    @classmethod
    def of(cls, root: Path) -> Disk:
        """What stands below `root`, all of it flushed."""
        numbers = inodes(root)
        disk = cls({_ROOT: Inode("d", 0o755, os.geteuid(), os.getegid())})
        for path, item in sorted(snapshot(root).items()):
            inode = Inode(item.kind, item.mode, item.uid, item.gid, item.value, dict(item.xattrs))
            disk.inodes.setdefault(numbers[path], inode)
            parent, _, name = path.rpartition("/")
            disk.inodes[numbers.get(parent, _ROOT)].entries[name] = numbers[path]
        return disk

    def find(self, path: str) -> int:
        """The inode number at an absolute path."""
        number = _ROOT
        for name in filter(None, path.split("/")):
            number = self.inodes[number].entries[name]
        return number

    def materialise(self, root: Path, number: int = _ROOT, known: dict[int, Path] | None = None) -> None:
        """Make below the empty directory `root` what the disk holds."""
        known = {} if known is None else known
        for name, entry in sorted(self.inodes[number].entries.items()):
            self._make(root / name, entry, known)

    def _make(self, path: Path, number: int, known: dict[int, Path]) -> None:
        inode = self.inodes[number]
        if number in known:
            os.link(known[number], path, follow_symlinks=False)
            return
        known[number] = path
        match inode.kind:
            case "l":
                path.symlink_to(os.fsdecode(inode.data))
            case "d":
                path.mkdir()
                self.materialise(path, number, known)
            case _:
                path.write_bytes(inode.data)
        os.chown(path, inode.uid, inode.gid, follow_symlinks=False)
        if inode.kind != "l":
            for name, value in inode.xattrs.items():
                os.setxattr(path, name, value)
            path.chmod(inode.mode)

    def key(self) -> tuple[object, ...]:
        """Two disks with the same key hold the same tree."""
        return self._key(_ROOT)

    def _key(self, number: int) -> tuple[object, ...]:
        inode = self.inodes[number]
        below = tuple((name, self._key(entry)) for name, entry in sorted(inode.entries.items()))
        return number, inode.mode, inode.uid, inode.gid, inode.data, tuple(sorted(inode.xattrs.items())), below


class Recorder:
    """Turns recorded system calls below `root` into operations on a disk."""

    def __init__(self, root: Path) -> None:
        self._root = str(root)
        self.before = Disk.of(root)
        self.now = copy.deepcopy(self.before)
        self.steps: list[Operation | Flush] = []
        self._fresh = -1

    def record(self, calls: Iterable[Call]) -> None:
        for call in calls:
            found = getattr(self, f"_{call.name}")(call)
            steps = found if isinstance(found, list) else [found]
            for step in steps:
                if isinstance(step, Operation):
                    step.apply(self.now)
            self.steps += steps

    def _inode(self, call: Call, index: int) -> int:
        """The inode of the open file that an argument names."""
        return self.now.find(call.path(index).removeprefix(self._root))

    def _enter(self, directory: int, name: str, inode: int) -> Operation:
        def apply(disk: Disk) -> None:
            disk.inodes[directory].entries.setdefault(name, inode)

        return Operation(directory, apply)

    def _create(self, directory: int, name: str, inode: Inode) -> Operation:
        """A new inode, known to the disk from the start: only its entry makes it seen."""
        number, self._fresh = self._fresh, self._fresh - 1
        for disk in (self.before, self.now):
            disk.inodes[number] = copy.deepcopy(inode)
        return self._enter(directory, name, number)

    def _set(self, inode: int, change: Callable[[Inode], None]) -> Operation:
        return Operation(inode, lambda disk: change(disk.inodes[inode]))

    def _new(self, kind: str, mode: int, data: bytes = b"") -> Inode:
        return Inode(kind, mode, os.geteuid(), os.getegid(), data)

    def _openat(self, call: Call) -> Operation:
        name, mode = os.fsdecode(call.string(1)), call.number(3, 8)
        return self._create(self._inode(call, 0), name, self._new("-", mode))

    def _mkdirat(self, call: Call) -> Operation:
        return self._create(self._inode(call, 0), os.fsdecode(call.string(1)), self._new("d", call.number(2, 8)))

    def _symlinkat(self, call: Call) -> Operation:
        return self._create(self._inode(call, 1), os.fsdecode(call.string(2)), self._new("l", 0o777, call.string(0)))

    def _linkat(self, call: Call) -> Operation:
        source = self.now.inodes[self._inode(call, 0)].entries[os.fsdecode(call.string(1))]
        return self._enter(self._inode(call, 2), os.fsdecode(call.string(3)), source)

    def _unlinkat(self, call: Call) -> Operation:
        directory, name = self._inode(call, 0), os.fsdecode(call.string(1))

        def apply(disk: Disk) -> None:
            entries = disk.inodes[directory].entries
            if name in entries and not disk.inodes[entries[name]].entries:
                del entries[name]

        entry = self.now.inodes[directory].entries[name]
        return Operation(directory, apply, buries=entry if self.now.inodes[entry].kind == "d" else None)

    def _renameat2(self, call: Call) -> Operation:
        directory, old, new = self._inode(call, 0), os.fsdecode(call.string(1)), os.fsdecode(call.string(3))
        exchange = "RENAME_EXCHANGE" in call.arguments[4] or call.arguments[4] == str(RENAME_EXCHANGE)

        def apply(disk: Disk) -> None:
            entries = disk.inodes[directory].entries
            if exchange and old in entries and new in entries:
                entries[old], entries[new] = entries[new], entries[old]
            elif not exchange and old in entries and new not in entries:
                entries[new] = entries.pop(old)

        return Operation(directory, apply)

    def _write(self, call: Call) -> Operation:
        inode = self._inode(call, 0)
        written = call.string(1)[: int(call.result)]
        return Operation(inode, Write(inode, len(self.now.inodes[inode].data), written), data=True)

    def _fchmod(self, call: Call) -> Operation:
        mode = call.number(1, 8)
        return self._set(self._inode(call, 0), lambda inode: setattr(inode, "mode", mode))

    def _fchown(self, call: Call) -> Operation:
        return self._own(self._inode(call, 0), call.number(1), call.number(2))

    def _fchownat(self, call: Call) -> Operation:
        inode = self.now.inodes[self._inode(call, 0)].entries[os.fsdecode(call.string(1))]
        return self._own(inode, call.number(2), call.number(3))

    def _own(self, inode: int, uid: int, gid: int) -> Operation:
        def own(owned: Inode) -> None:
            owned.uid, owned.gid = uid, gid
            owned.mode &= 0o1777 if owned.kind == "-" else 0o7777

        return self._set(inode, own)

    def _fsetxattr(self, call: Call) -> Operation:
        name, value = os.fsdecode(call.string(1)), call.string(2)
        return self._set(self._inode(call, 0), lambda inode: inode.xattrs.update({name: value}))

    def _fremovexattr(self, call: Call) -> Operation:
        name = os.fsdecode(call.string(1))

        def remove(inode: Inode) -> None:
            inode.xattrs.pop(name, None)

        return self._set(self._inode(call, 0), remove)

    def _fsync(self, call: Call) -> Flush:
        return Flush(self._inode(call, 0))

    def _fdatasync(self, call: Call) -> Flush:
        return Flush(self._inode(call, 0), data=True)

    def _syncfs(self, _: Call) -> Flush:
        return Flush(None)


def unflushed(steps: Sequence[Operation | Flush]) -> list[int]:
    """Which of the operations no later flush covers."""
    flushes: list[Flush] = []
    loose = []
    for index in range(len(steps) - 1, -1, -1):
        step = steps[index]
        if isinstance(step, Flush):
            flushes.append(step)
        elif not any(flush.covers(step) for flush in flushes):
            loose.append(index)
        elif step.buries is not None:
            flushes.append(Flush(step.buries))
    return loose[::-1]


def after_cut(before: Disk, operations: Iterable[Callable[[Disk], None]]) -> Disk:
    """What is on the disk when power returns, if of all operations it holds `operations`."""
    disk = copy.deepcopy(before)
    for operation in operations:
        operation(disk)
    return disk
