"""Every query of the dashboards, run on a real Prometheus that real processes feed."""

from __future__ import annotations

import math
from collections.abc import Iterator
from xml.etree import ElementTree

import pytest

from tests.capabilities import require
from tests.cluster.controlplane import eventually
from tests.monitoring.dashboards import Panel, panels
from tests.monitoring.fleet import CAPABILITIES, fleet
from tests.monitoring.picture import pictures
from tests.monitoring.server import Prometheus, Series


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    require(*CAPABILITIES)
    with fleet(tmp_path_factory.mktemp("fleet")) as running:
        yield running


@pytest.mark.parametrize("panel", panels(), ids=lambda panel: f"{panel.dashboard}: {panel.title}")
def test_a_panel_shows_something(panel: Panel, server: Prometheus) -> None:
    assert panel.queries
    for expression, legend in panel.queries:
        for series in _shown(server, expression):
            assert math.isfinite(series.points[-1][1]), (expression, series.labels)
            assert _legend_labels(legend) <= {label for label, text in series.labels.items() if text}, expression


def _shown(server: Prometheus, expression: str) -> list[Series]:
    """What there is to see, soon at least: a scrape may have failed."""
    found: list[Series] = []

    def is_shown() -> bool:
        found[:] = server.now(expression)
        return bool(found)

    eventually(is_shown, f"there is something of {expression}", 60.0)
    return found


def _legend_labels(legend: str) -> set[str]:
    return {part.partition("}}")[0].strip() for part in legend.split("{{")[1:]}


@pytest.mark.parametrize(
    ("dashboard", "title", "value"),
    [
        ("node-configuration", "Paths that have drifted", 1),
        ("certificates", "Expired", 1),
        ("vip", "Running keepaliveds", 1),
        ("vip", "Conflicts", 1),
        ("egress", "Gateways", 1),
        ("coordinator", "Paused pools", 0),
    ],
)
def test_a_number_is_what_the_fleet_was_made_for(dashboard: str, title: str, value: int, server: Prometheus) -> None:
    (panel,) = [each for each in panels() if (each.dashboard, each.title) == (dashboard, title)]
    ((expression, _),) = panel.queries
    eventually(lambda: [each.points[-1][1] for each in server.now(expression)] == [value], f"{title}: {value}", 60.0)


def test_each_dashboard_can_be_drawn(server: Prometheus) -> None:
    def is_whole() -> bool:
        drawn = pictures(server)
        words = {name: "".join(ElementTree.fromstring(text).itertext()) for name, text in drawn.items()}
        assert all(panel.title in words[panel.dashboard] for panel in panels())
        return not any("no data" in each for each in words.values())

    eventually(is_whole, "no panel is empty", 60.0)
