"""Makes a batch durable: returns once every file and directory that was noted has reached stable storage.

syncfs(2) does it in one call a file system but also flushes everybody else's dirty pages, so it is used only while
there are few of those; otherwise each file and directory is flushed by itself, in threads. Either way an error is the
kernel saying that data may be lost, and is fatal to the batch.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

from nodeagent.host.syscalls import syncfs
from nodeagent.host.tree import Tree, split

_MANY_DIRTY = 64 << 20  # bytes; 256 MiB of others' pages make a syncfs several times slower (docs/performance.md)
_THREADS = 16


class Barrier:
    """Collects the paths that were touched below a tree, and settles them."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._files: set[str] = set()
        self._directories: set[str] = set()

    def note(self, path: str, *, file: bool = False) -> None:
        """`path` was made, renamed or removed; with `file`, its bytes or metadata are new."""
        self._directories.add(split(path)[0])
        if file:
            self._files.add(path)

    def settle(self) -> None:
        """Wait until all that was noted is on stable storage."""
        files, directories = sorted(self._files), sorted(filter(self._exists, self._directories))
        self._files, self._directories = set(), set()
        if dirty_bytes() > _MANY_DIRTY:
            self._flush_each(files, directories)
        else:
            self._flush_file_systems(directories)

    def _exists(self, directory: str) -> bool:
        """False for a directory that was taken back meanwhile: its parent was noted too."""
        try:
            self._tree.directory(directory)
        except FileNotFoundError:
            return False
        return True

    def _open(self, path: str, flags: int) -> int:
        parent, name = split(path)
        return os.open(name or ".", flags | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=self._tree.directory(parent))

    def _flush_file_systems(self, directories: list[str]) -> None:
        flushed: set[int] = set()
        for directory in directories:
            descriptor = os.open(".", os.O_RDONLY | os.O_CLOEXEC, dir_fd=self._tree.directory(directory))
            try:
                device = os.fstat(descriptor).st_dev
                if device not in flushed:
                    syncfs(descriptor)
                    flushed.add(device)
            finally:
                os.close(descriptor)

    def _flush_each(self, files: list[str], directories: list[str]) -> None:
        opened = [self._open(path, os.O_RDONLY | os.O_NONBLOCK) for path in files]
        try:
            with ThreadPoolExecutor(_THREADS) as pool:
                list(pool.map(os.fsync, opened))
        finally:
            for descriptor in opened:
                os.close(descriptor)
        for directory in directories:
            descriptor = os.open(".", os.O_RDONLY | os.O_CLOEXEC, dir_fd=self._tree.directory(directory))
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)


def dirty_bytes() -> int:
    """How much of the machine's page cache waits to be written, in bytes; 0 where the kernel does not tell."""
    try:
        with open("/proc/meminfo") as meminfo:
            return next((int(line.split()[1]) << 10 for line in meminfo if line.startswith("Dirty:")), 0)
    except OSError:
        return 0
