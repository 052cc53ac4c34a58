"""What a cluster is told: on change only, transitions as Events, and never contents."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from nodeagent.agent.announcer import Announcer
from nodeagent.engine.executor import Outcome, Result
from nodeagent.engine.report import Report, State
from nodeagent.machineconfig.drift import Drift, Finding, Kind, Response
from nodeagent.machineconfig.following import Change
from nodeagent.observed import nodes
from nodeagent.observed.nodes import Condition
from nodeagent.observed.writers import Writer

DETAIL: dict[str, Any] = {
    "config": "render-worker-1",
    "desired": "render-worker-1",
    "generation": 1,
    "held": "",
    "pending": None,
    "paths": 3,
    "drift": [],
}
DONE = Report("machineconfig", State.DONE, "", "AsDeclared", DETAIL)
DRIFTING = replace(DONE, state=State.DEGRADED, cause="Drift", reason="drift: /etc/x of 50-a by vi")
DRIFT = Drift(
    Finding("/etc/x", Kind.CONTENT, "sha256 1", "sha256 2", ("50-a",)),
    Response.ALERT,
    1.0,
    (Writer(1.0, 7, "vi", "/usr/bin/vi", user="root"),),
)


@dataclass
class Ear:
    """Chronicle, board and Events in one; remembers everything it is told."""

    written: list[tuple[Mapping[str, str], Sequence[Condition]]] = field(default_factory=list)
    events: list[tuple[str, str, str]] = field(default_factory=list)
    heard: list[str] = field(default_factory=list)

    def publish(self, annotations: Any, conditions: Sequence[Condition] = ()) -> None:
        if isinstance(annotations, Report):
            self.heard.append("report")
        else:
            self.written.append((annotations, conditions))

    def record(self, kind: str, reason: str, message: str) -> None:
        self.events.append((kind, reason, message))

    def applied(self, outcome: str, _seconds: float, _what: str) -> None:
        self.heard.append(outcome)

    def recovered(self, outcome: Outcome) -> None:
        self.heard.append(str(outcome.result))

    def drifted(self, _change: Change) -> None:
        self.heard.append("drifted")

    def remedied(self, _drifts: Any) -> None:
        self.heard.append("remedied")


def announcer() -> tuple[Announcer, Ear]:
    ear = Ear()
    return Announcer(ear, ear, ear, "pod-1"), ear


def test_a_report_becomes_annotations_and_a_condition_once() -> None:
    one, ear = announcer()
    one.publish(DONE)
    one.publish(DONE)
    ((annotations, conditions),) = ear.written
    assert annotations[nodes.STATE] == "Done"
    assert conditions == [
        Condition(nodes.MACHINE_CONFIG_DEGRADED, "False", "AsDeclared", "render-worker-1 is in place")
    ]
    report = json.loads(annotations[nodes.REPORT])
    assert (report["pod"], report["jobs"]["machineconfig"]["drift"]) == ("pod-1", 0)
    assert ear.heard == ["report", "report"], "the chronicle decides for itself what is new"


def test_a_transition_is_an_event_and_a_start_is_none() -> None:
    one, ear = announcer()
    one.publish(DONE)
    assert ear.events == []
    one.publish(DRIFTING)
    one.publish(replace(DRIFTING, reason="drift: /etc/x, /etc/y"))
    one.publish(DONE)
    assert [event[:2] for event in ear.events] == [("Warning", "Drift"), ("Normal", "AsDeclared")]
    assert ear.written[1][1][0].status == "True"


def test_drift_names_path_source_and_who() -> None:
    one, ear = announcer()
    one.drifted(Change(opened=(DRIFT,)))
    one.drifted(Change(closed=(DRIFT,)))
    one.remedied([DRIFT])
    found, gone, repaired = ear.events
    assert found[:2] == ("Warning", "DriftFound")
    assert "/etc/x" in found[2]
    assert "declared by 50-a" in found[2]
    assert "vi (/usr/bin/vi) as root" in found[2]
    assert (gone[1], repaired[1]) == ("DriftGone", "DriftRepaired")


def test_a_flood_of_drifts_is_no_flood_of_events() -> None:
    one, ear = announcer()
    many = tuple(replace(DRIFT, finding=replace(DRIFT.finding, path=f"/etc/{index}")) for index in range(500))
    one.drifted(Change(opened=many))
    one.remedied(many)
    assert len(ear.events) == 20


def test_what_was_applied_and_recovered_is_told() -> None:
    one, ear = announcer()
    one.applied("applied", 0.1, "render-worker-2")
    one.applied("undone", 0.1, "render-worker-3")
    one.recovered(Outcome(Result.RESUMED))
    assert [event[1] for event in ear.events] == ["ConfigApplied", "InterruptedChange"]
    assert ear.heard == ["applied", "undone", "resumed"]
