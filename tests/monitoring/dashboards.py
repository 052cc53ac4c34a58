"""The dashboards as Grafana reads them, with queries that Prometheus understands."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[2] / "deploy" / "monitoring" / "dashboards"
_VARIABLES = {"$instance": ".*", "$__rate_interval": "1m"}  # as Grafana puts them in for "All"


@dataclass(frozen=True)
class Panel:
    """`place` is in Grafana's grid of 24 columns; `queries` are pairs of expression and legend."""

    dashboard: str
    title: str
    kind: str
    unit: str
    place: dict[str, int]
    queries: tuple[tuple[str, str], ...]


def documents() -> dict[str, dict[str, Any]]:
    """By file name without its ending."""
    return {path.stem: json.loads(path.read_text()) for path in sorted(FOLDER.glob("*.json"))}


def panels() -> list[Panel]:
    return [panel for name, document in documents().items() for panel in _panels(name, document)]


def _panels(name: str, document: dict[str, Any]) -> Iterator[Panel]:
    for each in document["panels"]:
        queries = tuple((_filled(target["expr"]), target["legendFormat"]) for target in each["targets"])
        unit = each["fieldConfig"]["defaults"]["unit"]
        yield Panel(name, each["title"], each["type"], unit, each["gridPos"], queries)


def _filled(expression: str) -> str:
    for variable, text in _VARIABLES.items():
        expression = expression.replace(variable, text)
    return expression
