"""Tells what machine configuration does: to the log and the metrics, and in a cluster as annotations and Events.

Invariant: paths and digests are told, contents of files never. Nothing here waits for the API server.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Collection
from dataclasses import replace
from typing import Any

from nodeagent.agent.announcer import Events
from nodeagent.engine.executor import Outcome, Result
from nodeagent.engine.report import Report, Reporter
from nodeagent.machineconfig import protocol
from nodeagent.machineconfig.drift import Drift
from nodeagent.machineconfig.following import Change
from nodeagent.telemetry.metrics.configuration import ConfigurationMetrics

_log = logging.getLogger("nodeagent")
_SHOWN = 10  # drifts of which one round writes Events


class Narrator:
    """Reporter and observer of machine configuration; hands its reports on to `reporter`."""

    def __init__(self, reporter: Reporter, metrics: ConfigurationMetrics) -> None:
        self._reporter = reporter
        self._metrics = metrics

    def publish(self, report: Report) -> None:
        detail = report.detail
        self._metrics.reboot_pending(detail["pending"] is not None)
        self._metrics.in_place(detail["config"], detail["generation"])
        self._metrics.drift(Counter((str(each["finding"]["kind"]), str(each["response"])) for each in detail["drift"]))
        self._reporter.publish(report)

    def applied(self, outcome: str, seconds: float, what: str) -> None:
        self._metrics.applied(outcome, seconds)
        level = logging.INFO if outcome in ("applied", "unchanged") else logging.ERROR
        _log.log(level, "config %s", outcome, extra={"config": what, "seconds": round(seconds, 3)})

    def recovered(self, outcome: Outcome) -> None:
        self._metrics.recovered("resumed" if outcome.result is Result.RESUMED else "undone")
        _log.warning("an interrupted change was %s", outcome.result, extra={"reason": outcome.why})

    def drifted(self, change: Change) -> None:
        for drift in change.opened:
            self._metrics.drift_reported(writer_known=bool(drift.writers))
            _log.warning("drift found", extra=_fields(drift))
        for drift in change.closed:
            _log.info("drift gone", extra={"path": drift.finding.path, "kind": str(drift.finding.kind)})

    def remedied(self, drifts: Collection[Drift]) -> None:
        for drift in drifts:
            _log.warning("drift put right", extra=_fields(drift))


class ClusterNarrator(Narrator):
    """The same on a node of a cluster: speaks the node protocol, and writes Events."""

    def __init__(self, reporter: Reporter, metrics: ConfigurationMetrics, events: Events) -> None:
        super().__init__(reporter, metrics)
        self._events = events

    def publish(self, report: Report) -> None:
        super().publish(replace(report, annotations=protocol.announcement(report)))

    def applied(self, outcome: str, seconds: float, what: str) -> None:
        super().applied(outcome, seconds, what)
        if outcome == "applied":
            self._events.record("Normal", "ConfigApplied", f"{what} is in place")

    def recovered(self, outcome: Outcome) -> None:
        super().recovered(outcome)
        done = "finished" if outcome.result is Result.RESUMED else "taken back"
        self._events.record("Warning", "InterruptedChange", f"a change that was interrupted has been {done}")

    def drifted(self, change: Change) -> None:
        super().drifted(change)
        for drift in change.opened[:_SHOWN]:
            self._events.record("Warning", "DriftFound", _sentence(drift))
        for drift in change.closed[:_SHOWN]:
            self._events.record("Normal", "DriftGone", f"{drift.finding.path} is as declared again")

    def remedied(self, drifts: Collection[Drift]) -> None:
        super().remedied(drifts)
        for drift in list(drifts)[:_SHOWN]:
            self._events.record("Normal", "DriftRepaired", f"{drift.finding.path} has been put right")


def _sentence(drift: Drift) -> str:
    found = drift.finding
    declared = f", declared by {' + '.join(found.sources)}" if found.sources else ""
    return f"{found.path}: {found.kind} is {found.actual}, not {found.expected}{declared}; changed by {drift.who()}"


def _fields(drift: Drift) -> dict[str, Any]:
    found = drift.finding
    return {
        "path": found.path,
        "kind": str(found.kind),
        "expected": found.expected,
        "actual": found.actual,
        "declared_by": " + ".join(found.sources),
        "changed_by": drift.who(),
        "response": str(drift.response),
    }
