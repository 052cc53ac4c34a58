"""Tells the cluster what the chronicle tells the node: annotations, conditions and Events, never contents of files.

Nothing here waits for the API server: the board and the Events write when they can.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Protocol

from nodeagent import __version__
from nodeagent.agent.configuration import Voice
from nodeagent.engine.executor import Outcome, Result
from nodeagent.engine.report import Report, State
from nodeagent.machineconfig import protocol
from nodeagent.machineconfig.drift import Drift
from nodeagent.machineconfig.following import Change
from nodeagent.observed import nodes
from nodeagent.observed.nodes import Condition

_BAD = (State.DEGRADED, State.UNRECONCILABLE)
_TOLD = ("config", "desired", "generation", "held", "paths")  # of a report's detail, in the annotation
_SHOWN = 10  # drifts of which one round writes Events


class Board(Protocol):
    """Where the node's annotations and conditions are written, when the API server is there."""

    def publish(self, annotations: Mapping[str, str], conditions: Sequence[Condition], /) -> None: ...


class Events(Protocol):
    """Writes Events on the Node; `kind` is Normal or Warning."""

    def record(self, kind: str, reason: str, message: str, /) -> None: ...


class Announcer:
    """Reporter and observer of machine configuration in a cluster. `pod` is the agent's own, "" where it has none."""

    def __init__(self, chronicle: Voice, board: Board, events: Events, pod: str) -> None:
        self._chronicle = chronicle
        self._board = board
        self._events = events
        self._pod = pod
        self._last: Report | None = None

    def publish(self, report: Report) -> None:
        self._chronicle.publish(report)
        if report == self._last:
            return
        before, self._last = self._last, report
        self._board.publish(protocol.announcement(report) | {nodes.REPORT: self._summary(report)}, [_condition(report)])
        if before is not None and (before.state, before.cause) != (report.state, report.cause):
            self._events.record("Warning" if report.state in _BAD else "Normal", report.cause, _message(report))

    def applied(self, outcome: str, seconds: float, what: str) -> None:
        self._chronicle.applied(outcome, seconds, what)
        if outcome == "applied":
            self._events.record("Normal", "ConfigApplied", f"{what} is in place")

    def recovered(self, outcome: Outcome) -> None:
        self._chronicle.recovered(outcome)
        done = "finished" if outcome.result is Result.RESUMED else "taken back"
        self._events.record("Warning", "InterruptedChange", f"a change that was interrupted has been {done}")

    def drifted(self, change: Change) -> None:
        self._chronicle.drifted(change)
        for drift in change.opened[:_SHOWN]:
            self._events.record("Warning", "DriftFound", _sentence(drift))
        for drift in change.closed[:_SHOWN]:
            self._events.record("Normal", "DriftGone", f"{drift.finding.path} is as declared again")

    def remedied(self, drifts: Collection[Drift]) -> None:
        self._chronicle.remedied(drifts)
        for drift in list(drifts)[:_SHOWN]:
            self._events.record("Normal", "DriftRepaired", f"{drift.finding.path} has been put right")

    def _summary(self, report: Report) -> str:
        """The annotation that tools read: bounded, since it counts drifts and does not list them."""
        told: dict[str, Any] = {key: report.detail[key] for key in _TOLD}
        told |= {"state": report.state, "cause": report.cause, "drift": len(report.detail["drift"])}
        document = {"version": __version__, "pod": self._pod, "jobs": {report.job: told}}
        return json.dumps(document, sort_keys=True, separators=(",", ":"))


def _condition(report: Report) -> Condition:
    status = "True" if report.state in _BAD else "False"
    return Condition(nodes.MACHINE_CONFIG_DEGRADED, status, report.cause, _message(report))


def _message(report: Report) -> str:
    return report.reason or f"{report.detail['config'] or 'no config'} is in place"


def _sentence(drift: Drift) -> str:
    found = drift.finding
    declared = f", declared by {' + '.join(found.sources)}" if found.sources else ""
    return f"{found.path}: {found.kind} is {found.actual}, not {found.expected}{declared}; changed by {drift.who()}"
