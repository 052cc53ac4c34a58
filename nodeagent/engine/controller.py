"""The loop of a job: one thread that sleeps until it is woken or its time has come, and then looks afresh.

Invariants: work happens only on the loop's own thread; a wake-up during work is never lost; a failure is retried with
full-jitter exponential back-off and counted; the loop beats each time round, so that a stuck one shows.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from nodeagent.errors import NodeAgentError

_SHORTEST, _LONGEST = 1.0, 300.0  # seconds between two tries after failures
_JITTER = 0.1  # share by which every period varies, so that a fleet does not move in step


class Watcher(Protocol):
    """Is told how a loop fares."""

    def beat(self, name: str) -> None: ...

    def succeeded(self, name: str) -> None: ...

    def failed(self, name: str, error: Exception, failures: int, delay: float) -> None: ...


@dataclass(frozen=True)
class Backoff:
    """Delay after the n-th failure in a row: random between 0 and a bound that doubles up to `longest` seconds."""

    shortest: float = _SHORTEST
    longest: float = _LONGEST

    def delay(self, failures: int, chance: random.Random) -> float:
        bound = min(self.longest, self.shortest * 2.0 ** min(failures - 1, 32))
        return chance.uniform(self.shortest / 2, bound)


def jittered(seconds: float, chance: random.Random) -> float:
    """`seconds`, a little earlier or later."""
    return seconds * chance.uniform(1 - _JITTER, 1 + _JITTER)


class Controller:
    """Runs `tick` on a thread of its own. `tick` returns in how many seconds it wants to run again at the latest."""

    def __init__(
        self,
        name: str,
        tick: Callable[[], float],
        watcher: Watcher,
        chance: random.Random,
        backoff: Backoff = Backoff(),
    ) -> None:
        self.name = name
        self._tick = tick
        self._watcher = watcher
        self._chance = chance
        self._backoff = backoff
        self._woken = threading.Event()
        self._stopping = threading.Event()
        self._failures = 0
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def wake(self) -> None:
        """Have the loop look again now, or again as soon as it is done with what it does."""
        self._woken.set()

    @property
    def stopping(self) -> bool:
        return self._stopping.is_set()

    def end(self) -> None:
        """Ask the loop to end, without waiting for it."""
        self._stopping.set()
        self._woken.set()

    def stop(self, deadline: float) -> bool:
        """Ask the loop to end and wait up to `deadline` seconds for it; False if it is still at work."""
        self.end()
        self._thread.join(deadline)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._watcher.beat(self.name)
            delay = self.step()
            if not self._stopping.is_set():  # the step may have forgotten the wake-up that came with it
                self._woken.wait(delay)

    def step(self) -> float:
        """Look once; returns the seconds to sleep unless woken."""
        self._woken.clear()
        try:
            wanted = self._tick()
        except (NodeAgentError, OSError) as error:
            self._failures += 1
            delay = self._backoff.delay(self._failures, self._chance)
            self._watcher.failed(self.name, error, self._failures, delay)
            return delay
        self._failures = 0
        self._watcher.succeeded(self.name)
        return jittered(wanted, self._chance)
