"""What the daemon's side of machine configuration needs of the rest of the agent, as protocols that the agent fits."""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from nodeagent.engine.executor import Outcome
from nodeagent.engine.handover import Handover
from nodeagent.engine.report import Reporter
from nodeagent.machineconfig.drift import Drift
from nodeagent.machineconfig.following import Change
from nodeagent.machineconfig.job import Intent


class Watch(Protocol):
    """Wakes the controller when a path changes, or any entry of a directory."""

    def watch(self, paths: Collection[str], entries_of: Collection[str] = ()) -> None: ...

    def problems(self) -> tuple[str, ...]: ...


class Observer(Protocol):
    """Is told what happens, for logs, metrics and Events."""

    def applied(self, outcome: str, seconds: float, what: str) -> None: ...

    def recovered(self, outcome: Outcome) -> None: ...

    def drifted(self, change: Change) -> None: ...

    def remedied(self, drifts: Collection[Drift]) -> None: ...


class Absence(Enum):
    """Whether the node's workloads have been moved away."""

    GONE = "gone"
    LEAVING = "leaving"
    OVERDUE = "overdue"  # nobody has moved them for too long; it is still asked for


class Workloads(Protocol):
    """The node's workloads, which somebody else moves away before disruptive work. Neither call waits."""

    def away(self, config: str) -> Absence:
        """Ask for the workloads to be moved away for `config`, and tell how far that is."""
        ...

    def back(self) -> None:
        """Let the workloads come back, if they were moved away."""
        ...


class Unattended:
    """Workloads of a node that nobody drains: work may begin at once."""

    def away(self, config: str) -> Absence:  # noqa: ARG002 - as the protocol has it
        return Absence.GONE

    def back(self) -> None:
        return


@dataclass(frozen=True)
class Surroundings:
    """What the controller needs of the rest of the agent.

    `load` reads what is declared (Rejected if it is wrong, Transient if it is out of reach, None where nothing is
    declared yet), `retry` says how many seconds to wait after so many misses; `sources` are the paths that it is read
    from, outside the root; `lock` is the host lane, `force` takes the force file away and tells whether it was there,
    `reboot` is None where the node may not be rebooted.
    """

    load: Callable[[], Intent | None]
    retry: Callable[[int], float]
    sources: tuple[str, ...]
    outside: Callable[[str], str]
    inside: Callable[[str], str | None]
    lock: Callable[[], AbstractContextManager[None]]
    force: Callable[[], bool]
    reboot: Callable[[], None] | None
    handover: Handover
    watch: Watch
    reporter: Reporter
    observer: Observer
    workloads: Workloads
