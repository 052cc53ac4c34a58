"""Whether the world outside is there, as a gateway sees it: its routers answer for their addresses.

Invariant: one answer that is lost, or one that comes by chance, changes nothing: it takes several in a row. A gateway
of which nothing is known counts as well.
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
    """Of one gateway: what is believed, and how many looks in a row have said otherwise."""

    dead: str = ""
    against: int = 0

    def after(self, seen: str) -> None:
        """`seen` is what is dead now, "" for nothing."""
        if bool(seen) == bool(self.dead):
            self.against, self.dead = 0, seen
            return
        self.against += 1
        if self.against >= IN_A_ROW:
            self.against, self.dead = 0, seen


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

    def dead(self, namespace: str) -> str:
        """Routers that do not answer, as words; "" while the outside is there."""
        course = self._courses.get(namespace)
        return course.dead if course else ""
