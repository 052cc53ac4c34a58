"""This node's health as one number, which keepalived adds to the priority of its instances.

Invariants: -254 (FAULT) comes only from a fault that is this node's alone; whatever the peers could share at the same
time only lowers the priority, so that never all of them leave the election and the VIP stays somewhere. A check changes
sides only after enough equal looks in a row. The number depends on what was seen here, never on the cluster's API.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

HEALTHY = 0
FAULT = -254  # keepalived: below -253 an instance goes to FAULT
LOWEST = -253


class Scope(StrEnum):
    """Whose fault a failed check is."""

    OWN = "own"  # this node's alone: it leaves the election
    SHARED = "shared"  # its peers may have it as well: its priority falls


@dataclass(frozen=True)
class Rule:
    """One check. `weight` is what a SHARED failure takes from the priority; `fall` and `rise` count looks in a row."""

    name: str
    scope: Scope
    weight: int = 0
    fall: int = 2
    rise: int = 20

    @property
    def worth(self) -> int:
        """What a failure takes from the priority; 254 is all of it."""
        return -FAULT if self.scope is Scope.OWN else self.weight


@dataclass(frozen=True)
class Look:
    """What one look at a check found; `detail` says for people why it is not well."""

    well: bool
    detail: str = ""


@dataclass(frozen=True)
class Check:
    """A rule and what its looks have led to: `failed` is None until enough of them agree for the first time.

    `run` counts the last looks that agree with each other, `well` is what they say. A `careful` one asks for as many
    good looks at first as after a failure: nobody knows what was before.
    """

    rule: Rule
    careful: bool = False
    failed: bool | None = None
    well: bool | None = None
    run: int = 0
    detail: str = ""

    def after(self, look: Look) -> Check:
        """The check after one more look."""
        run = self.run + 1 if look.well is self.well else 1
        rising = look.well and (self.careful if self.failed is None else self.failed)
        needed = self.rule.rise if rising else self.rule.fall
        failed = not look.well if run >= needed else self.failed
        detail = look.detail or (self.detail if failed else "")
        return replace(self, failed=failed, well=look.well, run=run, detail=detail)

    def facts(self) -> dict[str, Any]:
        return {"name": self.rule.name, "scope": str(self.rule.scope), "failed": self.failed, "detail": self.detail}


@dataclass(frozen=True)
class Health:
    """All checks of this node."""

    checks: tuple[Check, ...]

    @classmethod
    def begin(cls, rules: Iterable[Rule], *, careful: bool = False) -> Health:
        """Nothing is known yet; a `careful` beginning is slow to believe that this node alone is well again."""
        return cls(tuple(Check(rule, careful and rule.scope is Scope.OWN) for rule in rules))

    def after(self, looks: Mapping[str, Look]) -> Health:
        """The health after looks at some checks, by name; those that were not looked at stay as they are."""
        return Health(
            tuple(check.after(looks[check.rule.name]) if check.rule.name in looks else check for check in self.checks)
        )

    @property
    def known(self) -> bool:
        """Whether every check has come to a first result: a number before that could undo a fault that lasts."""
        return all(check.failed is not None for check in self.checks)

    @property
    def failed(self) -> tuple[Check, ...]:
        return tuple(check for check in self.checks if check.failed)

    @property
    def value(self) -> int:
        """What the track file says: 0, a loss of priority down to -253, or -254 for FAULT."""
        if any(check.rule.scope is Scope.OWN for check in self.failed):
            return FAULT
        return max(LOWEST, -sum(check.rule.weight for check in self.failed))


LIVE, READY, BALANCER, ETCD, DISK, CERTIFICATE = (
    "apiserver-live",
    "apiserver-ready",
    "balancer",
    "etcd",
    "disk",
    "certificate",
)


def rules(weights: Mapping[str, int], fall: int, rise: int) -> tuple[Rule, ...]:
    """The checks of a control-plane node; those in `weights` are SHARED, and one of weight 0 is not made.

    The API server's livez without etcd is this node's own. Readyz also fails when etcd or a webhook does, a balancer
    when its backends do; disks fill and certificates expire on all nodes together.
    """
    shared = (Rule(name, Scope.SHARED, weight, fall, rise) for name, weight in weights.items() if weight)
    return (Rule(LIVE, Scope.OWN, fall=fall, rise=rise), *shared)
