"""Everything that can be known to stand in the way of a batch, found before anything is touched, all at once.

Nothing here is a promise (the node lives on), only the reason why a batch practically never fails half-way.
"""

from __future__ import annotations

import ctypes
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

from nodeagent.changes.files import (
    FileChange,
    KeepOriginal,
    MakeDirectory,
    MakeLink,
    RemovePath,
    SetMetadata,
    WriteFile,
)
from nodeagent.errors import Problem, Rejected
from nodeagent.host.syscalls import immutable
from nodeagent.host.tree import Tree, UnsafeLink, ancestors, split
from nodeagent.observed.files import FileType

_NODE = "this node"
_BLOCK = 4096  # bytes that the smallest file takes
_SPARE = 1 << 20  # bytes of a file system that are left free

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


def problems(tree: Tree, changes: Sequence[FileChange]) -> list[Problem]:
    """All problems of carrying out `changes` below `tree`."""
    return list(_Check(tree).all(changes))


def check(tree: Tree, changes: Sequence[FileChange]) -> None:
    """Rejected, with every problem, if the node cannot take `changes`."""
    found = problems(tree, changes)
    if found:
        raise Rejected(found)


class _Check:
    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._mounts = frozenset(mount_points(tree.root))
        self._parents: dict[str, list[Problem]] = {}

    def all(self, changes: Sequence[FileChange]) -> Iterator[Problem]:
        self._tree.forget()
        made = {change.path for change in changes if isinstance(change, MakeDirectory)}
        for change in changes:
            yield from self._target(change)
            yield from self._parent(change.path, made)
            yield from self._owner(change)
        yield from self._space(changes)

    def _target(self, change: FileChange) -> Iterator[Problem]:
        path, there = change.path, change.before.type
        if there is FileType.OTHER:
            yield Problem(
                _NODE,
                path,
                "a device, socket or FIFO stands here",
                "remove it by hand if a file should take its place",
            )
        if there is FileType.DIRECTORY and isinstance(change, WriteFile | MakeLink):
            yield Problem(_NODE, path, "a directory stands here", "remove it by hand if a file should take its place")
        if path in self._mounts and not isinstance(change, SetMetadata | KeepOriginal):
            yield Problem(_NODE, path, "is a mount point and cannot be replaced", f"unmount it first: umount {path}")
        flag = self._flag(change) if there is FileType.FILE and not isinstance(change, KeepOriginal) else ""
        if flag:
            yield Problem(_NODE, path, f"is {flag} (chattr)", f"clear the flag first: chattr -i -a {path}")

    def _flag(self, change: FileChange) -> str:
        directory, name = split(change.path)
        try:
            descriptor = os.open(
                name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=self._tree.directory(directory)
            )
        except OSError:  # gone or unreadable: committing will tell
            return ""
        try:
            return immutable(descriptor)
        finally:
            os.close(descriptor)

    def _parent(self, path: str, made: set[str]) -> list[Problem]:
        """Problems of the directory that the batch will write into, checked once each."""
        directory = next(each for each in ancestors(split(path)[0]) if each not in made)
        if directory not in self._parents:
            self._parents[directory] = list(self._directory(directory))
        return self._parents[directory]

    def _directory(self, directory: str) -> Iterator[Problem]:
        try:
            reached = self._tree.nearest(directory)
            descriptor = os.open(".", os.O_RDONLY | os.O_CLOEXEC, dir_fd=self._tree.directory(reached))
        except UnsafeLink as error:
            yield Problem(_NODE, directory, str(error.strerror), "remove the link, or have root own it")
            return
        except OSError as error:
            yield Problem(_NODE, directory, f"cannot be entered: {error.strerror}")
            return
        try:
            yield from _writable(descriptor, reached)
        finally:
            os.close(descriptor)

    def _owner(self, change: FileChange) -> Iterator[Problem]:
        """Only root can give files away."""
        if os.geteuid() == 0 or not isinstance(change, WriteFile | MakeDirectory | SetMetadata):
            return
        if change.uid != os.geteuid() or change.gid not in (os.getegid(), *os.getgroups()):
            advice = "run as root, or leave user and group out"
            yield Problem(_NODE, change.path, f"only root can make it owned by {change.uid}:{change.gid}", advice)

    def _space(self, changes: Iterable[FileChange]) -> Iterator[Problem]:
        needed: dict[str, int] = defaultdict(int)
        inodes: dict[str, int] = defaultdict(int)
        for change in changes:
            size = _size(change)
            if size is not None:
                directory = self._tree.nearest(split(change.path)[0]) if not self._blocked(change.path) else "/"
                needed[directory] += -(-size // _BLOCK) * _BLOCK
                inodes[directory] += 1
        yield from self._room(needed, inodes)

    def _blocked(self, path: str) -> bool:
        return any(self._parents.get(each) for each in ancestors(split(path)[0]))

    def _room(self, needed: dict[str, int], inodes: dict[str, int]) -> Iterator[Problem]:
        """Compare what is needed with what each file system has left."""
        by_device: dict[int, list[str]] = defaultdict(list)
        for directory in sorted(needed):
            by_device[os.stat(".", dir_fd=self._tree.directory(directory)).st_dev].append(directory)
        for directories in by_device.values():
            room = os.statvfs(f"/proc/self/fd/{self._tree.directory(directories[0])}")
            bytes_needed = sum(needed[each] for each in directories)
            free = room.f_bavail * room.f_frsize - _SPARE
            if bytes_needed > free:
                message = f"the file system has {max(free, 0)} bytes to spare and the batch needs {bytes_needed}"
                yield Problem(_NODE, directories[0], message, "free some space, then try again")
            files_needed = sum(inodes[each] for each in directories)
            if room.f_files and files_needed > room.f_favail:
                message = f"the file system has {room.f_favail} inodes left and the batch needs {files_needed}"
                yield Problem(_NODE, directories[0], message, "remove some files, then try again")


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


def _writable(descriptor: int, directory: str) -> Iterator[Problem]:
    if os.fstatvfs(descriptor).f_flag & os.ST_RDONLY:
        yield Problem(_NODE, directory, "the file system is mounted read-only", "remount it read-write, then try again")
    elif not os.access(f"/proc/self/fd/{descriptor}", os.W_OK | os.X_OK):
        yield Problem(_NODE, directory, "is not writable for this user", "run as root")
    kind = _KERNEL_FILE_SYSTEMS.get(_magic(descriptor))
    if kind:
        yield Problem(
            _NODE,
            directory,
            f"lies on a kernel file system ({kind})",
            "files there are not kept: use a unit that sets the value",
        )
    flag = immutable(descriptor)
    if flag:
        yield Problem(_NODE, directory, f"is {flag} (chattr)", f"clear the flag first: chattr -i -a {directory}")


def _magic(descriptor: int) -> int:
    """f_type of fstatfs(2), which os.fstatvfs does not give."""
    buffer = (ctypes.c_long * 32)()
    if ctypes.CDLL(None, use_errno=True).fstatfs(descriptor, buffer) != 0:
        return 0
    return buffer[0] & 0xFFFFFFFF


def mount_points(root: str) -> Iterator[str]:
    """Mount points below `root`, as paths inside it (proc_pid_mountinfo(5), field 5)."""
    prefix = "" if root == "/" else root
    with open("/proc/self/mountinfo", "rb") as table:
        for line in table:
            path = os.fsdecode(line.split(b" ")[4].decode("unicode_escape").encode("latin-1"))
            if path.startswith(prefix + "/"):
                yield path[len(prefix) :]
