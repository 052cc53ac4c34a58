"""Owner, mode and extended attributes of an open file.

Invariant: they are set in the one order in which none undoes another: a write and a change of owner clear set-id bits
and file capabilities, and setting an ACL changes the mode (chown(2), capabilities(7), acl(5)).
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable

Attributes = tuple[tuple[str, bytes], ...]

_LABEL = "security.selinux"

# Attributes that decide who may do what with a file; others (user.*, caches of other programs) are not ours to judge.
_COMPARED = (_LABEL, "security.capability", "system.posix_acl_access", "system.posix_acl_default")


def compared(descriptor: int) -> Attributes:
    """The extended attributes of an open file that the agent compares, sorted by name."""
    try:
        names = os.listxattr(descriptor)
    except OSError as error:
        if error.errno == errno.ENOTSUP:
            return ()
        raise
    return tuple((name, os.getxattr(descriptor, name)) for name in sorted(names) if name in _COMPARED)


def give(descriptor: int, mode: int, uid: int, gid: int, xattrs: Iterable[tuple[str, bytes]]) -> None:
    """Set owner, attributes and mode of an open file whose bytes are already there."""
    seen = os.fstat(descriptor)
    if (seen.st_uid, seen.st_gid) != (uid, gid):  # costs more than to look, even where it would change nothing
        os.fchown(descriptor, uid, gid)
    for name, value in xattrs:
        os.setxattr(descriptor, name, value)
    os.fchmod(descriptor, mode)


def replace(descriptor: int, mode: int, uid: int, gid: int, xattrs: Attributes) -> None:
    """As `give`, and remove the compared attributes that are not wanted; a label is replaced but never removed."""
    wanted = dict(xattrs)
    for name, _ in compared(descriptor):
        if name not in wanted and name != _LABEL:
            os.removexattr(descriptor, name)
    os.fchown(descriptor, uid, gid)
    present = dict(compared(descriptor))
    give(descriptor, mode, uid, gid, ((name, value) for name, value in xattrs if present.get(name) != value))
