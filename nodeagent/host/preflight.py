"""Everything that can be known to stand in the way of a batch, found before anything is touched, all at once.

Nothing here is a promise (the node lives on), only the reason why a batch practically never fails half-way.
"""

from __future__ import annotations

import ctypes
import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import nullcontext

from nodeagent.changes.files import (
    Actor,
    FileChange,
    KeepOriginal,
    MakeDirectory,
    MakeLink,
    RemovePath,
    SetMetadata,
    WriteFile,
)
from nodeagent.errors import Problem, Rejected
from nodeagent.host.syscalls import acting_as, immutable
from nodeagent.host.tree import Tree, UnsafeLink, ancestors, split
from nodeagent.observed.files import FileType

_libc = ctypes.CDLL(None)

_NODE = "this node"
_BLOCK = 4096  # bytes that the smallest file takes
_SPARE = 1 << 20  # bytes of a file system that are left free

_OPEN = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC

_READ_ONLY, _REMOUNT = "the file system is mounted read-only", "remount it read-write, then try again"

# Kernel interfaces that look like files, statfs(2) f_type.
_KERNEL_FILE_SYSTEMS = {
    0x9FA0: "proc",
    0x62656572: "sysfs",
    0x27E0EB: "cgroup",
    0x63677270: "cgroup2",
    0x1CD1: "devpts",
    0x64626720: "debugfs",
    0x74726163: "tracefs",
    0x73636673: "securityfs",
    0xCAFE4A11: "bpf",
    0x6165676C: "pstore",
    0xDE5E81E4: "efivarfs",
}


def problems(tree: Tree, changes: Sequence[FileChange], originals: str) -> list[Problem]:
    """All problems of carrying out `changes` below `tree`, with originals kept in the directory `originals`."""
    return list(_Check(tree, originals).all(changes))


def check(tree: Tree, changes: Sequence[FileChange], originals: str) -> None:
    """Rejected, with every problem, if the node cannot take `changes`."""
    found = problems(tree, changes, originals)
    if found:
        raise Rejected(found)


class _Check:
    def __init__(self, tree: Tree, originals: str) -> None:
        self._tree = tree
        self._originals = originals
        self._mounts = frozenset(mount_points())
        self._nearest: dict[str, str] = {}
        self._parents: dict[tuple[str, Actor | None], list[Problem]] = {}
        self._uid, self._gids = os.geteuid(), {os.getegid(), *os.getgroups()}

    def all(self, changes: Sequence[FileChange]) -> Iterator[Problem]:
        self._tree.forget()
        made = {change.path for change in changes if isinstance(change, MakeDirectory)}
        room = _Room(self._tree)
        for change in changes:
            where = self._where(change)
            found = [*self._parent(where, change, made), *self._owner(change)]
            if change.before.type is not FileType.ABSENT or isinstance(change, MakeLink):
                found += self._target(change)
            yield from found
            if not found:
                room.need(where, _size(change))
        yield from room.lack()

    def _target(self, change: FileChange) -> Iterator[Problem]:
        path, there = change.path, change.before.type
        if there is FileType.OTHER:
            advice = "remove it by hand if a file should take its place"
            yield Problem(_NODE, path, "a device, socket or FIFO stands here", advice)
        if there is FileType.DIRECTORY and isinstance(change, WriteFile | MakeLink):
            yield Problem(_NODE, path, "a directory stands here", "remove it by hand if a file should take its place")
        if there in (FileType.FILE, FileType.DIRECTORY) and not isinstance(change, KeepOriginal):
            yield from self._locked(change, self._tree.outside(path))
        if isinstance(change, MakeLink) and change.hard:
            yield from self._linkable(change)

    def _locked(self, change: FileChange, outside: str) -> Iterator[Problem]:
        """What keeps the file or directory that stands at the path from being changed or replaced."""
        directory, name = split(change.path)
        try:
            parent = self._tree.directory(directory)
            descriptor = os.open(name, _OPEN | os.O_NOFOLLOW, dir_fd=parent)
        except OSError:  # gone, or unreadable: the parent's problem, or committing will tell
            return
        try:
            flag, read_only = immutable(descriptor), _is_read_only(descriptor)
        finally:
            os.close(descriptor)
        if flag:
            yield Problem(_NODE, change.path, f"is {flag} (chattr)", f"clear the flag first: chattr -i -a {outside}")
        if isinstance(change, SetMetadata):
            if read_only:
                yield Problem(_NODE, change.path, _READ_ONLY, _REMOUNT)
        elif os.path.join(_real(parent), name) in self._mounts:
            advice = f"unmount it first: umount {outside}"
            yield Problem(_NODE, change.path, "is a mount point and cannot be replaced", advice)

    def _linkable(self, change: MakeLink) -> Iterator[Problem]:
        """What keeps the file that stands at the target from getting a second name (link(2))."""
        directory, name = split(change.target)
        try:
            descriptor = os.open(name, _OPEN | os.O_NOFOLLOW, dir_fd=self._tree.directory(directory))
        except OSError:  # made by this batch
            return
        try:
            flag, mount = immutable(descriptor), _mount(descriptor)
        finally:
            os.close(descriptor)
        reached = self._tree.nearest(split(change.path)[0])
        if flag:
            message, advice = f"its target {change.target} is {flag} (chattr)", "clear the flag, or declare a file"
            yield Problem(_NODE, change.path, message, advice)
        if mount != _mount(self._tree.directory(reached)):
            message = f"its target {change.target} lies on another file system"
            yield Problem(_NODE, change.path, message, "declare a symbolic link, or a file")

    def _parent(self, where: str, change: FileChange, made: set[str]) -> list[Problem]:
        """Problems of the directory that the change will write into, or of what it is made in; checked once each."""
        directory = self._nearest.get(where)
        if directory is None:
            directory = self._nearest[where] = next(each for each in ancestors(where) if each not in made)
        actor = None if isinstance(change, KeepOriginal) else change.actor
        if (directory, actor) not in self._parents:
            with acting_as(actor.uid, actor.gid) if actor else nullcontext():
                self._parents[directory, actor] = list(self._directory(directory))
        return self._parents[directory, actor]

    def _where(self, change: FileChange) -> str:
        """The directory in which the change makes something new."""
        return self._originals if isinstance(change, KeepOriginal) else split(change.path)[0]

    def _directory(self, directory: str) -> Iterator[Problem]:
        try:
            reached = self._tree.nearest(directory)
            descriptor = os.open(".", _OPEN, dir_fd=self._tree.directory(reached))
        except UnsafeLink as error:
            yield Problem(_NODE, directory, str(error.strerror), "remove the link, or have root own it")
            return
        except OSError as error:
            yield Problem(_NODE, directory, f"cannot be entered: {error.strerror}")
            return
        try:
            yield from _writable(descriptor, reached, self._tree.outside(reached))
        finally:
            os.close(descriptor)

    def _owner(self, change: FileChange) -> Sequence[Problem]:
        """Only root can give files away."""
        if self._uid == 0 or isinstance(change, RemovePath | KeepOriginal):
            return ()
        if isinstance(change, MakeLink) and change.hard:
            return ()
        if change.uid == self._uid and change.gid in self._gids:
            return ()
        message = f"only root can make it owned by {change.uid}:{change.gid}"
        return (Problem(_NODE, change.path, message, "run as root, or leave user and group out"),)


