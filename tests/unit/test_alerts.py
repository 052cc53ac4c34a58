"""Alerts, their pages and the metrics that they ask for belong together."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

_TOP = Path(__file__).parents[2]
_MONITORING = _TOP / "deploy" / "monitoring"
_OTHERS = {"up", "process_start_time_seconds"}  # Prometheus' own, and every process'


def _groups() -> list[dict[str, Any]]:
    groups: list[dict[str, Any]] = yaml.safe_load((_MONITORING / "alerts.yaml").read_text())["groups"]
    return groups


ALERTS = [rule for group in _groups() for rule in group["rules"]]


def _documented() -> set[str]:
    rows = [line for line in (_TOP / "docs/metrics.md").read_text().splitlines() if line.startswith("| `")]
    return {name for row in rows for name in re.findall(r"`(\w+)`", row.split("|")[1])}


def test_each_alert_has_its_page_and_each_page_its_alert() -> None:
    names = [alert["alert"] for alert in ALERTS]
    assert len(set(names)) == len(names)
    assert {path.stem for path in (_TOP / "docs/runbooks").glob("*.md")} == set(names)


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert["alert"])
def test_an_alert_says_what_who_and_where_to_read_on(alert: dict[str, Any]) -> None:
    assert alert["labels"]["severity"] in {"info", "warning", "critical"}
    assert alert["annotations"].keys() == {"summary", "description", "runbook_url"}
    page = _TOP / alert["annotations"]["runbook_url"]
    assert page.stem == alert["alert"]
    headings = re.findall(r"^## (.*)", page.read_text(), re.MULTILINE)
    assert headings == ["Meaning", "Impact", "Diagnosis", "Fix"]


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert["alert"])
def test_an_alert_asks_for_metrics_that_there_are(alert: dict[str, Any]) -> None:
    asked = set(re.findall(r"\b(?:nodeagent|certificate|x509|process)_\w+|\bup\b", alert["expr"]))
    assert asked
    assert asked <= _documented() | _OTHERS


def test_the_operators_object_holds_the_same_rules() -> None:
    rule = yaml.safe_load((_MONITORING / "prometheusrule.yaml").read_text())
    assert rule["spec"]["groups"] == _groups(), "run scripts/monitoring"


def test_pages_link_to_what_there_is() -> None:
    for page in (_TOP / "docs/runbooks").glob("*.md"):
        for file, anchor in re.findall(r"\]\(\.\./([\w./]+)(?:#([\w-]+))?\)", page.read_text()):
            text = (_TOP / "docs" / file).read_text()
            headings = {_anchor(found) for found in re.findall(r"^#+ (.*)", text, re.MULTILINE)}
            assert not anchor or anchor in headings, f"{page.name}: {file}#{anchor}"


def _anchor(heading: str) -> str:
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")
