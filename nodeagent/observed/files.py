"""What stands at a path, as read through directory descriptors and without following a link."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class FileType(StrEnum):
    """Type of a directory entry; OTHER covers devices, sockets and FIFOs, which the agent never touches."""

    ABSENT = "absent"
    FILE = "file"
    DIRECTORY = "directory"
    LINK = "link"
    OTHER = "other"


@dataclass(frozen=True)
class FileState:
    """One path as observed.

    `mode` holds the permission and special bits (07777), `size` is in bytes, `digest` is the SHA-256 of a regular
    file's bytes in hex ("" for other types), `target` is where a symbolic link points, `xattrs` are the extended
    attributes that the agent compares (SELinux label, ACLs, capabilities), sorted by name. `identity` tells whether it
    is still the same inode in the same state: (device, inode, size, mtime ns, ctime ns, mode, uid, gid).
    """

    type: FileType
    mode: int = 0
    uid: int = 0
    gid: int = 0
    size: int = 0
    digest: str = ""
    target: str = ""
    xattrs: tuple[tuple[str, bytes], ...] = ()
    identity: tuple[int, ...] = ()


ABSENT = FileState(FileType.ABSENT)
