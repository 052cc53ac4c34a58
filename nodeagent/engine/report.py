"""What a job says of itself: to the status file, to metrics, and in a cluster to annotations and conditions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol


class State(StrEnum):
    """State of a job, in the words that administrators know from the node annotation of the same name."""

    DONE = "Done"
    WORKING = "Working"
    DEGRADED = "Degraded"
    UNRECONCILABLE = "Unreconcilable"

    @property
    def bad(self) -> bool:
        """Somebody has to do something about it."""
        return self in (State.DEGRADED, State.UNRECONCILABLE)


@dataclass(frozen=True)
class Report:
    """One job's report.

    `cause` is one CamelCase word for machines; `reason` is for people and empty on Done, when `rest` says what is in
    place. `detail` is JSON and holds no contents of files; `summary` is the part of it that tools read over a whole
    cluster, and is bounded in size, as are `annotations`: words of a protocol between the job and its controller, None
    for those that are to be absent.
    """

    job: str
    state: State
    reason: str = ""
    cause: str = ""
    detail: Mapping[str, Any] = field(default_factory=dict)
    summary: Mapping[str, Any] = field(default_factory=dict)
    annotations: Mapping[str, str | None] = field(default_factory=dict)
    rest: str = ""

    @property
    def message(self) -> str:
        """One sentence for people, whatever the state."""
        return self.reason or self.rest


class Reporter(Protocol):
    """Publishes reports; must not block for long and must not raise."""

    def publish(self, report: Report) -> None: ...
