"""What the loop tells of a look: state and cause, Events for what is new or gone, metrics, a document for others."""

from __future__ import annotations

import datetime
import json
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from nodeagent.certs.case import DEFAULT_POLICY
from nodeagent.certs.identity import Node, name_of, role_of
from nodeagent.certs.inventory import Inventory, assess
from nodeagent.certs.monitor import Audience, CertificateMonitor, Look, Pace, inventory_document
from nodeagent.certs.series import COLUMNS, series
from nodeagent.certs.served import LOOPBACK_NAME, Answer, ask, targets
from nodeagent.certs.survey import Survey
from nodeagent.engine.report import Report, State
from nodeagent.observed.certificates import Endpoint, Served
from tests.unit.certs.authority import DAY, NOW, issue
from tests.unit.certs.scratch import Scratch

LOOPBACK = Endpoint("127.0.0.1", 6443, LOOPBACK_NAME)


@dataclass
class Stage:
    """A node, a clock, and everything that was told."""

    node: Scratch
    now: datetime.datetime = NOW
    ticks: float = 0.0
    running: bool = True
    served: dict[Endpoint, bytes] = field(default_factory=dict)
    asked: int = 0
    reports: list[Report] = field(default_factory=list)
    events: list[tuple[str, str, str]] = field(default_factory=list)
    looks: list[Look] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.monitor = CertificateMonitor(
            self,
            Audience(self, self, self.looks.append),
            Pace(60.0, 300.0),
            lambda: self.now,
            lambda: self.ticks,
            lambda: self.running,
        )

    def survey(self) -> Survey:
        return self.node.survey()

    def inventory(self, found: Survey, now: datetime.datetime) -> Inventory:
        return assess(found, Node(name_of(found), "", role_of(found)), now, self.node.library.signed_by)

    def answers(self, found: Survey, now: datetime.datetime) -> tuple[Answer, ...]:
        self.asked += 1
        return ask(targets(found), _Port(self.served), found, now, DEFAULT_POLICY)

    def publish(self, report: Report) -> None:
        self.reports.append(report)

    def record(self, kind: str, reason: str, message: str) -> None:
        self.events.append((kind, reason, message))

    def look(self, now: datetime.datetime | None = None, after: float = 60.0) -> Report:
        self.now, self.ticks = now or self.now, self.ticks + after
        assert self.monitor.tick() == 60.0
        return self.reports[-1]


@dataclass
class _Port:
    served_by: dict[Endpoint, bytes]

    def served(self, endpoint: Endpoint) -> Served:
        return Served(endpoint, self.served_by.get(endpoint, b""), closed=endpoint not in self.served_by)


@pytest.fixture
def stage(node: Scratch) -> Stage:
    return Stage(node)


def _control_plane(stage: Stage, ends: datetime.datetime) -> None:
    authority = stage.node.with_ca()
    client = issue("front-proxy-client", authority, usages=["clientAuth"], begins=ends - 365 * DAY, ends=ends)
    stage.node.pair("apiserver-kubelet-client", client)


def _reasons(events: Sequence[tuple[str, str, str]]) -> list[tuple[str, str]]:
    return [event[:2] for event in events]


def test_a_node_without_certificates_is_in_order(stage: Stage) -> None:
    report = stage.look()
    assert (report.state, report.message) == (State.DONE, "there are no certificates here")
    assert stage.events == []


def test_each_stage_of_an_expiry_is_an_event_and_the_last_two_degrade(stage: Stage) -> None:
    ends = NOW + 100 * DAY
    _control_plane(stage, ends)
    assert stage.look().state is State.DONE
    before = len(stage.events)
    assert stage.look(ends - 29 * DAY).state is State.DONE
    urgent = stage.look(ends - 9 * DAY)
    assert (urgent.state, urgent.cause) == (State.DEGRADED, "CertificateExpiring")
    expired = stage.look(ends + DAY)
    assert (expired.state, expired.cause) == (State.DEGRADED, "CertificateExpired")
    assert "apiserver-kubelet-client.crt" in expired.reason
    told = [reason for kind, reason in _reasons(stage.events[before:]) if kind == "Warning"]
    assert told.count("CertificateExpiring") == 2
    assert told.count("CertificateExpired") == 1


