"""Tells the cluster what the chronicle tells the node: one annotation of all jobs, a condition of each, and Events.

Invariant: what is told is bounded and holds no contents of files. Nothing here waits for the API server: the board and
the Events write when they can.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping, Sequence
from typing import Final, Protocol

from nodeagent import __version__
from nodeagent.engine.report import Report, Reporter
from nodeagent.observed import nodes
from nodeagent.observed.nodes import Condition

_CONDITIONS: Final = {
    "machineconfig": nodes.MACHINE_CONFIG_DEGRADED,
    "certs": nodes.CERTIFICATES_DEGRADED,
    "egress": nodes.EGRESS_GATEWAY_DEGRADED,
    "vip": nodes.VIP_DEGRADED,
}


class Board(Protocol):
    """Where the node's annotations and conditions are written, when the API server is there."""

    def publish(self, annotations: Mapping[str, str | None], conditions: Sequence[Condition], /) -> None: ...


class Events(Protocol):
    """Writes Events on the Node; `kind` is Normal or Warning."""

    def record(self, kind: str, reason: str, message: str, /) -> None: ...


class NoEvents:
    """Events of a host without a cluster: the log tells the same."""

    def record(self, _kind: str, _reason: str, _message: str, /) -> None:
        return


class Announcer:
    """Reporter of all jobs in a cluster, on their threads. `pod` is the agent's own, "" where it has none."""

    def __init__(self, chronicle: Reporter, board: Board, events: Events, pod: str) -> None:
        self._chronicle = chronicle
        self._board = board
        self._events = events
        self._pod = pod
        self._lock = threading.Lock()
        self._last: dict[str, Report] = {}

    def publish(self, report: Report) -> None:
        self._chronicle.publish(report)
        with self._lock:
            before = self._last.get(report.job)
            if report == before:
                return
            self._last[report.job] = report
            self._board.publish({**report.annotations, nodes.REPORT: self._summary()}, [_condition(report)])
        if before is not None and (before.state, before.cause) != (report.state, report.cause):
            self._events.record("Warning" if report.state.bad else "Normal", report.cause, report.message)

    def _summary(self) -> str:
        """The annotation that tools read."""
        jobs = {
            name: {"state": report.state, "cause": report.cause, **report.summary}
            for name, report in self._last.items()
        }
        document = {"version": __version__, "pod": self._pod, "jobs": jobs}
        return json.dumps(document, sort_keys=True, separators=(",", ":"))


def _condition(report: Report) -> Condition:
    return Condition(_CONDITIONS[report.job], "True" if report.state.bad else "False", report.cause, report.message)
