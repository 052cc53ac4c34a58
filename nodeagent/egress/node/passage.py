"""Whether what comes to a gateway goes on, by the kernel's own counters.

Both ends of BFD can have a session up while nothing gets through: a rule in the way, a full table of connections.

Invariants: a gateway to which nothing comes is never stuck, and one that forwards anything at all is not. Once its
traffic has gone elsewhere nobody can tell whether it would forward again: it is tried again after a while, ever later
while it fails.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

from nodeagent.egress.node.part import GatewayPart
from nodeagent.egress.node.upstream import IN_A_ROW
from nodeagent.engine.controller import Backoff

_ENOUGH: Final = 10  # packets that come between two looks; fewer may be what nobody forwards, as multicast
_AGAIN: Final = Backoff(10.0, 600.0)
_FORGIVEN: Final = 60.0  # seconds without such trouble after which a gateway has no history


class Passing(Protocol):
    """Packets of one version of IP since the namespace is there: those that came to be forwarded, and that were."""

    @property
    def came(self) -> int: ...

    @property
    def went(self) -> int: ...


@dataclass
class _Course:
    """Of one version of IP in one gateway: how many looks in a row were bad or, while it is stuck, good.

    `lost` are the packets of those looks; `told` says that it is stuck, and holds `until` a time.
    """

    came: int
    went: int
    row: int = 0
    lost: int = 0
    told: str = ""
    until: float = 0.0
    failures: int = 0

    def after(self, seen: Passing, version: int, now: float, chance: random.Random) -> None:
        came, went = seen.came - self.came, seen.went - self.went
        self.came, self.went = seen.came, seen.went
        if self.told:
            self.row = self.row + 1 if went > 0 else 0
            if self.row >= IN_A_ROW or now >= self.until:
                self.told, self.row, self.lost = "", 0, 0
        elif went > 0 or came < _ENOUGH:
            self.row = self.lost = 0
        else:
            self.row, self.lost = self.row + 1, self.lost + came
            if self.row >= IN_A_ROW:
                self._stuck(version, now, chance)

    def _stuck(self, version: int, now: float, chance: random.Random) -> None:
        self.failures = 1 if now - self.until > _FORGIVEN else self.failures + 1
        self.until = now + _AGAIN.delay(self.failures, chance)
        self.told, self.row = f"none of {self.lost} packets of IPv{version} that came was forwarded", 0


@dataclass
class Passage:
    """Looks at the counters of all `parts`; `count` has them by version of IP, {} where they cannot be read."""

    parts: Callable[[], Iterable[GatewayPart]]
    count: Callable[[str], Mapping[int, Passing]]
    changed: Callable[[], None]
    interval: float
    chance: random.Random
    clock: Callable[[], float] = time.monotonic
    _courses: dict[tuple[str, int], _Course] = field(default_factory=dict)

    def tick(self) -> float:
        """One round; the seconds to the next."""
        before = self._told()
        seen = {
            (part.namespace, version): passing
            for part in self.parts()
            for version, passing in self.count(part.namespace).items()
        }
        self._courses = {
            place: self._courses.get(place, _Course(passing.came, passing.went)) for place, passing in seen.items()
        }
        for place, course in self._courses.items():
            course.after(seen[place], place[1], self.clock(), self.chance)
        if self._told() != before:
            self.changed()
        return self.interval

    def stuck(self, namespace: str) -> str:
        """Why nothing gets through a gateway; "" where all is well or nothing comes."""
        return "; ".join(told for place, told in sorted(self._told().items()) if place[0] == namespace)

    def _told(self) -> Mapping[tuple[str, int], str]:
        return {place: course.told for place, course in self._courses.items() if course.told}
