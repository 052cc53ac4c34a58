"""Which of many equal events to show.

Invariants: of each event the first BURST within a WINDOW are shown; every other one is counted and the
count is handed out exactly once: when the window ends, when the event is displaced by newer ones, or at the
end. At most CAPACITY events are remembered.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

BURST = 5
WINDOW = 60.0  # seconds
CAPACITY = 256

T = TypeVar("T")


@dataclass
class _Seen(Generic[T]):
    since: float
    last: T
    shown: int = 0
    held_back: int = 0


class Repeats(Generic[T]):
    """Counts equal events. Times are seconds of any clock that never runs backwards."""

    def __init__(self) -> None:
        self._seen: OrderedDict[Hashable, _Seen[T]] = OrderedDict()  # by the start of the window

    def admit(self, event: Hashable, item: T, now: float) -> tuple[bool, list[tuple[T, int]]]:
        """Whether to show `item`, and the counts of events that it displaced."""
        displaced: list[tuple[T, int]] = []
        seen = self._seen.get(event)
        if seen is None:
            displaced = self._forget_oldest() if len(self._seen) >= CAPACITY else []
            seen = self._seen[event] = _Seen(now, item)
        seen.last = item
        if seen.shown < BURST:
            seen.shown += 1
            return True, displaced
        seen.held_back += 1
        return False, displaced

    def ended(self, now: float) -> list[tuple[T, int]]:
        """Forget all events whose window is over; returns the last item and the count of each held back."""
        counts: list[tuple[T, int]] = []
        while self._seen and next(iter(self._seen.values())).since + WINDOW <= now:
            counts += self._forget_oldest()
        return counts

    def all(self) -> list[tuple[T, int]]:
        """Forget all events."""
        return self.ended(float("inf"))

    def _forget_oldest(self) -> list[tuple[T, int]]:
        seen = self._seen.popitem(last=False)[1]
        return [(seen.last, seen.held_back)] if seen.held_back else []
