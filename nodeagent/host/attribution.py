"""Names the processes that change interesting paths, as the kernel reports them (fanotify).

Invariant: a writer is told only where the kernel named it for that very path; otherwise `explain` tells why
nobody is known. A process is read from /proc the moment its event arrives, ahead of other work on the machine,
because a short-lived one is gone soon after.

Paths and directories are watched as `inotify.DirectoryWatch` does; the two are independent, so that the loss
of one says nothing about the other. Where the privilege or the kernel support is missing, `Unavailable` takes
the place of `Attribution`: same methods, and the reason as its explanation.
"""

from __future__ import annotations

import errno
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass

from nodeagent.host.fanotify import FAN_Q_OVERFLOW, MOVES, WRITES, Event, Group, Handle, handle_of
from nodeagent.host.interest import Interest, join, outermost
from nodeagent.host.listener import Listener
from nodeagent.host.marks import Marks
from nodeagent.host.processes import Processes
from nodeagent.host.tree import Tree, ancestors, split
from nodeagent.host.writer_log import WriterLog
from nodeagent.observed.writers import Writer

_REMEMBERED_GAPS = 64

_NOT_WATCHING = "the agent was not watching then"
_OVERFLOW = "the event queue overflowed, and events were lost"
_DROPPED = "too many other paths changed since, and the record had to go"
_GONE = "the process (pid {pid}) was gone before it could be read"
_FOREIGN = "the process is in a pid namespace that the agent does not see"
_SILENT = "the kernel named no process: the agent did it, or a write through a mount, a hard link or a mapping"

_UNSUPPORTED = {
    errno.EPERM: "not permitted (CAP_SYS_ADMIN)",
    errno.EINVAL: "the kernel cannot name writers: Linux 5.15 or later is needed",
    errno.ENOSYS: "the kernel is built without fanotify",
    errno.EMFILE: "too many fanotify groups are in use; raise fs.fanotify.max_user_groups (sysctl)",
}


@dataclass(frozen=True)
class Unavailable:
    """Stands in for `Attribution` where writers cannot be named; knows nothing but the reason."""

    reason: str
    gaps = 0

    def watch(self, paths: Collection[str], entries_of: Collection[str] = ()) -> None:
        """There is nothing to watch with."""

    def start(self) -> None:
        """There is no thread."""

    def close(self) -> None:
        """Nothing is open."""

    def problems(self) -> tuple[str, ...]:
        return (f"who changes files is not known anywhere: {self.reason}",)

    def writers(self, _path: str, _since: float) -> tuple[Writer, ...]:
        return ()

    def explain(self, _path: str, _since: float) -> str:
        return self.reason

    def gaps_since(self, _when: float) -> int:
        return 0


