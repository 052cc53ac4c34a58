"""The loops that turn looks at this node's health into the number that keepalived tracks.

Invariants: the number is written as soon as it changes, and again with its heartbeat each second as long as the loop
runs; a loop that has just begun lets a fault stand until it knows better, and writes nothing of its own before; one
that hangs, dies or does not come to know lets the heartbeat grow old, and keepalived's guard takes over. What decides
for this node alone never waits for a look that is slow.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Protocol

from nodeagent.vip.health import Health, Look, Rule

HEARTBEAT = 1.0  # seconds; the guard takes over after five
_PATIENCE = 60.0  # seconds for which a number that was found is upheld
Looks = Mapping[str, Callable[[], Look]]


class Tracked(Protocol):
    """Where the number goes."""

    def standing(self) -> int | None:
        """The number that stands there; None if there is none."""
        ...

    def write(self, value: int) -> None:
        """Say that `value` is true now. OSError."""
        ...


def _nothing() -> Mapping[str, Look]:
    """No looks from elsewhere."""
    return {}


class Lookout:
    """Looks one after the other, as slow as they are, on a thread of its own; each result is collected once."""

    def __init__(self, looks: Looks, interval: float) -> None:
        self._looks = looks
        self._interval = interval
        self._lock = threading.Lock()
        self._fresh: dict[str, Look] = {}

    def tick(self) -> float:
        """Look once at everything; returns the seconds until the next look."""
        for name, look in self._looks.items():
            found = look()
            with self._lock:
                self._fresh[name] = found
        return self._interval

    def collected(self) -> Mapping[str, Look]:
        """What was found since the last call."""
        with self._lock:
            fresh, self._fresh = self._fresh, {}
        return fresh


class Monitor:
    """`looks` by the name of the rule; each must end within a second or so. `clock` is monotonic, in seconds.

    `elsewhere` gives the results of looks that are made on other threads. `drained` is what planned work on this node
    takes from the priority, 0 if there is none: the lower number counts.
    """

    def __init__(
        self,
        rules: tuple[Rule, ...],
        looks: Looks,
        tracked: Tracked,
        interval: float,
        clock: Callable[[], float],
        drained: Callable[[], int],
        *,
        elsewhere: Callable[[], Mapping[str, Look]] = _nothing,
    ) -> None:
        self._looks = looks
        self._tracked = tracked
        self._interval = interval
        self._clock = clock
        self._drained = drained
        self._elsewhere = elsewhere
        self._written: tuple[int, float] | None = None
        self._standing = tracked.standing() or 0
        self._patience = clock() + _PATIENCE
        self.health = Health.begin(rules, careful=self._standing < 0)

    @property
    def value(self) -> int | None:
        """The number that was last written; None before the first."""
        return self._written[0] if self._written is not None else None

    def tick(self) -> float:
        """Look once at everything; returns the seconds until the next look."""
        looks = {name: look() for name, look in self._looks.items()}
        self.health = self.health.after({**self._elsewhere(), **looks})
        now = self._clock()
        if self.health.known:
            self._write(min(self.health.value, self._drained()), now)
        elif self._standing < 0 and now < self._patience:
            self._write(min(self._standing, self._drained()), now)
        return self._interval

    def _write(self, value: int, now: float) -> None:
        if self._written is None or self._written[0] != value or now - self._written[1] >= HEARTBEAT:
            self._tracked.write(value)
            self._written = value, now


def looks_at(complaints: Mapping[str, Callable[[], str]]) -> Looks:
    """Looks by the name of the rule; each complaint says why a thing is not well, "" if it is."""

    def look(complaint: Callable[[], str]) -> Callable[[], Look]:
        def ask() -> Look:
            found = complaint()
            return Look(not found, found)

        return ask

    return {name: look(complaint) for name, complaint in complaints.items()}
