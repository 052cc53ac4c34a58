"""What can be changed in the kernel for an egress gateway, as data.

Never journalled: the state is observed and planned again, because a reboot wipes it. Invariant of the order: links that
must go give their names free first; then everything is made, each after what it needs; what is no longer wanted goes
last, so that traffic finds the new way before the old one ends.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from nodeagent.observed.kernel import (
    Address,
    Fact,
    Macvlan,
    Namespace,
    Nat,
    Pair,
    Port,
    Route,
    Rule,
    Running,
    Sysctl,
)

_NEEDS: Final = (Namespace, Pair, Macvlan, Sysctl, Nat, Running, Address, Route, Rule, Port)  # each those before it
_FIRST: Final = (Port, Namespace, Pair, Macvlan)  # what goes before anything is made, in this order


@dataclass(frozen=True)
class Make:
    """Bring `fact` about, in the place of another value where there can be one only."""

    fact: Fact
    reversible = False

    @property
    def order(self) -> tuple[int, str]:
        return len(_FIRST) + _NEEDS.index(type(self.fact)), f"{self.fact.namespace} {self.fact.title}"

    def describe(self) -> str:
        return f"{self.fact.namespace}: make {self.fact.title}"

    def facts(self) -> Mapping[str, Any]:
        return {"make": self.describe()}


@dataclass(frozen=True)
class Remove:
    """Take `fact` away; done too where it is gone already."""

    fact: Fact
    reversible = False

    @property
    def order(self) -> tuple[int, str]:
        kind = type(self.fact)
        late = len(_FIRST) + 2 * len(_NEEDS) - _NEEDS.index(kind)
        return _FIRST.index(kind) if kind in _FIRST else late, f"{self.fact.namespace} {self.fact.title}"

    def describe(self) -> str:
        return f"{self.fact.namespace}: remove {self.fact.title}"

    def facts(self) -> Mapping[str, Any]:
        return {"remove": self.describe()}


KernelChange = Make | Remove
