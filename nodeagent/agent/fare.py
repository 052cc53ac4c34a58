"""Tells how loops fare: to the log, the metrics, and whoever asks whether they still turn."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from nodeagent.telemetry.health import Beats
from nodeagent.telemetry.metrics.agent import AgentMetrics

_log = logging.getLogger("nodeagent")


class LoopWatcher:
    """Watcher of the loops that it was told to expect; another name is a KeyError. Ready once `first` went through."""

    def __init__(self, gauges: AgentMetrics, beats: Beats, first: str) -> None:
        self._gauges = gauges
        self._beats = beats
        self._first = first

    def expect(self, loop: str, allowance: float) -> None:
        """There is a loop that must beat every `allowance` seconds from now on."""
        self._gauges.expect_loop(loop)
        self._beats.expect(loop, allowance)

    def expect_watch(self, name: str, age: Callable[[], float]) -> None:
        """Something is watched; `age` tells the seconds since the API server was last heard of."""
        self._gauges.expect_watch(name, age)

    def beat(self, name: str) -> None:
        self._beats.beat(name)

    def succeeded(self, name: str) -> None:
        self._gauges.succeeded(name, time.time())
        if name == self._first and not self._beats.is_ready:
            self._beats.ready()
            self._became_ready()

    def failed(self, name: str, error: Exception, failures: int, delay: float) -> None:
        self._gauges.failed(name)
        extra = {"loop": name, "reason": str(error), "failures": failures, "retry_seconds": round(delay, 1)}
        _log.warning("a round failed and will be tried again", extra=extra)

    def _became_ready(self) -> None:
        """The first loop went through for the first time."""
