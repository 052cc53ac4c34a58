"""What machine configuration does, counted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from itertools import product

from nodeagent.telemetry.metrics.registry import Registry

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


class ConfigurationMetrics:
    """Metrics of machine configuration. `drift_kinds` and `drift_actions` are what drift can be and lead to.

    A label value that was not announced is a KeyError.
    """

    def __init__(self, registry: Registry, *, drift_kinds: Iterable[str], drift_actions: Iterable[str]) -> None:
        self._applies = registry.counters("nodeagent_applies", "Attempts to apply", "outcome", ApplyOutcome)
        self._apply_seconds = registry.histogram("nodeagent_apply_duration_seconds", "Time an apply took", _SECONDS)
        self._recoveries = registry.counters(
            "nodeagent_journal_recoveries", "Open transactions finished at start", "result", Recovery
        )
        drift = registry.gauge("nodeagent_drift_paths", "Paths that differ from what is declared", "kind", "action")
        series = product(tuple(drift_kinds), tuple(drift_actions))
        self._drift = {(kind, action): drift.labels(kind, action) for kind, action in series}
        self._drift_reports = registry.counters(
            "nodeagent_drift_reports", "Drift reported, by whether the writer is known", "writer", ("known", "unknown")
        )
        self._overflows = registry.counter("nodeagent_watch_overflows", "Times that the kernel dropped file events")
        self._reboot_pending = registry.gauge("nodeagent_reboot_pending", "1 while a change waits for a reboot")
        self._generation = registry.gauge("nodeagent_generation", "Number of the generation that is in place")
        self._config = registry.info("nodeagent_config", "Rendered config that is in place")

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

    def reboot_pending(self, now: bool) -> None:
        """Whether a change waits for a reboot."""
        self._reboot_pending.set(now)

    def in_place(self, config: str, generation: int) -> None:
        """Name of the rendered config and number of the generation that are in place."""
        self._config.info({"config": config})
        self._generation.set(generation)
