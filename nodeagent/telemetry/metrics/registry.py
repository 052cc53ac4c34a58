"""The registry of one agent, and the forms of metrics that it knows.

Invariant: a label value that was not announced when a metric was defined is a KeyError of the mapping it came with.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping

from nodeagent.telemetry.http import Page
from nodeagent.telemetry.prometheus import (
    CONTENT_TYPE_LATEST,
    Collector,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)


class Registry:
    """All metrics of one agent of `version`, those of its process included."""

    def __init__(self, version: str) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call] # a second series a counter, never queried
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        python = ".".join(map(str, sys.version_info[:3]))
        self.info("nodeagent_build", "Version of the agent and of Python").info({"version": version, "python": python})

    def gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(name, text, labels, registry=self._registry)

    def counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(name, text, labels, registry=self._registry)

    def counters(self, name: str, text: str, label: str, values: Iterable[str]) -> Mapping[str, Counter]:
        """One counter for each of `values`, by value."""
        counter = self.counter(name, text, label)
        return {str(value): counter.labels(str(value)) for value in values}

    def histogram(self, name: str, text: str, buckets: tuple[float, ...]) -> Histogram:
        return Histogram(name, text, buckets=buckets, registry=self._registry)

    def info(self, name: str, text: str) -> Info:
        return Info(name, text, registry=self._registry)

    def add(self, collector: Collector) -> None:
        """Ask `collector` too, at each scrape."""
        self._registry.register(collector)

    def exposition(self) -> bytes:
        """All metrics in the OpenMetrics text format."""
        text: bytes = generate_latest(self._registry)  # type: ignore[no-untyped-call] # untyped there
        return text


def pages(registry: Registry) -> dict[str, Callable[[], Page]]:
    """/metrics."""
    return {"/metrics": lambda: Page(200, registry.exposition(), CONTENT_TYPE_LATEST)}
