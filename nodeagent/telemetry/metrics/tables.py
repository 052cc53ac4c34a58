"""Gauges whose series come and go together: what is there now, and nothing of what was there before.

Invariant: a scrape sees all rows of one moment. A row that stands twice shows once, for Prometheus takes no duplicates.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from nodeagent.telemetry.metrics.registry import Registry
from nodeagent.telemetry.prometheus import Collector, GaugeMetricFamily


@dataclass(frozen=True)
class Row:
    """One series: the values of all labels in order, and its own."""

    labels: tuple[str, ...]
    value: float


def rows(tables: Mapping[str, Iterable[tuple[tuple[str, ...], float]]]) -> dict[str, list[Row]]:
    """Rows of values as domains give them: labels and value."""
    return {name: [Row(*row) for row in table] for name, table in tables.items()}


class Tables(Collector):
    """Gauges by name, each with its help text and labels."""

    def __init__(self, registry: Registry, columns: Mapping[str, tuple[str, Sequence[str]]]) -> None:
        self._columns = columns
        self._rows: Mapping[str, Mapping[tuple[str, ...], float]] = {}
        registry.add(self)

    def show(self, rows: Mapping[str, Iterable[Row]]) -> None:
        """From now on these; KeyError for a name that was not defined."""
        if unknown := rows.keys() - self._columns.keys():
            raise KeyError(min(unknown))
        self._rows = {name: {_encodable(row.labels): row.value for row in table} for name, table in rows.items()}

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """The families, as prometheus_client asks for them."""
        rows = self._rows
        for name, (text, labels) in self._columns.items():
            family = GaugeMetricFamily(name, text, labels=labels)
            for values, value in rows.get(name, {}).items():
                family.add_metric(values, value)
            yield family


def _encodable(labels: tuple[str, ...]) -> tuple[str, ...]:
    """The labels with what is no Unicode escaped, such as a byte of a file's name: one would cost the whole scrape."""
    return tuple(label.encode(errors="backslashreplace").decode() for label in labels)
