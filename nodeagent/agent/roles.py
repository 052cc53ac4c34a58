"""What a coordinator lends to a role, and what a role gives back.

A role is a function of an `Office`: it builds what it follows and the round that it works, and starts nothing. Of all
processes with a role one works, by Lease.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from nodeagent.kube.connection import Connection
from nodeagent.settings import Settings
from nodeagent.telemetry.metrics.registry import Registry


class Follower(Protocol):
    """Something that is followed on threads of its own, such as a watch."""

    def start(self) -> None: ...

    def close(self) -> object: ...

    @property
    def path(self) -> str:
        """The collection that it belongs to, as the API has it."""
        ...

    def age(self) -> float:
        """Seconds since the API server was last heard of; infinite before the first time."""
        ...

    @property
    def synced(self) -> bool:
        """Everything was seen once: before, what is missing cannot be told from what was not seen yet."""
        ...


@dataclass(frozen=True)
class Office:
    """`changed` wakes the role's round, from any thread; `leading` is true while it may act, and only then it may."""

    settings: Settings
    connection: Connection
    registry: Registry
    changed: Callable[[], None]
    leading: Callable[[], bool]


@dataclass(frozen=True)
class Duty:
    """A role at work: what it follows, and a round, which returns the seconds until the next at the latest.

    A round, its wait included, takes less than `allowance` seconds. While this process does not lead, a round must do
    nothing.
    """

    follows: Sequence[Follower]
    round: Callable[[], float]
    allowance: float = 900.0  # requests have deadlines of their own


Role = Callable[[Office], Duty]
