"""Reads what stands at paths: type, metadata, digest. Changes nothing and never blocks on what is found there.

Regular files are opened with O_NOFOLLOW | O_NONBLOCK and checked by fstat(2) before a byte is read, so a FIFO, a
device or a link put in their place between two calls is recognised and left alone.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

from nodeagent.changes.files import Actor
from nodeagent.host.syscalls import acting_as
from nodeagent.host.tree import Tree, split
from nodeagent.observed.files import ABSENT, FileState, FileType

_OPEN_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_CHUNK = 1 << 18
_GONE = (errno.ENOENT, errno.ENOTDIR)

# Attributes that decide who may do what with a file; others (user.*, caches of other programs) are not ours to judge.
_COMPARED = ("security.selinux", "security.capability", "system.posix_acl_access", "system.posix_acl_default")

_TYPES = {stat.S_IFREG: FileType.FILE, stat.S_IFDIR: FileType.DIRECTORY, stat.S_IFLNK: FileType.LINK}


def identity(seen: os.stat_result) -> tuple[int, ...]:
    """What changes whenever the inode at a path, its metadata or its bytes change (ctime covers attributes)."""
    return (
        seen.st_dev,
        seen.st_ino,
        seen.st_size,
        seen.st_mtime_ns,
        seen.st_ctime_ns,
        seen.st_mode,
        seen.st_uid,
        seen.st_gid,
    )


def file_type(mode: int) -> FileType:
    return _TYPES.get(stat.S_IFMT(mode), FileType.OTHER)


@contextmanager
def _as(actor: Actor | None) -> Iterator[None]:
    if actor is None:
        yield
        return
    with acting_as(actor.uid, actor.gid):
        yield


class Observer:
    """Reads states below a tree. Errors other than absence surface as OSError with the path."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree

    def states(self, paths: Iterable[str], actors: Mapping[str, Actor] | None = None) -> dict[str, FileState]:
        """The state of each path, with digests; a missing path, or one below something missing, is ABSENT."""
        actors = actors or {}
        return {path: self.state(path, actors.get(path)) for path in paths}

    def state(self, path: str, actor: Actor | None = None) -> FileState:
        """The state of one path; read as `actor` if given."""
        seen = self.stat(path)
        if seen is None:
            return ABSENT
        if stat.S_ISREG(seen.st_mode):
            with _as(actor):
                return self._file(path)
        parent, name = self._at(path)
        target = os.readlink(name, dir_fd=parent) if stat.S_ISLNK(seen.st_mode) else ""
        xattrs = self._xattrs(parent, name) if stat.S_ISDIR(seen.st_mode) else ()
        return _state(seen, target=target, xattrs=xattrs)

    def stat(self, path: str) -> os.stat_result | None:
        """lstat(2) of the path, None if there is nothing."""
        try:
            parent, name = self._at(path)
            return os.stat(name, dir_fd=parent, follow_symlinks=False)
        except OSError as error:
            if error.errno in _GONE:
                return None
            raise

    def identities(self, paths: Iterable[str]) -> dict[str, tuple[int, ...]]:
        """The stat fingerprint of each path; () where nothing stands."""
        seen = ((path, self.stat(path)) for path in paths)
        return {path: () if found is None else identity(found) for path, found in seen}

    def _at(self, path: str) -> tuple[int, str]:
        if path == "/":
            return self._tree.directory("/"), "."
        parent, name = split(path)
        return self._tree.directory(parent), name

    def _file(self, path: str) -> FileState:
        try:
            descriptor = self._open(path)
        except FileNotFoundError:
            return ABSENT
        with os.fdopen(descriptor, "rb", buffering=0) as file:
            seen = os.fstat(descriptor)
            if not stat.S_ISREG(seen.st_mode):
                return _state(seen)
            digest = hashlib.sha256()
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
            return _state(seen, digest=digest.hexdigest(), xattrs=_compared(descriptor))

    def _open(self, path: str) -> int:
        parent, name = self._at(path)
        return os.open(name, _OPEN_FILE, dir_fd=parent)

    def _xattrs(self, parent: int, name: str) -> tuple[tuple[str, bytes], ...]:
        try:
            descriptor = os.open(name, _OPEN_FILE | os.O_DIRECTORY, dir_fd=parent)
        except PermissionError:
            return ()
        try:
            return _compared(descriptor)
        finally:
            os.close(descriptor)

    def read(self, path: str, limit: int, actor: Actor | None = None) -> bytes | None:
        """The bytes of a regular file, None if it is missing; OSError EFBIG beyond `limit` bytes."""
        with _as(actor):
            try:
                descriptor = self._open(path)
            except OSError as error:
                if error.errno in _GONE:
                    return None
                raise
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise OSError(errno.EINVAL, "is no regular file", path)
            data = file.read(limit + 1)
        if len(data) > limit:
            raise OSError(errno.EFBIG, f"is larger than {limit} bytes", path)
        return data

    def entries(self, directory: str) -> tuple[str, ...]:
        """Sorted names in a directory; () if it is missing."""
        try:
            descriptor = os.open(
                ".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=self._tree.directory(directory)
            )
        except OSError as error:
            if error.errno in _GONE:
                return ()
            raise
        try:
            return tuple(sorted(os.listdir(descriptor)))
        finally:
            os.close(descriptor)


def _state(
    seen: os.stat_result, *, digest: str = "", target: str = "", xattrs: tuple[tuple[str, bytes], ...] = ()
) -> FileState:
    return FileState(
        file_type(seen.st_mode),
        stat.S_IMODE(seen.st_mode),
        seen.st_uid,
        seen.st_gid,
        seen.st_size,
        digest,
        target,
        xattrs,
        identity(seen),
    )


def _compared(descriptor: int) -> tuple[tuple[str, bytes], ...]:
    """The extended attributes of an open file that the agent compares."""
    try:
        names = os.listxattr(descriptor)
    except OSError as error:
        if error.errno == errno.ENOTSUP:
            return ()
        raise
    return tuple((name, os.getxattr(descriptor, name)) for name in sorted(names) if name in _COMPARED)
