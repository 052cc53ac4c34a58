"""Tells what the daemon does: to the log, the metrics, the status file and systemd."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Collection
from typing import Any

from nodeagent import __version__
from nodeagent.engine.executor import Outcome, Result
from nodeagent.engine.report import Report, State
from nodeagent.machineconfig.controller import NAME
from nodeagent.machineconfig.drift import Drift
from nodeagent.machineconfig.following import Change
from nodeagent.telemetry.health import Beats
from nodeagent.telemetry.metrics import Metrics
from nodeagent.telemetry.notify import Notifier
from nodeagent.telemetry.status import write_status

_log = logging.getLogger("nodeagent")


class Chronicle:
    """Reporter, observer and watcher of all controllers. `run_dir` is where the status file lies."""

    def __init__(self, metrics: Metrics, beats: Beats, notifier: Notifier, run_dir: str, node: str) -> None:
        self._metrics = metrics
        self._beats = beats
        self._notifier = notifier
        self._run_dir = run_dir
        self._node = node
        self._last: Report | None = None
        self._ready = False

    # -- of loops -----------------------------------------------------------------------------------------------------

    def beat(self, name: str) -> None:
        self._beats.beat(name)

    def succeeded(self, name: str) -> None:
        self._metrics.loop_succeeded(name, time.time())
        if name == NAME and not self._ready:
            self._ready = True
            self._beats.ready()
            self._notifier.ready(self._line())

    def failed(self, name: str, error: Exception, failures: int, delay: float) -> None:
        self._metrics.loop_failed(name)
        extra = {"loop": name, "reason": str(error), "failures": failures, "retry_seconds": round(delay, 1)}
        _log.warning("a round failed and will be tried again", extra=extra)

    # -- of machine configuration -------------------------------------------------------------------------------------

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

    # -- of the node --------------------------------------------------------------------------------------------------

    def publish(self, report: Report) -> None:
        """Write the status file, set the gauges, tell systemd; only what has changed."""
        if report == self._last:
            return
        changed = self._last is None or (report.state, report.reason) != (self._last.state, self._last.reason)
        self._last = report
        self._gauges(report)
        document = {
            "node": self._node,
            "version": __version__,
            "when": time.time(),
            "jobs": {report.job: {**_verdict(report), **report.detail}},
        }
        try:
            write_status(self._run_dir, document)
        except OSError as error:
            _log.warning("the status file cannot be written", extra={"reason": str(error)})
        if changed:
            self._notifier.status(self._line())
            level = logging.WARNING if report.state in (State.DEGRADED, State.UNRECONCILABLE) else logging.INFO
            _log.log(level, "state %s", report.state, extra={"job": report.job, "reason": report.reason})

    def _gauges(self, report: Report) -> None:
        detail = report.detail
        self._metrics.degraded(report.state in (State.DEGRADED, State.UNRECONCILABLE))
        self._metrics.reboot_pending(detail["pending"] is not None)
        self._metrics.in_place(detail["config"], detail["generation"])
        self._metrics.drift(Counter((str(each["finding"]["kind"]), str(each["response"])) for each in detail["drift"]))

    def _line(self) -> str:
        if self._last is None:
            return "starting"
        return f"{self._last.state}: {self._last.reason}" if self._last.reason else str(self._last.state)


def _verdict(report: Report) -> dict[str, str]:
    return {"state": str(report.state), "cause": report.cause, "reason": report.reason}


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
