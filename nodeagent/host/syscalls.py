"""The few system calls that the standard library does not offer, through the C library.

Each raises OSError with the kernel's errno. Sources: rename(2), sync(2), setfsuid(2), ioctl_iflags(2).
"""

from __future__ import annotations

import array
import ctypes
import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager

_libc = ctypes.CDLL(None, use_errno=True)
for _set_id in (_libc.setfsuid, _libc.setfsgid):
    _set_id.argtypes, _set_id.restype = [ctypes.c_uint32], ctypes.c_uint32  # uid_t; they return the previous id

RENAME_NOREPLACE = 1
RENAME_EXCHANGE = 2

_FS_IOC_GETFLAGS = 0x80086601  # _IOR('f', 1, long) on 64-bit systems
_FS_IMMUTABLE_FL = 0x10
_FS_APPEND_FL = 0x20


def _check(result: int, name: str = "") -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), name or None)


def rename(directory: int, old: str, new: str, flags: int) -> None:
    """Rename within one directory; with RENAME_EXCHANGE swap two names, with RENAME_NOREPLACE never overwrite."""
    _check(_libc.renameat2(directory, os.fsencode(old), directory, os.fsencode(new), flags), new)


def syncfs(descriptor: int) -> None:
    """Write everything of the file system that `descriptor` lies on to stable storage."""
    _check(_libc.syncfs(descriptor))


def immutable(descriptor: int) -> str:
    """ "immutable" or "append-only" if that inode flag is set (chattr +i, +a), else ""."""
    flags = array.array("L", [0])
    try:
        fcntl.ioctl(descriptor, _FS_IOC_GETFLAGS, flags)
    except OSError:  # a file system without inode flags
        return ""
    if flags[0] & _FS_IMMUTABLE_FL:
        return "immutable"
    return "append-only" if flags[0] & _FS_APPEND_FL else ""


@contextmanager
def acting_as(uid: int, gid: int) -> Iterator[None]:
    """Have this thread's file accesses checked, and its new files owned, as `uid` and `gid`.

    setfsuid(2) works on the calling thread alone and drops the capabilities that bypass file permissions with it. Only
    root can take on another identity; anybody else acts as themselves. OSError if the kernel does not know the ids,
    which setfsuid(2) itself does not tell.
    """
    if os.geteuid() != 0 or (uid, gid) == (0, 0):
        yield
        return
    gid_before, uid_before = _libc.setfsgid(gid), _libc.setfsuid(uid)
    try:
        if (_libc.setfsuid(-1), _libc.setfsgid(-1)) != (uid, gid):
            raise OSError(errno.EPERM, f"cannot act as uid {uid} and gid {gid}")
        yield
    finally:
        _libc.setfsuid(uid_before)
        _libc.setfsgid(gid_before)
