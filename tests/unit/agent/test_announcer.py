"""What a cluster is told of every job: on change only, in one annotation, a condition each, transitions as Events."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from nodeagent.agent.announcer import Announcer
from nodeagent.engine.report import Report, State
from nodeagent.observed import nodes
from nodeagent.observed.nodes import Condition

DONE = Report(
    "machineconfig",
    State.DONE,
    "",
    "AsDeclared",
    summary={"drift": 0},
    annotations={nodes.STATE: "Done"},
    rest="render-worker-1 is in place",
)
DRIFTING = replace(DONE, state=State.DEGRADED, cause="Drift", reason="drift: /etc/x of 50-a by vi")
CERTS = Report("certs", State.DEGRADED, "apiserver has expired", "Expired", summary={"expired": 1})


@dataclass
class Ear:
    """Board and Events in one; remembers everything it is told."""

    written: list[tuple[Mapping[str, str | None], Sequence[Condition]]] = field(default_factory=list)
    events: list[tuple[str, str, str]] = field(default_factory=list)

    def publish(self, annotations: Mapping[str, str | None], conditions: Sequence[Condition]) -> None:
        self.written.append((annotations, conditions))

    def record(self, kind: str, reason: str, message: str) -> None:
        self.events.append((kind, reason, message))


@dataclass
class Local:
    """The node's own reporter."""

    heard: list[Report] = field(default_factory=list)

    def publish(self, report: Report) -> None:
        self.heard.append(report)


def announcer() -> tuple[Announcer, Ear, Local]:
    ear, local = Ear(), Local()
    return Announcer(local, ear, ear, "pod-1"), ear, local


def test_a_report_becomes_annotations_and_a_condition_once() -> None:
    one, ear, local = announcer()
    one.publish(DONE)
    one.publish(DONE)
    ((annotations, conditions),) = ear.written
    assert annotations[nodes.STATE] == "Done"
    assert conditions == [
        Condition(nodes.MACHINE_CONFIG_DEGRADED, "False", "AsDeclared", "render-worker-1 is in place")
    ]
    report = json.loads(annotations[nodes.REPORT] or "")
    assert (report["pod"], report["jobs"]["machineconfig"]["drift"]) == ("pod-1", 0)
    assert local.heard == [DONE, DONE], "the chronicle decides for itself what is new"


def test_a_transition_is_an_event_and_a_start_is_none() -> None:
    one, ear, _ = announcer()
    one.publish(DONE)
    assert ear.events == []
    one.publish(DRIFTING)
    one.publish(replace(DRIFTING, reason="drift: /etc/x, /etc/y"))
    one.publish(DONE)
    assert [event[:2] for event in ear.events] == [("Warning", "Drift"), ("Normal", "AsDeclared")]
    assert ear.written[1][1][0].status == "True"


def test_each_job_has_its_condition_and_all_have_one_annotation() -> None:
    one, ear, _ = announcer()
    one.publish(DONE)
    one.publish(CERTS)
    annotations, (condition,) = ear.written[-1]
    assert condition == Condition(nodes.CERTIFICATES_DEGRADED, "True", "Expired", "apiserver has expired")
    assert annotations.keys() == {nodes.REPORT}
    jobs = json.loads(annotations[nodes.REPORT] or "")["jobs"]
    assert jobs == {
        "machineconfig": {"state": "Done", "cause": "AsDeclared", "drift": 0},
        "certs": {"state": "Degraded", "cause": "Expired", "expired": 1},
    }
