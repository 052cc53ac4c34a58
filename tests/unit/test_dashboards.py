"""The dashboards are those that the script writes, ask for metrics that there are, and fit on a page."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from itertools import combinations
from pathlib import Path

import pytest

from tests.monitoring.dashboards import FOLDER, Panel, documents, panels

_TOP = Path(__file__).parents[2]
_NAMES = re.compile(r"\b(?:nodeagent|certificate|x509)_\w+")
_SUFFIXES = ("_bucket", "_sum", "_count")


def _documented() -> set[str]:
    rows = [line for line in (_TOP / "docs/metrics.md").read_text().splitlines() if line.startswith("| `")]
    return {name for row in rows for name in re.findall(r"`(\w+)`", row.split("|")[1])}


@pytest.mark.parametrize("panel", panels(), ids=lambda panel: f"{panel.dashboard}: {panel.title}")
def test_a_panel_asks_for_metrics_that_there_are(panel: Panel) -> None:
    known = _documented()
    for expression, _ in panel.queries:
        asked = set(_NAMES.findall(expression))
        assert asked or re.search(r"\bprocess_\w+", expression), expression
        plain = {name if name in known else _without_suffix(name) for name in asked}
        assert plain <= known, expression


def _without_suffix(name: str) -> str:
    return next((name.removesuffix(suffix) for suffix in _SUFFIXES if name.endswith(suffix)), name)


def test_they_are_those_that_the_script_writes(tmp_path: Path) -> None:
    environment = os.environ | {"PYTHONPATH": str(_TOP)}
    subprocess.run([sys.executable, _TOP / "scripts/dashboards", tmp_path], check=True, timeout=60, env=environment)
    written = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert written == {path.name: path.read_text() for path in FOLDER.iterdir()}, "run scripts/dashboards"


def test_each_has_an_id_of_its_own_and_is_drawn_in_the_documents() -> None:
    found = documents()
    assert len({each["uid"] for each in found.values()}) == len(found)
    page = (_TOP / "docs/dashboards.md").read_text()
    for name in found:
        assert f"(dashboards/{name}.svg)" in page
        assert (_TOP / f"docs/dashboards/{name}.svg").stat().st_size < 100_000


@pytest.mark.parametrize("name", documents())
def test_no_panel_covers_another_or_leaves_the_page(name: str) -> None:
    places = [panel.place for panel in panels() if panel.dashboard == name]
    assert all(each["x"] + each["w"] <= 24 for each in places)
    for one, other in combinations(places, 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        above = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert beside or above, (one, other)