class _Room:
    """What a batch needs of each file system, and what there is."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._devices: dict[str, int] = {}
        self._directories: dict[int, str] = {}
        self._bytes: dict[int, int] = defaultdict(int)
        self._inodes: dict[int, int] = defaultdict(int)

    def need(self, directory: str, size: int | None) -> None:
        """Count a new inode of `size` bytes below `directory`; None for no inode."""
        if size is None:
            return
        device = self._device(directory)
        self._bytes[device] += -(-size // _BLOCK) * _BLOCK
        self._inodes[device] += 1

    def _device(self, directory: str) -> int:
        if directory not in self._devices:
            reached = self._tree.nearest(directory)
            device = os.stat(".", dir_fd=self._tree.directory(reached)).st_dev
            self._devices[directory] = device
            self._directories.setdefault(device, reached)
        return self._devices[directory]

    def lack(self) -> Iterator[Problem]:
        """A problem for each file system that has too few bytes or inodes."""
        for device, directory in sorted(self._directories.items(), key=lambda item: item[1]):
            room = os.statvfs(f"/proc/self/fd/{self._tree.directory(directory)}")
            free = room.f_bavail * room.f_frsize - _SPARE
            if self._bytes[device] > free:
                message = f"the file system has {max(free, 0)} bytes to spare and the batch needs {self._bytes[device]}"
                yield Problem(_NODE, directory, message, "free some space, then try again")
            if room.f_files and self._inodes[device] > room.f_favail:
                message = f"the file system has {room.f_favail} inodes left and the batch needs {self._inodes[device]}"
                yield Problem(_NODE, directory, message, "remove some files, then try again")


def _size(change: FileChange) -> int | None:
    """Bytes of the new inode that a change makes; None if it makes none."""
    match change:
        case WriteFile():
            return len(change.data)
        case KeepOriginal():
            return change.before.size
        case MakeDirectory() | MakeLink():
            return 0
        case SetMetadata() | RemovePath():
            return None


def _writable(descriptor: int, directory: str, outside: str) -> Iterator[Problem]:
    if _is_read_only(descriptor):
        yield Problem(_NODE, directory, _READ_ONLY, _REMOUNT)
    elif not os.access(f"/proc/self/fd/{descriptor}", os.W_OK | os.X_OK, effective_ids=True):
        yield Problem(
            _NODE, directory, "is not writable for the user that is to write here", "run as root, or chmod it"
        )
    kind = _KERNEL_FILE_SYSTEMS.get(_magic(descriptor))
    if kind:
        advice = "files there are not kept: use a unit that sets the value"
        yield Problem(_NODE, directory, f"lies on a kernel file system ({kind})", advice)
    flag = immutable(descriptor)
    if flag:
        yield Problem(_NODE, directory, f"is {flag} (chattr)", f"clear the flag first: chattr -i -a {outside}")


def _is_read_only(descriptor: int) -> bool:
    return bool(os.fstatvfs(descriptor).f_flag & os.ST_RDONLY)


def _mount(descriptor: int) -> str:
    """The id of the mount that an open file was reached by (proc_pid_fdinfo(5)); link(2) does not cross mounts."""
    with open(f"/proc/self/fdinfo/{descriptor}") as facts:
        return next((line for line in facts if line.startswith("mnt_id:")), "")


def _real(descriptor: int) -> str:
    """Where a directory is mounted, links and target root resolved."""
    return os.readlink(f"/proc/self/fd/{descriptor}")


def _magic(descriptor: int) -> int:
    """f_type of fstatfs(2), which os.fstatvfs does not give."""
    buffer = (ctypes.c_long * 32)()
    if _libc.fstatfs(descriptor, buffer) != 0:
        return 0
    return buffer[0] & 0xFFFFFFFF


def mount_points() -> Iterator[str]:
    """All mount points that this process sees (proc_pid_mountinfo(5), field 5)."""
    with open("/proc/self/mountinfo", "rb") as table:
        for line in table:
            yield os.fsdecode(line.split(b" ")[4].decode("unicode_escape").encode("latin-1"))
