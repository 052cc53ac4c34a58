"""Tells how the daemon's loops and jobs fare: to the log, the metrics, the status file and systemd.

Invariant: the status file holds the last report of every job; whatever has not changed is not written again.
"""

from __future__ import annotations

import logging
import threading
import time

from nodeagent import __version__
from nodeagent.agent.fare import LoopWatcher
from nodeagent.engine.report import Report, State
from nodeagent.telemetry.health import Beats
from nodeagent.telemetry.metrics.agent import AgentMetrics
from nodeagent.telemetry.notify import Notifier
from nodeagent.telemetry.status import write_status

_log = logging.getLogger("nodeagent")
_GRAVITY = (State.DEGRADED, State.UNRECONCILABLE, State.WORKING, State.DONE)  # of several jobs the first counts


class Chronicle(LoopWatcher):
    """Watcher of all loops and reporter of all jobs, on their threads.

    `run_dir` is where the status file lies; the agent is ready once the loop `first` has gone through.
    """

    def __init__(
        self, gauges: AgentMetrics, beats: Beats, notifier: Notifier, run_dir: str, node: str, first: str
    ) -> None:
        super().__init__(gauges, beats, first)
        self._jobs = gauges
        self._notifier = notifier
        self._run_dir = run_dir
        self._node = node
        self._lock = threading.Lock()
        self._last: dict[str, Report] = {}

    def expect_job(self, job: str) -> None:
        """There is a job that reports."""
        self._jobs.expect_job(job)

    def _became_ready(self) -> None:
        with self._lock:
            self._notifier.ready(self._line())

    def publish(self, report: Report) -> None:
        """Write the status file, set the gauges, tell systemd; only what has changed."""
        with self._lock:
            before = self._last.get(report.job)
            if report == before:
                return
            self._last[report.job] = report
            self._jobs.degraded(report.job, report.state.bad)
            self._write()
            if before is None or (report.state, report.reason) != (before.state, before.reason):
                self._notifier.status(self._line())
                level = logging.WARNING if report.state.bad else logging.INFO
                _log.log(level, "state %s", report.state, extra={"job": report.job, "reason": report.reason})

    def _write(self) -> None:
        document = {
            "node": self._node,
            "version": __version__,
            "when": time.time(),
            "jobs": {name: {**_verdict(report), **report.detail} for name, report in sorted(self._last.items())},
        }
        try:
            write_status(self._run_dir, document)
        except OSError as error:
            _log.warning("the status file cannot be written", extra={"reason": str(error)})

    def _line(self) -> str:
        if not self._last:
            return "starting"
        worst = min(self._last.values(), key=lambda report: (_GRAVITY.index(report.state), report.job))
        return f"{worst.state}: {worst.reason}" if worst.reason else str(worst.state)


def _verdict(report: Report) -> dict[str, str]:
    return {"state": str(report.state), "cause": report.cause, "reason": report.reason}
