"""Looks at what a node offers to the agent: rights, root, file systems, ways to exchange files.

Invariant: looking changes nothing but probe files in the state directory, which are gone again when it returns.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
from collections.abc import Iterable
from typing import NamedTuple

from nodeagent.host.attribution import Attribution
from nodeagent.host.syscalls import RENAME_EXCHANGE, RENAME_NOREPLACE, rename
from nodeagent.host.tree import Tree
from nodeagent.observed.vitals import FileSystem, Renames, Rights, Root

# Bits of capabilities(7) that are of interest, from linux/capability.h.
_CAPABILITIES = {
    "CAP_CHOWN": 0,
    "CAP_DAC_OVERRIDE": 1,
    "CAP_FOWNER": 3,
    "CAP_FSETID": 4,
    "CAP_SETGID": 6,
    "CAP_SETUID": 7,
    "CAP_NET_ADMIN": 12,
    "CAP_NET_RAW": 13,
    "CAP_SYS_CHROOT": 18,
    "CAP_SYS_PTRACE": 19,
    "CAP_SYS_ADMIN": 21,
    "CAP_SETFCAP": 31,
}
_PROBE = ".nodeagent-doctor-"
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_REFUSALS = frozenset({errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP})


def rights(status: str = "/proc/thread-self/status") -> Rights:
    """Those that are in effect for this thread (proc_pid_status(5))."""
    with open(status) as file:
        fields = dict(line.split(":", 1) for line in file if ":" in line)
    effective = int(fields["CapEff"], 16)
    uid = int(fields["Uid"].split()[1])
    return Rights(uid, frozenset(name for name, bit in _CAPABILITIES.items() if effective >> bit & 1))


def root(path: str) -> Root:
    """The root directory at `path`."""
    with Tree(path) as tree:
        mount = _mount_of(tree.directory("/"))
        return Root(tree.root, tree.live(), tree.root == "/" or mount.point != tree.root or mount.propagates)


def file_systems(path: str, directories: Iterable[str]) -> tuple[FileSystem, ...]:
    """The file system of each of `directories`, paths below the root at `path`."""
    with Tree(path) as tree:
        return tuple(_file_system(tree, each) for each in directories)


def _file_system(tree: Tree, path: str) -> FileSystem:
    reached = tree.nearest(path)
    descriptor = os.open(".", _DIRECTORY, dir_fd=tree.directory(reached))
    try:
        seen = os.fstatvfs(descriptor)
        return FileSystem(
            path,
            present=reached == path,
            device=os.fstat(descriptor).st_dev,
            type=_mount_of(descriptor).type,
            read_only=bool(seen.f_flag & os.ST_RDONLY),
            runs_programs=not seen.f_flag & os.ST_NOEXEC,
            free=seen.f_bavail * seen.f_frsize,
            size=seen.f_blocks * seen.f_frsize,
            inodes_free=seen.f_favail,
            inodes=seen.f_files,
        )
    finally:
        os.close(descriptor)


class _Mount(NamedTuple):
    """A line of mountinfo: its type, where it is mounted, and whether mounts below it arrive here."""

    type: str = ""
    point: str = ""
    propagates: bool = False


def _mount_of(descriptor: int) -> _Mount:
    """The mount that an open directory was reached by (proc_pid_mountinfo(5), by the id in fdinfo)."""
    with open(f"/proc/self/fdinfo/{descriptor}", "rb") as facts:
        wanted = next((line.split()[1] for line in facts if line.startswith(b"mnt_id:")), b"")
    with open("/proc/self/mountinfo", "rb") as table:
        for line in table:
            fields = line.split(b" ")
            if fields[0] == wanted:
                rest = fields.index(b"-", 6)
                propagates = any(each.startswith((b"shared:", b"master:")) for each in fields[6:rest])
                point = os.fsdecode(fields[4].decode("unicode_escape").encode("latin-1"))
                return _Mount(os.fsdecode(fields[rest + 1]), point, propagates)
    return _Mount()


def renames(path: str, state_dir: str) -> Renames | None:
    """Whether files in the state directory can be exchanged; None if it is not there."""
    with Tree(path) as tree:
        try:
            parent = tree.directory(state_dir)
        except FileNotFoundError:
            return None
        first, second, third = (f"{_PROBE}{secrets.token_hex(8)}" for _ in range(3))
        try:
            for name in (first, second):
                os.close(os.open(name, _CREATE, 0o600, dir_fd=parent))
            noreplace = _refusal(parent, first, third, RENAME_NOREPLACE)
            return Renames(noreplace, _refusal(parent, second, first if noreplace else third, RENAME_EXCHANGE))
        finally:
            for name in (first, second, third):
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(name, dir_fd=parent)


def _refusal(parent: int, old: str, new: str, flag: int) -> str:
    """Why the file system does not take `flag`, "" if it does."""
    try:
        rename(parent, old, new, flag)
    except OSError as error:
        if error.errno not in _REFUSALS:
            raise
        return os.strerror(error.errno)
    return ""


def unnamed(paths: Iterable[str]) -> tuple[str, ...]:
    """Where, among the directories of `paths`, the kernel would not name who changes files, and why."""
    found = Attribution.open()
    try:
        found.watch(list(paths))
        return found.problems()
    finally:
        found.close()
