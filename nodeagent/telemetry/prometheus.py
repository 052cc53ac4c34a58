"""The parts of prometheus_client that the agent needs, and no others.

The package's `__init__` also loads its HTTP servers, TLS, WSGI and the push gateway: 7 MiB and 45 ms that
would be spent on every node for nothing. Its modules do not need `__init__`, so while they are imported a
bare package stands in its place; whoever imports `prometheus_client` later gets it whole.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def _without_init(package: str) -> Iterator[None]:
    spec = importlib.util.find_spec(package)
    if package in sys.modules or spec is None:  # whole already, or the import itself will say that it is missing
        yield
        return
    sys.modules[package] = importlib.util.module_from_spec(spec)
    try:
        yield
    finally:
        del sys.modules[package]


with _without_init("prometheus_client"):
    from prometheus_client.metrics import Counter, Gauge, Histogram, Info, disable_created_metrics
    from prometheus_client.metrics_core import GaugeMetricFamily
    from prometheus_client.openmetrics.exposition import CONTENT_TYPE_LATEST, generate_latest
    from prometheus_client.process_collector import ProcessCollector
    from prometheus_client.registry import Collector, CollectorRegistry

__all__ = [
    "CONTENT_TYPE_LATEST",
    "Collector",
    "CollectorRegistry",
    "Counter",
    "Gauge",
    "GaugeMetricFamily",
    "Histogram",
    "Info",
    "ProcessCollector",
    "disable_created_metrics",
    "generate_latest",
]
