"""The loop that turns looks at this node's health into the number that keepalived tracks.

Invariant: the number is written as soon as it changes, and again with its heartbeat each second as long as the loop
runs; a loop that has just begun writes nothing before it knows, since the number of the last one may still be true;
one that hangs or dies lets the heartbeat grow old, and keepalived's guard takes over.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from nodeagent.vip.health import Health, Look, Rule

HEARTBEAT = 1.0  # seconds; the guard takes over after five


class Tracked(Protocol):
    """Where the number goes."""

    def write(self, value: int) -> None:
        """Say that `value` is true now. OSError."""
        ...


class Monitor:
    """`looks` by the name of the rule; each must end within a second or so. `clock` is monotonic, in seconds.

    `drained` is what planned work on this node takes from the priority, 0 if there is none: the lower number counts.
    """

    def __init__(
        self,
        rules: tuple[Rule, ...],
        looks: Mapping[str, Callable[[], Look]],
        tracked: Tracked,
        interval: float,
        clock: Callable[[], float],
        drained: Callable[[], int],
    ) -> None:
        self._looks = looks
        self._tracked = tracked
        self._interval = interval
        self._clock = clock
        self._drained = drained
        self._written: tuple[int, float] | None = None
        self.health = Health.begin(rules)

    def tick(self) -> float:
        """Look once at everything; returns the seconds until the next look."""
        self.health = self.health.after({name: look() for name, look in self._looks.items()})
        if self.health.known:
            self._write(min(self.health.value, self._drained()), self._clock())
        return self._interval

    def _write(self, value: int, now: float) -> None:
        if self._written is None or self._written[0] != value or now - self._written[1] >= HEARTBEAT:
            self._tracked.write(value)
            self._written = value, now


def api_server(complaint: Callable[[str], str]) -> Mapping[str, Callable[[], Look]]:
    """Looks for the rules of the API server; `complaint` says why a path does not answer well, "" if it does."""

    def look(path: str) -> Callable[[], Look]:
        def ask() -> Look:
            found = complaint(path)
            return Look(not found, found)

        return ask

    return {"apiserver-live": look("/livez?exclude=etcd"), "apiserver-ready": look("/readyz")}
