"""What was done in a scene and when, and what was lost after it.

Invariant: each loss belongs to the last fault before it; those before the first have the name "".
"""

from __future__ import annotations

import random
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from tests.soak.course import Fault

Loss = tuple[float, str]  # when what was lost began, and why it was


@dataclass
class Acts:
    """Faults with their times, by the `clock` that losses are told by."""

    clock: Callable[[], float]
    _done: list[tuple[float, str]] = field(default_factory=list)

    def noting(self, fault: Fault) -> Fault:
        """The fault, noted whenever it happens."""

        def noted(chance: random.Random) -> None:
            self._done.append((self.clock(), fault.name))
            fault.act(chance)

        return replace(fault, act=noted)

    def times(self, name: str) -> int:
        """How often that fault has happened."""
        return sum(each == name for _, each in self._done)

    def lost(self, losses: Iterable[Loss]) -> Counter[str]:
        """How much was lost, by fault."""
        return Counter(self._name(self._last(began)) for began, _ in losses)

    def unkept(self, losses: Sequence[Loss], what: str, allowed: Mapping[str, int]) -> list[str]:
        """Where more was lost than is allowed."""
        lost = self.lost(losses)
        return [
            f"{name or 'at first'}: {lost[name]} {what} lost, allowed are {most}: {self._story(losses, name)}"
            for name, most in allowed.items()
            if lost[name] > most
        ]

    def _story(self, losses: Iterable[Loss], name: str) -> str:
        """Each loss after the fault `name`: how long after it, what had been before, and why."""
        told = []
        for began, why in losses:
            last = self._last(began)
            if last >= 0 and self._name(last) == name:
                before = self._name(last - 1) or "nothing"
                told.append(f"{began - self._done[last][0]:.2f} s after it (before it: {before}): {why}")
        return "; ".join(told)

    def _last(self, when: float) -> int:
        """The place of the last fault before a time; -1 where there is none."""
        return bisect_right([began for began, _ in self._done], when) - 1

    def _name(self, place: int) -> str:
        return self._done[place][1] if place >= 0 else ""
