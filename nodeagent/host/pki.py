"""Reads files that hold certificates and keys below a root, following the links that lead to them.

Invariant: nothing outside the root is ever opened, and no link that an unprivileged user owns is followed: each link is
read as a link, and its target walked from the root again. What is told of a file is told of the bytes that were read,
since both come from one descriptor. Nothing blocks on a FIFO or a device that stands in a file's place.
"""

from __future__ import annotations

import errno
import fnmatch
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from nodeagent.host.observe import identity
from nodeagent.host.tree import Tree, UnsafeLink, split
from nodeagent.observed.certificates import PkiFile, Standing

_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_GONE = (errno.ENOENT, errno.ENOTDIR)
_MAX_LINKS = 40  # as the kernel's own limit, path_resolution(7)
_MAX_MATCHES = 20_000  # paths that one glob may name
_WILD = frozenset("*?[")


class PkiReader:
    """Certificates, keys and kubeconfigs below `tree`. Paths are clean and absolute inside it."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._trusted = frozenset({0, os.geteuid()})

    def refresh(self) -> None:
        """Walk every path afresh from the root from now on."""
        self._tree.forget()

    def look(self, path: str) -> PkiFile:
        """What stands at `path`, without its bytes; never raises."""
        found = self._found(path, 0)
        return found if isinstance(found, PkiFile) else found[0]

    def read(self, path: str, limit: int) -> tuple[PkiFile, bytes]:
        """What stands at `path` and its bytes; b"" where there is no readable file of at most `limit` bytes."""
        found = self._found(path, limit)
        return (found, b"") if isinstance(found, PkiFile) else found

    def _found(self, path: str, limit: int) -> PkiFile | tuple[PkiFile, bytes]:
        try:
            real = self._resolved(path)
        except OSError as error:
            return PkiFile(path, _standing(error), problem=_reason(error))
        target = real if real != path else ""
        try:
            with self._opened(real) as descriptor:
                return _described(path, target, descriptor, limit)
        except OSError as error:
            standing = Standing.DANGLING if target and error.errno in _GONE else _standing(error)
            return PkiFile(path, standing, target, problem=_reason(error))

    @contextmanager
    def _opened(self, path: str) -> Iterator[int]:
        parent, name = split(path)
        descriptor = os.open(name, _OPEN, dir_fd=self._tree.directory(parent))
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    def _resolved(self, path: str) -> str:
        """The path at the end of all links; OSError ELOOP for too many, UnsafeLink for one of an untrusted user."""
        for _ in range(_MAX_LINKS):
            target = self._target(path)
            if target is None:
                return path
            path = target if target.startswith("/") else f"{split(path)[0].rstrip('/')}/{target}"
        raise OSError(errno.ELOOP, "is a chain of too many symbolic links", path)

    def _target(self, path: str) -> str | None:
        """Where the link at `path` points; None if no link stands there."""
        parent, name = split(path)
        try:
            link = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=self._tree.directory(parent))
        except FileNotFoundError:
            return None
        try:
            seen = os.fstat(link)
            if not stat.S_ISLNK(seen.st_mode):
                return None
            if seen.st_uid not in self._trusted:
                raise UnsafeLink(path, seen.st_uid)
            return os.readlink("", dir_fd=link)
        finally:
            os.close(link)

    def glob(self, pattern: str) -> tuple[str, ...]:
        """Paths that match an absolute glob, sorted; *, ? and [...] match within a name, and no dot at its start.

        A pattern without wildcards is returned as it is, whether anything stands there or not.
        """
        found = [""]
        for part in pattern.strip("/").split("/"):
            found = [f"{parent}/{name}" for parent in found for name in self._matching(parent or "/", part)]
            if len(found) > _MAX_MATCHES:
                raise OSError(errno.E2BIG, f"matches more than {_MAX_MATCHES} paths", pattern)
        return tuple(sorted(found))

    def _matching(self, directory: str, part: str) -> list[str]:
        if not _WILD & set(part):
            return [part]
        names = self._entries(directory)
        return [name for name in fnmatch.filter(names, part) if part.startswith(".") or not name.startswith(".")]

    def _entries(self, directory: str) -> list[str]:
        try:
            descriptor = os.open(
                ".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=self._tree.directory(directory)
            )
        except OSError:
            return []
        try:
            return os.listdir(descriptor)
        finally:
            os.close(descriptor)


def _described(path: str, target: str, descriptor: int, limit: int) -> tuple[PkiFile, bytes]:
    seen = os.fstat(descriptor)
    found = PkiFile(
        path,
        Standing.FILE,
        target,
        stat.S_IMODE(seen.st_mode),
        seen.st_uid,
        seen.st_gid,
        seen.st_nlink,
        identity(seen),
    )
    if not stat.S_ISREG(seen.st_mode):
        return replace(found, standing=Standing.UNREADABLE, problem="is no regular file"), b""
    if not limit:
        return found, b""
    with open(descriptor, "rb", closefd=False) as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        return replace(found, standing=Standing.UNREADABLE, problem=f"is larger than {limit} bytes"), b""
    return found, data


def _standing(error: OSError) -> Standing:
    return Standing.ABSENT if error.errno in _GONE else Standing.UNREADABLE


def _reason(error: OSError) -> str:
    return "" if error.errno in _GONE else error.strerror or type(error).__name__
