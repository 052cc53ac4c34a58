"""The kernel's fanotify interface, as far as naming writers needs it (fanotify(7) and its system calls).

Invariant: each event says which entry of which marked directory it is about and which process caused it, or
nothing; the process descriptor of an event belongs to whoever asked for the event, and has to be closed.

The class is FAN_CLASS_NOTIF: the writer never waits for us. Directories are told apart by file system id and
file handle, because an event carries no path. Marks are set a directory (FAN_EVENT_ON_CHILD), which overlayfs
allows too.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass

FAN_MODIFY = 0x2
FAN_ATTRIB = 0x4
FAN_CLOSE_WRITE = 0x8
FAN_MOVED_FROM = 0x40
FAN_MOVED_TO = 0x80
FAN_CREATE = 0x100
FAN_DELETE = 0x200
FAN_Q_OVERFLOW = 0x4000
FAN_ONDIR = 0x40000000

MOVES = FAN_CREATE | FAN_DELETE | FAN_MOVED_FROM | FAN_MOVED_TO  # an entry comes or goes
WRITES = FAN_MODIFY | FAN_CLOSE_WRITE | FAN_ATTRIB

_FAN_EVENT_ON_CHILD = 0x08000000
_FAN_CLOEXEC = 0x1
_FAN_NONBLOCK = 0x2
_FAN_UNLIMITED_MARKS = 0x20
_FAN_REPORT_PIDFD = 0x80
_FAN_REPORT_DFID_NAME = 0xC00
_FAN_MARK_ADD = 0x1
_FAN_MARK_REMOVE = 0x2
_HOW = 0x4 | 0x8  # FAN_MARK_DONT_FOLLOW | FAN_MARK_ONLYDIR
_AT_HANDLE_FID = 0x200

_METADATA = struct.Struct("=IBBHQii")  # struct fanotify_event_metadata
_INFO = struct.Struct("=BBH")  # struct fanotify_event_info_header: type, padding, length
_DFID_NAME = 2
_PIDFD = 4
_VERSION = 3
_BUFFER = 4096  # bytes: some fifty events, so that no more process descriptors are open at a time
_MAX_HANDLE = 128  # bytes: MAX_HANDLE_SZ

_libc = ctypes.CDLL(None, use_errno=True)
_libc.fanotify_init.argtypes = (ctypes.c_uint, ctypes.c_uint)
_libc.fanotify_mark.argtypes = (ctypes.c_int, ctypes.c_uint, ctypes.c_uint64, ctypes.c_int, ctypes.c_char_p)

Handle = tuple[int, bytes]  # file system id; handle type and bytes


@dataclass(frozen=True, slots=True)
class Event:
    """What happened (`mask`) to the entry `name` of `directory`, and by which process.

    `directory` is None for a queue overflow. `name` is "." for the directory itself. `pid` is 0 for a process
    that our pid namespace does not see; `pidfd` is negative where the process has been reaped before we read
    the event.
    """

    mask: int
    pid: int = 0
    pidfd: int = -1
    directory: Handle | None = None
    name: str = "."


class Group:
    """One notification group. OSError is EPERM without CAP_SYS_ADMIN, EINVAL before Linux 5.15, or ENOSYS."""

    def __init__(self) -> None:
        # Marks on thousands of directories exceed the limit (8,192) of a small node. Both this flag and the pidfd
        # are for the privileged alone: others get an error instead of a group that hides the pids.
        flags = _FAN_CLOEXEC | _FAN_NONBLOCK | _FAN_UNLIMITED_MARKS | _FAN_REPORT_PIDFD | _FAN_REPORT_DFID_NAME
        self.descriptor: int = _checked(_libc.fanotify_init(flags, os.O_RDONLY | os.O_CLOEXEC))

    def close(self) -> None:
        os.close(self.descriptor)

    def mark(self, directory: int, mask: int) -> None:
        """Ask for events of the directory behind a descriptor (O_PATH is enough) and of its entries."""
        mask |= FAN_ONDIR | _FAN_EVENT_ON_CHILD
        _checked(_libc.fanotify_mark(self.descriptor, _FAN_MARK_ADD | _HOW, mask, directory, b"."))

    def unmark(self, directory: int) -> None:
        """Take back all that `mark` asked for; no error if that was nothing."""
        mask = WRITES | MOVES | FAN_ONDIR | _FAN_EVENT_ON_CHILD
        if _libc.fanotify_mark(self.descriptor, _FAN_MARK_REMOVE | _HOW, mask, directory, b".") != 0:
            _raise_unless(errno.ENOENT)

    def read(self) -> list[Event]:
        """The next events; [] if there are none."""
        try:
            return list(parse(os.read(self.descriptor, _BUFFER)))
        except BlockingIOError:
            return []


def handle_of(directory: int) -> Handle:
    """How events name the directory behind a descriptor; OSError EOPNOTSUPP if its file system cannot."""
    handle = bytearray(8 + _MAX_HANDLE)
    buffer = (ctypes.c_ubyte * len(handle)).from_buffer(handle)
    mount = ctypes.c_int()
    for flags in (0, _AT_HANDLE_FID):  # overlayfs has but the second kind, since Linux 6.5
        struct.pack_into("=I", handle, 0, _MAX_HANDLE)
        if _libc.name_to_handle_at(directory, b".", buffer, ctypes.byref(mount), flags) == 0:
            (length,) = struct.unpack_from("=I", handle)
            return os.fstatvfs(directory).f_fsid, bytes(handle[4 : 8 + length])
        if flags == 0:
            _raise_unless(errno.EOPNOTSUPP)
    raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))


def parse(buffer: bytes) -> Iterator[Event]:
    """The events in what read(2) returned from a fanotify descriptor."""
    offset = 0
    while offset < len(buffer):
        length, version, _, header, mask, _, pid = _METADATA.unpack_from(buffer, offset)
        if version != _VERSION:
            raise OSError(errno.EPROTO, f"fanotify speaks version {version} here, not {_VERSION}")
        yield _event(mask, pid, buffer[offset + header : offset + length])
        offset += length


def _event(mask: int, pid: int, records: bytes) -> Event:
    pidfd, directory, name = -1, None, "."
    offset = 0
    while offset < len(records):
        kind, _, length = _INFO.unpack_from(records, offset)
        record = records[offset + _INFO.size : offset + length]
        if kind == _PIDFD:
            (pidfd,) = struct.unpack_from("=i", record)
        elif kind == _DFID_NAME:
            directory, name = _entry(record)
        offset += length
    return Event(mask, pid, pidfd, directory, name)


def _entry(record: bytes) -> tuple[Handle, str]:
    """File system id (8 bytes), struct file_handle, name and padding."""
    low, high, size = struct.unpack_from("=III", record)
    end = 16 + size
    return (low | high << 32, record[12:end]), os.fsdecode(record[end:].split(b"\0", 1)[0])


def _checked(result: int) -> int:
    if result < 0:
        _raise_unless(None)
    return result


def _raise_unless(tolerated: int | None) -> None:
    code = ctypes.get_errno()
    if code != tolerated:
        raise OSError(code, os.strerror(code))
