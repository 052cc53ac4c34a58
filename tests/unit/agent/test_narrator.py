"""What machine configuration tells: to the metrics everywhere, in a cluster to annotations and Events too."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from nodeagent.agent.narrator import ClusterNarrator, Narrator
from nodeagent.engine.executor import Outcome, Result
from nodeagent.engine.report import Report, State
from nodeagent.machineconfig.drift import Drift, Finding, Kind, Response
from nodeagent.machineconfig.following import Change
from nodeagent.observed import nodes
from nodeagent.observed.writers import Writer
from nodeagent.telemetry.metrics.configuration import ConfigurationMetrics
from nodeagent.telemetry.metrics.registry import Registry

DRIFT = Drift(
    Finding("/etc/x", Kind.CONTENT, "sha256 1", "sha256 2", ("50-a",)),
    Response.ALERT,
    1.0,
    (Writer(1.0, 7, "vi", "/usr/bin/vi", user="root"),),
)
DETAIL: dict[str, Any] = {
    "config": "render-worker-1",
    "generation": 7,
    "pending": None,
    "drift": [DRIFT.facts()],
}


@dataclass
class Ear:
    """Reporter and Events in one; remembers everything it is told."""

    reports: list[Report] = field(default_factory=list)
    events: list[tuple[str, str, str]] = field(default_factory=list)

    def publish(self, report: Report) -> None:
        self.reports.append(report)

    def record(self, kind: str, reason: str, message: str) -> None:
        self.events.append((kind, reason, message))


@pytest.fixture
def registry() -> Registry:
    return Registry("1.2.3")


@pytest.fixture
def ear() -> Ear:
    return Ear()


@pytest.fixture
def narrator(registry: Registry, ear: Ear) -> ClusterNarrator:
    return ClusterNarrator(ear, _metrics(registry), ear)


def _metrics(registry: Registry) -> ConfigurationMetrics:
    return ConfigurationMetrics(registry, drift_kinds=Kind, drift_actions=Response)


def test_a_report_sets_the_gauges_and_goes_on(registry: Registry, ear: Ear) -> None:
    report = Report("machineconfig", State.DEGRADED, "drift", "Drift", DETAIL)
    Narrator(ear, _metrics(registry)).publish(report)
    assert ear.reports == [report]
    text = registry.exposition().decode()
    assert 'nodeagent_drift_paths{action="alert",kind="content"} 1.0' in text
    assert "nodeagent_generation 7.0" in text


def test_in_a_cluster_it_speaks_the_node_protocol(narrator: ClusterNarrator, ear: Ear) -> None:
    narrator.publish(Report("machineconfig", State.DONE, "", "AsDeclared", DETAIL))
    assert ear.reports[0].annotations[nodes.CURRENT_CONFIG] == "render-worker-1"


def test_drift_names_path_source_and_who(narrator: ClusterNarrator, ear: Ear) -> None:
    narrator.drifted(Change(opened=(DRIFT,)))
    narrator.drifted(Change(closed=(DRIFT,)))
    narrator.remedied([DRIFT])
    found, gone, repaired = ear.events
    assert found[:2] == ("Warning", "DriftFound")
    assert "/etc/x" in found[2]
    assert "declared by 50-a" in found[2]
    assert "vi (/usr/bin/vi) as root" in found[2]
    assert (gone[1], repaired[1]) == ("DriftGone", "DriftRepaired")


def test_a_flood_of_drifts_is_no_flood_of_events(narrator: ClusterNarrator, ear: Ear) -> None:
    many = tuple(replace(DRIFT, finding=replace(DRIFT.finding, path=f"/etc/{index}")) for index in range(500))
    narrator.drifted(Change(opened=many))
    narrator.remedied(many)
    assert len(ear.events) == 20


def test_what_was_applied_and_recovered_is_told(narrator: ClusterNarrator, ear: Ear, registry: Registry) -> None:
    narrator.applied("applied", 0.1, "render-worker-2")
    narrator.applied("undone", 0.1, "render-worker-3")
    narrator.recovered(Outcome(Result.RESUMED))
    assert [event[1] for event in ear.events] == ["ConfigApplied", "InterruptedChange"]
    text = registry.exposition().decode()
    assert 'nodeagent_applies_total{outcome="undone"} 1.0' in text
    assert 'nodeagent_journal_recoveries_total{result="resumed"} 1.0' in text
