"""Makes a batch durable: returns once every file and directory that was noted has reached stable storage.

syncfs(2) does it in one call a file system but also flushes everybody else's dirty pages, so it is used only while
there are few of those; otherwise each file and directory is flushed by itself, in threads. A large batch is written in
the background while it is still being made. An error is the kernel saying that data may be lost, and fatal to a batch.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from threading import Thread

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
        self._made: set[tuple[str, str]] = set()
        self._ahead: _Ahead | None = None

    def note(self, path: str, *, inode: bool = False) -> None:
        """`path` was made, renamed or removed; with `inode`, what stands there has new bytes or metadata."""
        self.touched(split(path)[0])
        if inode:
            self._inodes.add(path)

    def touched(self, directory: str) -> None:
        """A name in `directory` was made, renamed or removed."""
        self._entries.add(directory)

    def made(self, directory: str, name: str) -> None:
        """`name` is a new file in `directory`, and so on the same file system."""
        self._entries.add(directory)
        self._made.add((directory, name))

    def hasten(self, directory: str) -> None:
        """Have what was touched on the file system of `directory` written meanwhile, so that `settle` waits less.

        Does nothing while an earlier call is still at it, or where it would write what is others'.
        """
        if (self._ahead is not None and self._ahead.at_work()) or dirty_bytes() > _MANY_DIRTY:
            return
        self._catch_up()
        here = f"{directory.rstrip('/')}/."
        with suppress(PermissionError):  # a directory that we may not list: `settle` will see
            self._ahead = _Ahead(_Opened(here, self._open(here)))

    def _catch_up(self) -> None:
        """Wait for what is written meanwhile; OSError if that has failed."""
        ahead, self._ahead = self._ahead, None
        if ahead is not None:
            ahead.end()

    def settle(self) -> None:
        """Wait until all that was noted, and is still there, is on stable storage."""
        self._catch_up()
        directories = [f"{path.rstrip('/')}/." for path in sorted(self._entries)]
        inodes, made = sorted(self._inodes), sorted(self._made)
        self._entries, self._inodes, self._made = set(), set(), set()
        if dirty_bytes() <= _MANY_DIRTY:
            self._flush_file_systems([*directories, *inodes])
            return
        try:
            self._flush_each([*inodes, *(f"{directory.rstrip('/')}/{name}" for directory, name in made), *directories])
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


class _Ahead:
    """A flush of the whole file system of an open directory, in a thread that closes it."""

    def __init__(self, directory: _Opened) -> None:
        self._directory = directory
        self._failure: OSError | None = None
        self._thread = Thread(target=self._flush, name="flush")
        try:
            self._thread.start()
        except RuntimeError:  # as many threads as we may have: then now
            self._flush()

    def _flush(self) -> None:
        try:
            self._directory.flush(syncfs)
        except OSError as error:
            self._failure = error
        finally:
            os.close(self._directory.descriptor)

    def at_work(self) -> bool:
        return self._thread.is_alive()

    def end(self) -> None:
        """Wait for it; OSError if it has failed, which the kernel tells but once."""
        if self._thread.ident is not None:
            self._thread.join()
        if self._failure is not None:
            raise self._failure


def dirty_bytes() -> int:
    """How much of the machine's page cache waits to be written, in bytes; 0 where the kernel does not tell."""
    try:
        with open("/proc/meminfo") as meminfo:
            return next((int(line.split()[1]) << 10 for line in meminfo if line.startswith("Dirty:")), 0)
    except OSError:
        return 0
