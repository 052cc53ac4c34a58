"""Wakes when something happens to an interesting path, by one inotify instance (inotify(7)).

Invariant: after an interesting path changed for the last time, there is a wake-up that names it or tells of
an overflow, and every directory that stood on the way at that change was marked before the wake-up. So
whoever looks afresh on each wake-up ends up knowing the truth. Wake-ups may be too many (a path that did not
change, or changed back), never too few. What inotify does not see, nothing here does: a mount that covers a
directory, something renamed above the target of a linked parent (calling `watch` again moves the marks
there), writes through another hard link or a memory map.

The instance, its watches and their flags are pyinotify's. Its notifier is not used: it dies on a file name
that is not UTF-8, which any user who may write to a watched directory could give.
"""

from __future__ import annotations

import ctypes
import errno
import logging
import os
import struct
import threading
import warnings
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass

from nodeagent.errors import Transient
from nodeagent.host.interest import Interest, join, outermost
from nodeagent.host.listener import Listener
from nodeagent.host.marks import Marks

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of asyncore's removal and of escapes in its strings
    import pyinotify

logging.getLogger("pyinotify").handlers.clear()  # it would print to the terminal what our own handlers log

_HEADER = struct.Struct("iIII")  # struct inotify_event: wd, mask, cookie, length of the name
_BUFFER = 1 << 16  # bytes: some two thousand events a wake-up

_ON_THE_WAY: int = (
    pyinotify.IN_ATTRIB
    | pyinotify.IN_CREATE
    | pyinotify.IN_DELETE
    | pyinotify.IN_MOVED_FROM
    | pyinotify.IN_MOVED_TO
    | pyinotify.IN_DELETE_SELF
    | pyinotify.IN_MOVE_SELF
)
_WRITTEN: int = pyinotify.IN_MODIFY | pyinotify.IN_CLOSE_WRITE
_HOW: int = pyinotify.IN_ONLYDIR | pyinotify.IN_MASK_ADD  # two paths may lead to one watch: add up
_GONE: int = pyinotify.IN_DELETE_SELF | pyinotify.IN_MOVE_SELF | pyinotify.IN_UNMOUNT | pyinotify.IN_IGNORED


@dataclass(frozen=True)
class Wake:
    """Look at `paths` again; at everything if `overflow` is set, because the kernel dropped events."""

    paths: frozenset[str]
    overflow: bool = False


@dataclass(frozen=True, slots=True)
class Event:
    """struct inotify_event; `name` is "" where the watched directory itself is meant."""

    watch: int
    mask: int
    name: str = ""


class DirectoryWatch:
    """Calls `wake` on its own thread, once for each batch of events that holds an interesting one.

    `wake` must not block nor raise: it sets a flag for somebody else. Transient is raised where the kernel
    grants no inotify instance.
    """

    def __init__(self, wake: Callable[[Wake], None]) -> None:
        self._wake = wake
        self._lock = threading.Lock()
        self._interest = Interest()
        self._manager = _instance()
        self._descriptor: int = self._manager.get_fd()
        self._marks = Marks(self._add, self._remove, "changes are not noticed at once", _advice)
        self._listener = Listener("inotify", self._descriptor, self._readable)

    def watch(self, paths: Collection[str], entries_of: Collection[str] = ()) -> None:
        """Replace the interesting paths, absolute on the host; in `entries_of` every entry counts.

        From the return on nothing is missed: look at the paths after it, not before. Called again with the
        same paths, it finds directories that were mounted over, and tries again where marks failed.
        """
        interest = Interest(paths, entries_of)
        with self._lock:
            self._interest = interest
            self._marks.want(interest)

    def problems(self) -> tuple[str, ...]:
        """What is not watched and how to mend it; () if all is well."""
        with self._lock:
            return self._marks.problems()

    def start(self) -> None:
        self._listener.start()

    def close(self) -> None:
        """Stop watching; no wake-up comes after it, unless `wake` hung for longer than the deadline."""
        if self._listener.close():
            self._marks.close()
            self._manager.close()

    def _add(self, descriptor: int, directory: str) -> int:
        """The path of an open descriptor leads to the directory that was checked, wherever links point."""
        path = f"/proc/self/fd/{descriptor}"
        mask = _ON_THE_WAY | (_WRITTEN if self._interest.holds(directory) else 0)
        try:
            return int(self._manager.add_watch(path, mask | _HOW, quiet=False)[path])
        except pyinotify.WatchManagerError as error:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code), directory) from error

    def _remove(self, _directory: str, watch: int) -> None:
        with suppress(pyinotify.WatchManagerError):  # the kernel was faster: the directory is gone
            self._manager.rm_watch(watch, quiet=False)

    def _readable(self) -> None:
        wake = self._absorb(parse(os.read(self._descriptor, _BUFFER)))
        if wake is not None:
            self._wake(wake)

    def _absorb(self, events: Iterable[Event]) -> Wake | None:
        """Move marks to where directories are now, then tell whom to wake; None if nobody."""
        woken: set[str] = set()
        moved: set[str] = set()
        overflow = False
        with self._lock:
            for event in events:
                overflow |= bool(event.mask & pyinotify.IN_Q_OVERFLOW)
                self._forget_ignored(event)
                for directory in self._marks.directories(event.watch):
                    self._sort(directory, event, woken, moved)
            if overflow:
                self._marks.renew()
            for top in outermost(moved):
                self._marks.renew(top)
                woken.update(self._interest.paths(top))
        return Wake(frozenset(woken), overflow) if woken or overflow else None

    def _sort(self, directory: str, event: Event, woken: set[str], moved: set[str]) -> None:
        if not event.name:
            if event.mask & _GONE:
                moved.add(directory)
            return
        path = join(directory, event.name)
        if self._interest.concerns(directory, event.name):
            woken.add(path)
        if self._interest.leads_on(path):
            moved.add(path)

    def _forget_ignored(self, event: Event) -> None:
        if event.mask & pyinotify.IN_IGNORED and self._manager.get_watch(event.watch) is not None:
            self._manager.del_watch(event.watch)


def parse(buffer: bytes) -> Iterator[Event]:
    """The events in what read(2) returned from an inotify descriptor."""
    offset = 0
    while offset < len(buffer):
        watch, mask, _, length = _HEADER.unpack_from(buffer, offset)
        offset += _HEADER.size
        name = buffer[offset : offset + length].rstrip(b"\0")
        offset += length
        yield Event(watch, mask, os.fsdecode(name))


def _instance() -> pyinotify.WatchManager:
    try:
        manager = pyinotify.WatchManager()
    except OSError as error:
        raise Transient(
            "the kernel grants no inotify instance: this user has too many of them, or too many open files; "
            "raise fs.inotify.max_user_instances (sysctl) or the limit of open files"
        ) from error
    os.set_inheritable(manager.get_fd(), False)
    os.set_blocking(manager.get_fd(), False)
    return manager


def _advice(error: OSError) -> str:
    if error.errno == errno.ENOSPC:
        return "the limit of inotify watches is reached; raise fs.inotify.max_user_watches (sysctl)"
    if error.errno == errno.EACCES:
        return "not permitted to read the directory; run as root"
    return error.strerror or f"error {error.errno}"
