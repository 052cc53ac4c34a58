"""A thread that sleeps until a descriptor has something to read.

Invariant: it costs nothing while nothing happens; it waits without a time limit for either the descriptor or
the signal to stop.
"""

from __future__ import annotations

import os
import select
import threading
from collections.abc import Callable
from contextlib import suppress

_STOP_DEADLINE = 5.0  # seconds
_URGENT = -15  # nice value, setpriority(2); on Linux it holds for one thread


class Listener:
    """Calls `readable` on its own thread, named `name`, whenever `descriptor` can be read.

    An `urgent` one goes before other processes on a busy machine, if we may ask for that (CAP_SYS_NICE).
    """

    def __init__(self, name: str, descriptor: int, readable: Callable[[], None], *, urgent: bool = False) -> None:
        self._descriptor = descriptor
        self._readable = readable
        self._urgent = urgent
        self._stop = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> bool:
        """Stop; tells whether the thread has ended, without which its descriptors must stay open.

        A thread that hangs in `readable` is left behind after 5 seconds.
        """
        os.eventfd_write(self._stop, 1)
        if self._thread.ident is not None:
            self._thread.join(_STOP_DEADLINE)
        if self._thread.is_alive():
            return False
        os.close(self._stop)
        return True

    def _run(self) -> None:
        if self._urgent:
            with suppress(PermissionError):
                os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _URGENT)
        poll = select.poll()
        poll.register(self._descriptor, select.POLLIN)
        poll.register(self._stop, select.POLLIN)
        while True:
            ready = {descriptor for descriptor, _ in poll.poll()}
            if self._stop in ready:
                return
            self._readable()
