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
from contextlib import contextmanager, nullcontext

from nodeagent.changes.files import Actor
from nodeagent.host.attributes import Attributes, compared
from nodeagent.host.syscalls import acting_as
from nodeagent.host.tree import Tree, split
from nodeagent.observed.files import ABSENT, FileState, FileType

_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_CHUNK = 1 << 18
_GONE = (errno.ENOENT, errno.ENOTDIR)

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
def acting(actor: Actor | None, path: str) -> Iterator[None]:
    """Access `path` in the name of `actor`, if given; an OSError names that path and not some component of it."""
    try:
        with acting_as(actor.uid, actor.gid) if actor else nullcontext():
            yield
    except OSError as error:
        error.filename = path
        raise


class Observer:
    """Reads states below a tree. Errors other than absence surface as OSError with the path."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree

    def states(self, paths: Iterable[str], actors: Mapping[str, Actor] | None = None) -> dict[str, FileState]:
        """The state of each path, with digests; a missing path, or one below something missing, is ABSENT."""
        actors, found = actors or {}, dict[str, FileState]()
        for path in paths:
            missing = found.get(split(path)[0]) is ABSENT  # where a whole directory is new, one look will do
            found[path] = ABSENT if missing else self.state(path, actors.get(path))
        return found

    def state(self, path: str, actor: Actor | None = None) -> FileState:
        """The state of one path; read as `actor` if given."""
        seen = self.stat(path)
        if seen is None:
            return ABSENT
        with acting(actor, path):
            match file_type(seen.st_mode):
                case FileType.FILE:
                    return self._file(path)
                case FileType.DIRECTORY:
                    return _state(seen, xattrs=self._xattrs(path))
                case FileType.LINK:
                    parent, name = self._at(path)
                    return _state(seen, target=os.readlink(name, dir_fd=parent))
                case _:
                    return _state(seen)

    def stat(self, path: str) -> os.stat_result | None:
        """lstat(2) of the path, None if there is nothing."""
        try:
            parent, name = self._at(path)
            return os.stat(name, dir_fd=parent, follow_symlinks=False)
        except OSError as error:
            if error.errno in _GONE:
                return None
            error.filename = path
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
        try:
            seen = os.fstat(descriptor)
            if not stat.S_ISREG(seen.st_mode):
                return _state(seen)
            return _state(seen, digest=_digest(descriptor), xattrs=compared(descriptor))
        finally:
            os.close(descriptor)

    def _open(self, path: str, flags: int = 0) -> int:
        parent, name = self._at(path)
        return os.open(name, _OPEN | flags, dir_fd=parent)

    def _xattrs(self, path: str) -> Attributes:
        try:
            descriptor = self._open(path, os.O_DIRECTORY)
        except PermissionError:
            return ()
        try:
            return compared(descriptor)
        finally:
            os.close(descriptor)

    def read(self, path: str, limit: int, actor: Actor | None = None) -> bytes | None:
        """The bytes of a regular file, None if it is missing; OSError EFBIG beyond `limit` bytes."""
        with acting(actor, path):
            try:
                return self._read(path, limit)
            except OSError as error:
                if error.errno in _GONE:
                    return None
                raise

    def _read(self, path: str, limit: int) -> bytes:
        descriptor = self._open(path)
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise OSError(errno.EINVAL, "is no regular file")
            with open(descriptor, "rb", closefd=False) as file:
                data = file.read(limit + 1)
        finally:
            os.close(descriptor)
        if len(data) > limit:
            raise OSError(errno.EFBIG, f"is larger than {limit} bytes")
        return data

    def entries(self, directory: str) -> tuple[str, ...]:
        """Sorted names in a directory; () if it is missing."""
        try:
            descriptor = self._open(f"{directory.rstrip('/')}/.", os.O_DIRECTORY)
        except OSError as error:
            if error.errno in _GONE:
                return ()
            error.filename = directory
            raise
        try:
            return tuple(sorted(os.listdir(descriptor)))
        finally:
            os.close(descriptor)


def _digest(descriptor: int) -> str:
    digest = hashlib.sha256()
    while chunk := os.read(descriptor, _CHUNK):
        digest.update(chunk)
    return digest.hexdigest()


def _state(seen: os.stat_result, *, digest: str = "", target: str = "", xattrs: Attributes = ()) -> FileState:
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
