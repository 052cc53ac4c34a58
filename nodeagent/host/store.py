"""The agent's state directory: private, small, and locked while anybody changes the node.

The directory is 0700 and its files 0600. Files that belong to a transaction are written by the transaction; what is
written here is either a cache that can be made again or a record of its own, and is replaced whole.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
import time
from collections.abc import Iterator

from nodeagent.errors import Broken, Transient
from nodeagent.host.observe import Observer, identity
from nodeagent.host.tree import Tree, ancestors, split

_LIMIT = 256 << 20  # bytes of one state file
_POLL = 0.05  # seconds between two tries for the lock


class Store:
    """The state directory `path` (a path in the tree): read as it is, made by `prepare` before the first write."""

    def __init__(self, tree: Tree, path: str) -> None:
        self._tree = tree
        self.path = path
        self._observer = Observer(tree)
        self._descriptor: int | None = None

    def prepare(self) -> int:
        """A descriptor of the directory, which is made if it is missing and must be ours alone; kept open."""
        if self._descriptor is None:
            for name in ("", "/generations", "/originals", "/fetched"):
                self._make(self.path + name)
            flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
            self._descriptor = os.open(".", flags, dir_fd=self._tree.directory(self.path))
        return self._descriptor

    @property
    def prepared(self) -> bool:
        return self._descriptor is not None

    def _make(self, path: str) -> None:
        """Make a directory and its parents; the last one must be ours alone."""
        missing = []
        for each in ancestors(path):
            try:
                self._tree.directory(each)
            except FileNotFoundError:
                missing.append(each)
            else:
                break
        for each in reversed(missing):
            directory, name = split(each)
            with contextlib.suppress(FileExistsError):
                os.mkdir(name, 0o700 if each.startswith(self.path) else 0o755, dir_fd=self._tree.directory(directory))
            self._flush(directory)
        seen = os.stat(".", dir_fd=self._tree.directory(path))
        if seen.st_uid != os.geteuid() or stat.S_IMODE(seen.st_mode) & 0o077:
            where = self._tree.outside(path)
            raise Broken(f"{where} must belong to uid {os.geteuid()} with mode 0700: chown and chmod it, or move it")

    def _flush(self, directory: str) -> None:
        """A journal is of no use in a directory that a power cut takes away."""
        descriptor = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=self._tree.directory(directory))
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)

    def read(self, name: str) -> bytes | None:
        """The bytes of a state file; None if there is none."""
        return self._observer.read(f"{self.path}/{name}", _LIMIT)

    def write(self, name: str, data: bytes) -> None:
        """Replace a state file, whole; survives a power cut with the old bytes or the new ones."""
        directory, base = split(f"{self.path}/{name}")
        parent = self._tree.directory(directory)
        temporary = f".{base}.new"
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary, dir_fd=parent)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with os.fdopen(os.open(temporary, flags, 0o600, dir_fd=parent), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.rename(temporary, base, src_dir_fd=parent, dst_dir_fd=parent)

    def remove(self, name: str) -> None:
        """Remove a state file; one that is gone already is fine."""
        directory, base = split(f"{self.path}/{name}")
        with contextlib.suppress(FileNotFoundError):
            os.unlink(base, dir_fd=self._tree.directory(directory))

    def names(self, directory: str) -> tuple[tuple[str, int], ...]:
        """Name and size in bytes of each file in a subdirectory, sorted by name."""
        base = f"{self.path}/{directory}"
        states = ((name, self._observer.stat(f"{base}/{name}")) for name in self._observer.entries(base))
        return tuple((name, seen.st_size) for name, seen in states if seen is not None and not name.startswith("."))

    def is_locked(self, name: str) -> bool:
        """Whether a process holds the lock `name` right now."""
        try:
            descriptor = os.open(
                name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=self._tree.directory(self.path)
            )
        except FileNotFoundError:
            return False
        try:
            _lock(descriptor, 0, name)
        except Transient:
            return True
        finally:
            os.close(descriptor)
        return False

    def stamp(self, name: str) -> tuple[int, ...]:
        """What changes whenever a state file is replaced; () while there is none."""
        seen = self._observer.stat(f"{self.path}/{name}")
        return () if seen is None else identity(seen)

    @contextlib.contextmanager
    def locked(self, seconds: float, name: str = "lock") -> Iterator[None]:
        """Hold the lock `name`; Transient if another process still holds it after `seconds`."""
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(name, flags, 0o600, dir_fd=self.prepare())
        try:
            _lock(descriptor, seconds, self._tree.outside(f"{self.path}/{name}"))
            yield
        finally:
            os.close(descriptor)


def _lock(descriptor: int, seconds: float, path: str) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in (errno.EWOULDBLOCK, errno.EINTR):
                raise
        else:
            return
        if time.monotonic() >= deadline:
            raise Transient(f"another nodeagent is changing this node (it holds {path}); try again when it is done")
        time.sleep(_POLL)
