"""Whether the world outside is there, as a gateway sees it: its routers answer for their addresses.

Invariant: one answer that is lost, or one that comes by chance, changes nothing: it takes several in a row. A gateway
of which nothing is known yet is neither dead nor alive, so that an agent which starts leaves it as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

from nodeagent.egress.node.dataplane import OUTSIDE
from nodeagent.egress.node.part import GatewayPart, Leg

IN_A_ROW: Final = 3  # looks that agree, before another state is believed


@dataclass
class _Course:
    """Of one gateway: what is believed, if anything is, and how many looks in a row have said the same."""

    dead: str | None = None
    last: bool = False
    row: int = 0

    def after(self, seen: str) -> None:
        """`seen` is what is dead now, "" for nothing."""
        self.row = self.row + 1 if bool(seen) == self.last else 1
        self.last = bool(seen)
        believed = self.dead is not None and bool(self.dead) == self.last
        if believed or self.row >= IN_A_ROW:
            self.dead = seen


@dataclass
class Upstream:
    """Looks at the routers outside of all `parts`; `answers` says whether one does, in the namespace of its part."""

    parts: Callable[[], Iterable[GatewayPart]]
    answers: Callable[[GatewayPart, str, Leg], bool]
    changed: Callable[[], None]
    interval: float
    _courses: dict[str, _Course] = field(default_factory=dict)

    def tick(self) -> float:
        """One round; the seconds to the next."""
        found = {part.namespace: part for part in self.parts()}
        before = {name: self.dead(name) for name in found}
        self._courses = {name: self._courses.get(name, _Course()) for name in found}
        for name, part in found.items():
            silent = [leg.router for leg in part.outside if not self.answers(part, OUTSIDE, leg)]
            self._courses[name].after(", ".join(silent))
        if before != {name: self.dead(name) for name in found}:
            self.changed()
        return self.interval

    def dead(self, namespace: str) -> str | None:
        """Routers that do not answer, as words; "" while the outside is there, None while nothing is known."""
        course = self._courses.get(namespace)
        return course.dead if course else None
