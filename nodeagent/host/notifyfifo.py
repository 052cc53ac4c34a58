"""Reads keepalived's notify FIFO.

Invariant: a line is told once and whole, and a FIFO that keepalived made anew (it does at every start and reload) is
opened again. Lines can be lost, and those of a time when nobody read can be late, so what is heard here wakes a loop
and never stands alone.
"""

from __future__ import annotations

import os
import select
import stat
import time
from collections.abc import Iterator

from nodeagent.observed.vrrp import Transition, VrrpState

_CHUNK = 4096
_LONGEST = 1 << 16  # bytes kept of a line that does not end
_PAUSE = 0.5  # seconds between two looks for the FIFO itself


class NotifyFifo:
    """The FIFO at `path`, as this process sees it. Not shared between threads."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._descriptor = -1
        self._inode = (0, 0)
        self._rest = b""

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor, self._inode, self._rest = -1, (0, 0), b""

    def transitions(self, timeout: float, now: float) -> tuple[Transition, ...]:
        """What was written since the last call, waiting up to `timeout` seconds for the first; stamped with `now`."""
        until = time.monotonic() + timeout
        while True:
            found = tuple(self._lines(now)) if self._opened() else ()
            left = until - time.monotonic()
            if found or left <= 0:
                return found
            self._wait(min(left, _PAUSE))

    def _opened(self) -> bool:
        """Whether the FIFO that stands there now is open."""
        try:
            seen = os.stat(self._path, follow_symlinks=False)
        except FileNotFoundError:
            return self._descriptor >= 0
        if (seen.st_dev, seen.st_ino) != self._inode or self._descriptor < 0:
            if not stat.S_ISFIFO(seen.st_mode):
                return False
            self.close()
            # Open for writing too, as keepalived does: without a writer a FIFO is always ready to be read.
            self._descriptor = os.open(self._path, os.O_RDWR | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
            self._inode = (seen.st_dev, seen.st_ino)
        return True

    def _wait(self, seconds: float) -> None:
        poll = select.poll()
        if self._descriptor >= 0:
            poll.register(self._descriptor, select.POLLIN)
        poll.poll(seconds * 1000)

    def _lines(self, now: float) -> Iterator[Transition]:
        while data := self._read():
            *lines, self._rest = (self._rest + data).split(b"\n")
            self._rest = self._rest[-_LONGEST:]
            for line in lines:
                found = transition(line.decode(errors="replace"), now)
                if found is not None:
                    yield found

    def _read(self) -> bytes:
        try:
            return os.read(self._descriptor, _CHUNK)
        except BlockingIOError:
            return b""


def transition(line: str, now: float) -> Transition | None:
    """`INSTANCE "name" STATE priority`; None for a line about a group, or of another form (keepalived.conf(5))."""
    kind, _, rest = line.partition(" ")
    name, _, words = rest.rpartition('" ')
    state, _, priority = words.partition(" ")
    if kind != "INSTANCE" or not name.startswith('"') or not priority.isdecimal():
        return None
    state = state.partition("_")[0]  # MASTER_PRIORITY, BACKUP_PRIORITY and MASTER_RX_LOWER_PRI tell the state as well
    return Transition(name[1:], _STATES.get(state, VrrpState.UNKNOWN), int(priority), now)


_STATES = {str(state): state for state in VrrpState}