def test_the_same_look_tells_nothing_new(stage: Stage) -> None:
    _control_plane(stage, NOW + 5 * DAY)
    first = stage.look()
    told = list(stage.events)
    assert stage.look(after=60.0) == first
    assert stage.events == told


def test_what_is_gone_is_told(stage: Stage) -> None:
    _control_plane(stage, NOW + 5 * DAY)
    stage.look()
    _control_plane(stage, NOW + 300 * DAY)
    stage.look()
    assert ("Normal", "CertificateFindingGone") in _reasons(stage.events)


def test_a_flood_of_findings_is_no_flood_of_events(stage: Stage) -> None:
    stage.node.extra = ("/etc/ssl/*.crt",)
    for number in range(100):
        stage.node.write(f"/etc/ssl/{number}.crt", "garbage", 0o644)
    report = stage.look()
    assert len(stage.events) == 10
    assert len(report.reason) < 1000


def test_components_are_asked_seldom_and_only_on_a_running_node(stage: Stage) -> None:
    stage.running = False
    stage.look()
    assert stage.asked == 0
    stage.running = True
    for _ in range(6):
        stage.look(after=60.0)
    assert stage.asked == 2


def test_a_loopback_certificate_that_ends_degrades(stage: Stage) -> None:
    stage.node.manifest("kube-apiserver", "--secure-port=6443")
    ends = NOW + 8 * DAY
    loopback = issue("apiserver-loopback-client@1751371200", begins=ends - 365 * DAY, ends=ends)
    stage.served = {LOOPBACK: loopback.der, Endpoint("127.0.0.1", 6443): loopback.der}
    assert stage.look().cause == "CertificateLoopbackExpiring"
    rows = series(stage.looks[-1].inventory, stage.looks[-1].answers)
    assert rows["nodeagent_cert_loopback_not_after_timestamp_seconds"] == [
        (("kube-apiserver",), ends.timestamp()),
    ]


def test_every_table_is_defined_and_every_row_fits_its_labels(stage: Stage) -> None:
    _control_plane(stage, NOW + 5 * DAY)
    stage.node.write("/etc/kubernetes/pki/apiserver.crt", "garbage", 0o644)
    stage.look()
    rows = series(stage.looks[-1].inventory, stage.looks[-1].answers)
    assert rows.keys() == COLUMNS.keys()
    for name, table in rows.items():
        assert all(len(labels) == len(COLUMNS[name][1]) for labels, _ in table), name


def test_the_peers_metrics_carry_the_peers_labels(stage: Stage) -> None:
    ends = NOW + 9 * DAY
    _control_plane(stage, ends)
    stage.look()
    rows = series(stage.looks[-1].inventory, stage.looks[-1].answers)
    labels = COLUMNS["x509_cert_not_after"][1]
    told = [dict(zip(labels, values, strict=True)) | {"value": value} for values, value in rows["x509_cert_not_after"]]
    (leaf,) = [each for each in told if each["filename"] == "apiserver-kubelet-client.crt"]
    assert leaf["filepath"] == "/etc/kubernetes/pki/apiserver-kubelet-client.crt"
    assert (leaf["subject_CN"], leaf["issuer_CN"]) == ("front-proxy-client", "kubernetes")
    assert leaf["value"] == ends.timestamp()
    status = dict(rows["certificate_expires_status"])
    assert status["apiserver-kubelet-client", "/etc/kubernetes/pki/apiserver-kubelet-client.crt"] == 2
    errors = dict(rows["x509_cert_error"])
    assert errors["apiserver-kubelet-client.crt", "/etc/kubernetes/pki/apiserver-kubelet-client.crt"] == 0


def test_the_document_for_others_is_bounded_and_stable(stage: Stage) -> None:
    _control_plane(stage, NOW + 100 * DAY)
    stage.look()
    whole = inventory_document(stage.looks[0], "cp1", 10)
    stage.look(NOW + DAY)
    assert inventory_document(stage.looks[1], "cp1", 10) == whole
    assert [each["name"] for each in whole["certificates"]] == ["ca", "apiserver-kubelet-client"]
    cut = inventory_document(stage.looks[0], "cp1", 1)
    assert (len(cut["certificates"]), cut["left_out"]) == (1, 1)
    assert "PRIVATE" not in json.dumps(whole)
