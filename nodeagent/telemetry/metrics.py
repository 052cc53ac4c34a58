"""The agent's metrics, in Prometheus' terms.

Invariants: a label only ever has one of a few values that are fixed when the agent starts, never a path or
the text of an error, and all series exist from the start, so that a rate shows the first event. The two
`_info` metrics have one series each; a new value replaces the old.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from itertools import product

from nodeagent.telemetry.http import Page
from nodeagent.telemetry.prometheus import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)

_SECONDS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)


class ApplyOutcome(StrEnum):
    """How an attempt to apply ended."""

    APPLIED = "applied"
    UNCHANGED = "unchanged"
    UNDONE = "undone"
    REJECTED = "rejected"
    FAILED = "failed"


class Recovery(StrEnum):
    """How a transaction that an earlier process left open was finished."""

    RESUMED = "resumed"
    UNDONE = "undone"


class Metrics:
    """All metrics of one agent, in a registry of their own.

    `controllers` are the names of the loops, `drift_kinds` and `drift_actions` what drift can be and lead
    to. A label value that was not announced is a KeyError.
    """

    def __init__(
        self,
        version: str,
        *,
        controllers: Iterable[str],
        drift_kinds: Iterable[str],
        drift_actions: Iterable[str],
    ) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call] # a second series a counter, never queried
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        names = tuple(controllers)
        self._define_apply()
        self._define_drift(product(tuple(drift_kinds), tuple(drift_actions)))
        self._define_loops(names)
        self._define_node()
        build = Info("nodeagent_build", "Version of the agent and of Python", registry=self._registry)
        build.info({"version": version, "python": ".".join(map(str, sys.version_info[:3]))})

    def _define_apply(self) -> None:
        self._applies = self._counters("nodeagent_applies", "Attempts to apply", "outcome", ApplyOutcome)
        self._apply_seconds = Histogram(
            "nodeagent_apply_duration_seconds",
            "Time an apply took",
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._recoveries = self._counters(
            "nodeagent_journal_recoveries", "Open transactions finished at start", "result", Recovery
        )

    def _define_drift(self, series: Iterable[tuple[str, str]]) -> None:
        drift = self._gauge("nodeagent_drift_paths", "Paths that differ from what is declared", "kind", "action")
        self._drift = {(kind, action): drift.labels(kind, action) for kind, action in series}
        self._drift_reports = self._counters(
            "nodeagent_drift_reports",
            "Drift reported, by whether the writer is known",
            "writer",
            ("known", "unknown"),
        )
        self._overflows = Counter(
            "nodeagent_watch_overflows", "Times that the kernel dropped file events", registry=self._registry
        )

    def _define_loops(self, controllers: tuple[str, ...]) -> None:
        success = self._gauge(
            "nodeagent_loop_last_success_timestamp_seconds", "When a loop last went through", "controller"
        )
        self._success = {name: success.labels(name) for name in controllers}
        self._failures = self._counters(
            "nodeagent_loop_failures", "Rounds of a loop that failed", "controller", controllers
        )

    def _define_node(self) -> None:
        self._degraded = self._gauge("nodeagent_degraded", "1 while the node waits for an administrator")
        self._reboot_pending = self._gauge("nodeagent_reboot_pending", "1 while a change waits for a reboot")
        self._generation = self._gauge("nodeagent_generation", "Number of the generation that is in place")
        self._config = Info("nodeagent_config", "Rendered config that is in place", registry=self._registry)

    def _gauge(self, name: str, help_text: str, *labels: str) -> Gauge:
        return Gauge(name, help_text, labels, registry=self._registry)

    def _counters(self, name: str, help_text: str, label: str, values: Iterable[str]) -> Mapping[str, Counter]:
        counter = Counter(name, help_text, (label,), registry=self._registry)
        return {str(value): counter.labels(str(value)) for value in values}

    def applied(self, outcome: str, seconds: float) -> None:
        """An apply ended with an ApplyOutcome after `seconds`."""
        self._applies[outcome].inc()
        self._apply_seconds.observe(seconds)

    def recovered(self, result: str) -> None:
        """A transaction that an earlier process left open was finished with a Recovery."""
        self._recoveries[result].inc()

    def drift(self, paths: Mapping[tuple[str, str], int]) -> None:
        """The number of paths that drift now, by (kind, action); what is not named has none."""
        unknown = paths.keys() - self._drift.keys()
        if unknown:
            raise KeyError(unknown.pop())
        for series, gauge in self._drift.items():
            gauge.set(paths.get(series, 0))

    def drift_reported(self, *, writer_known: bool) -> None:
        """New drift was reported."""
        self._drift_reports["known" if writer_known else "unknown"].inc()

    def watch_overflowed(self) -> None:
        """The kernel dropped file events."""
        self._overflows.inc()

    def loop_succeeded(self, controller: str, when: float) -> None:
        """A loop went through at `when`, in seconds since the epoch."""
        self._success[controller].set(when)

    def loop_failed(self, controller: str) -> None:
        """A round of a loop failed."""
        self._failures[controller].inc()

    def degraded(self, now: bool) -> None:
        """Whether the node waits for an administrator."""
        self._degraded.set(now)

    def reboot_pending(self, now: bool) -> None:
        """Whether a change waits for a reboot."""
        self._reboot_pending.set(now)

    def in_place(self, config: str, generation: int) -> None:
        """Name of the rendered config and number of the generation that are in place."""
        self._config.info({"config": config})
        self._generation.set(generation)

    def exposition(self) -> bytes:
        """All metrics in the OpenMetrics text format."""
        text: bytes = generate_latest(self._registry)  # type: ignore[no-untyped-call] # untyped there
        return text


def pages(metrics: Metrics) -> Mapping[str, Callable[[], Page]]:
    """/metrics."""
    return {"/metrics": lambda: Page(200, metrics.exposition(), CONTENT_TYPE_LATEST)}