class Attribution:
    """The writers of interesting paths. All times are seconds since the epoch, by `clock`."""

    def __init__(self, group: Group, ignore_pids: Collection[int], clock: Callable[[], float]) -> None:
        self._group = group
        self._ignored = ignore_pids
        self._clock = clock
        self._lock = threading.Lock()
        self._interest = Interest()
        self._marks = Marks(self._mark, self._unmark, "who changes files is not known", _advice)
        self._marked_since: dict[str, float] = {}
        self._log = WriterLog()
        self._processes = Processes()
        self._overflows: deque[float] = deque(maxlen=_REMEMBERED_GAPS)
        self.gaps = 0
        self._listener = Listener("fanotify", group.descriptor, self._readable, urgent=True)

    @classmethod
    def open(
        cls, ignore_pids: Collection[int] | None = None, clock: Callable[[], float] = time.time
    ) -> Attribution | Unavailable:
        """Ask the kernel for a notification group.

        Changes by `ignore_pids` (by default this process; it may be a set that the caller goes on changing)
        are ours and are not recorded.
        """
        try:
            group = Group()
        except OSError as error:
            return Unavailable(_UNSUPPORTED.get(error.errno or 0, error.strerror or "unknown"))
        return cls(group, {os.getpid()} if ignore_pids is None else ignore_pids, clock)

    def start(self) -> None:
        self._listener.start()

    def close(self) -> None:
        if self._listener.close():
            self._marks.close()
            self._group.close()

    def watch(self, paths: Collection[str], entries_of: Collection[str] = ()) -> None:
        """Replace the interesting paths; as `DirectoryWatch.watch`."""
        interest = Interest(paths, entries_of, insides=True)  # a directory's own events carry its handle alone
        with self._lock:
            self._interest = interest
            self._note(self._marks.want(interest))
            self._marked_since = {path: since for path, since in self._marked_since.items() if path in self._marks}

    def problems(self) -> tuple[str, ...]:
        """Where writers cannot be named, and why; () if all is well."""
        with self._lock:
            return self._marks.problems()

    def writers(self, path: str, since: float) -> tuple[Writer, ...]:
        """Who changed `path`, or moved, made or removed a directory above it, since then; newest last."""
        with self._lock:
            return self._writers(path, since)

    def explain(self, path: str, since: float) -> str:
        """Why no writer of `path` since then has a name; "" if one has."""
        with self._lock:
            writers = self._writers(path, since)
            if any(writer.command for writer in writers):
                return ""
            if writers:
                return _GONE.format(pid=writers[-1].pid) if writers[-1].pid else _FOREIGN
            return self._silence(path, since)

    def gaps_since(self, when: float) -> int:
        """How often events were lost at or after `when`, up to 64; `gaps` counts all."""
        with self._lock:
            return sum(overflow >= when for overflow in self._overflows)

    def _writers(self, path: str, since: float) -> tuple[Writer, ...]:
        found = list(self._log.since(path, since))
        for directory in ancestors(split(path)[0]):
            found += self._log.since(_moved(directory), since)
        return tuple(sorted(found, key=lambda writer: writer.when))

    def _silence(self, path: str, since: float) -> str:
        parent = split(path)[0]
        if reason := self._marks.reason(parent):
            return reason
        if self._marked_since.get(parent, float("inf")) > since:
            return _NOT_WATCHING
        if any(overflow >= since for overflow in self._overflows):
            return _OVERFLOW
        return _DROPPED if self._log.dropped_until >= since else _SILENT

    def _mark(self, descriptor: int, directory: str) -> Handle:
        writes = WRITES if self._interest.holds(directory) else 0
        handle = handle_of(descriptor)
        self._group.mark(descriptor, MOVES | writes)
        return handle

    def _unmark(self, directory: str, handle: Handle) -> None:
        """A directory that was moved away keeps its mark until it is removed; its events lead nowhere."""
        try:
            with Tree() as tree:
                descriptor = tree.directory(directory)
                if handle_of(descriptor) == handle:
                    self._group.unmark(descriptor)
        except OSError:
            return

    def _note(self, fresh: Iterable[str]) -> None:
        now = self._clock()
        self._marked_since.update(dict.fromkeys(fresh, now))

    def _readable(self) -> None:
        events = self._group.read()
        try:
            with self._lock:
                self._absorb(events)
        finally:
            for event in events:
                if event.pidfd >= 0:
                    os.close(event.pidfd)

    def _absorb(self, events: Iterable[Event]) -> None:
        """Read the processes first, since they may be about to end; then move the marks."""
        moved: set[str] = set()
        for event in events:
            if event.mask & FAN_Q_OVERFLOW:
                self.gaps += 1
                self._overflows.append(self._clock())
                moved.add("/")
            elif event.directory is not None:
                self._sort(event, event.directory, moved)
        for top in outermost(moved):
            self._note(self._marks.renew(top))

    def _sort(self, event: Event, handle: Handle, moved: set[str]) -> None:
        writer: Writer | None = None
        for directory in self._marks.directories(handle):
            parent, name = split(directory) if event.name == "." else (directory, event.name)
            path = join(parent, name)
            shifts = bool(event.mask & MOVES) and self._interest.leads_on(path)
            keys = [path] if self._interest.concerns(parent, name) else []
            if shifts:
                moved.add(path)
                keys.append(_moved(path))
            if keys and event.pid not in self._ignored:
                writer = writer or self._processes.writer(event.pid, event.pidfd, self._clock())
                for key in keys:
                    self._log.record(key, writer)


def _moved(directory: str) -> str:
    """Where the log keeps who made, moved or removed a directory, apart from other changes to it."""
    return f"{directory}/"


def _advice(error: OSError) -> str:
    if error.errno in (errno.EOPNOTSUPP, errno.ENODEV, errno.EXDEV):
        return "this kind of file system does not tell who changes files"
    return error.strerror or f"error {error.errno}"
