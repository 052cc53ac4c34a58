"""Tables: rows come and go together, and a scrape can always be parsed."""

from __future__ import annotations

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from nodeagent.telemetry.metrics.registry import Registry
from nodeagent.telemetry.metrics.tables import Row, Tables


def _samples(registry: Registry, name: str) -> dict[str, float]:
    families = text_string_to_metric_families(registry.exposition().decode())  # type: ignore[no-untyped-call]
    return {
        sample.labels["path"]: sample.value for family in families for sample in family.samples if sample.name == name
    }


def test_rows_are_replaced_as_a_whole_and_stand_once() -> None:
    registry = Registry("1.2.3")
    tables = Tables(registry, {"ends": ("End of validity", ("path",))})
    tables.show({"ends": [Row(("/a",), 1.0), Row(('/b"\n',), 2.0), Row(("/a",), 3.0)]})
    assert _samples(registry, "ends") == {"/a": 3.0, '/b"\n': 2.0}
    tables.show({"ends": [Row(("/c",), 4.0)]})
    assert _samples(registry, "ends") == {"/c": 4.0}
    with pytest.raises(KeyError):
        tables.show({"begins": []})
    assert _samples(registry, "ends") == {"/c": 4.0}


def test_a_name_that_is_no_unicode_does_not_cost_the_scrape() -> None:
    registry = Registry("1")
    Tables(registry, {"table": ("A table", ("path",))}).show({"table": [Row(("/non\udcffutf8",), 1.0)]})
    assert 'table{path="/non\\\\udcffutf8"} 1.0' in registry.exposition().decode()
