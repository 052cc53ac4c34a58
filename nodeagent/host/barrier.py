"""Makes a batch durable: returns once every file and directory that was noted has reached stable storage.

syncfs(2) does it in one call a file system but also flushes everybody else's dirty pages, so it is used only while
there are few of those; otherwise each file and directory is flushed by itself, in threads. Either way an error is the
kernel saying that data may be lost, and is fatal to the batch.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from nodeagent.host.syscalls import syncfs
from nodeagent.host.tree import Tree, split

_MANY_DIRTY = 64 << 20  # bytes; 256 MiB of others' pages make a syncfs several times slower (docs/performance.md)
_THREADS = 16
_AT_ONCE = 256  # files held open at a time

_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


class Barrier:
    """Collects the paths that were touched below a tree, and settles them."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._entries: set[str] = set()
        self._inodes: set[str] = set()

    def note(self, path: str, *, inode: bool = False) -> None:
        """`path` was made, renamed or removed; with `inode`, what stands there has new bytes or metadata."""
        self._entries.add(split(path)[0])
        if inode:
            self._inodes.add(path)

    def settle(self) -> None:
        """Wait until all that was noted, and is still there, is on stable storage."""
        directories = [f"{path.rstrip('/')}/." for path in sorted(self._entries)]
        inodes = sorted(self._inodes)
        self._entries, self._inodes = set(), set()
        if dirty_bytes() <= _MANY_DIRTY:
            self._flush_file_systems([*directories, *inodes])
            return
        try:
            self._flush_each([*inodes, *directories])
        except PermissionError:  # a file that not even its owner may read: only root could flush it by itself
            self._flush_file_systems([*directories, *inodes])

    def _flush_file_systems(self, paths: Sequence[str]) -> None:
        flushed: set[int] = set()
        for path in paths:
            device = self._device(path)
            if device is None or device in flushed:
                continue
            with self._opened([path]) as opened:
                for each in opened:
                    each.flush(syncfs)
                    flushed.add(device)

    def _flush_each(self, paths: Sequence[str]) -> None:
        from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415 - seldom needed, and memory in a daemon

        with ThreadPoolExecutor(_THREADS) as pool:
            for first in range(0, len(paths), _AT_ONCE):
                with self._opened(paths[first : first + _AT_ONCE]) as opened:
                    list(pool.map(lambda each: each.flush(os.fsync), opened))

    def _device(self, path: str) -> int | None:
        """The file system that `path` lies on; None if it was taken back meanwhile: its parent was noted too."""
        directory, name = split(path)
        try:
            return os.stat(name, dir_fd=self._tree.directory(directory), follow_symlinks=False).st_dev
        except FileNotFoundError:
            return None

    @contextmanager
    def _opened(self, paths: Sequence[str]) -> Iterator[list[_Opened]]:
        """Those of `paths` that are there."""
        opened: list[_Opened] = []
        try:
            for path in paths:
                with suppress(FileNotFoundError):
                    opened.append(_Opened(path, self._open(path)))
            yield opened
        finally:
            for each in opened:
                os.close(each.descriptor)

    def _open(self, path: str) -> int:
        directory, name = split(path)
        return os.open(name, _OPEN, dir_fd=self._tree.directory(directory))


@dataclass(frozen=True)
class _Opened:
    path: str
    descriptor: int

    def flush(self, flush: Callable[[int], None]) -> None:
        try:
            flush(self.descriptor)
        except OSError as error:
            error.filename = self.path.removesuffix("/.")
            raise


def dirty_bytes() -> int:
    """How much of the machine's page cache waits to be written, in bytes; 0 where the kernel does not tell."""
    try:
        with open("/proc/meminfo") as meminfo:
            return next((int(line.split()[1]) << 10 for line in meminfo if line.startswith("Dirty:")), 0)
    except OSError:
        return 0
