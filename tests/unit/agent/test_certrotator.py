"""The daemon renews what is due when it may, says why it does not, and never tries for ever."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from nodeagent import agent
from nodeagent.agent.certificates import inspector_of
from nodeagent.agent.certrotator import Rotator
from nodeagent.agent.jobs import Context
from nodeagent.agent.turn import Turn
from nodeagent.certs.contents import contents
from nodeagent.certs.monitor import Look
from nodeagent.engine.executor import Outcome, Result
from nodeagent.engine.handover import Handover
from nodeagent.engine.report import Report
from nodeagent.errors import Transient
from nodeagent.settings.model import build
from nodeagent.telemetry.metrics.registry import Registry
from tests.unit.certs import authority as made
from tests.unit.certs.authority import DAY
from tests.unit.certs.scratch import Scratch

# The node's own clock is compared with the kernel's: a look's time has to be near to it.
NOW = datetime.datetime.now(datetime.UTC).replace(microsecond=0)


@dataclass
class Ear:
    """Events, remembered."""

    heard: list[tuple[str, str, str]] = field(default_factory=list)

    def record(self, kind: str, reason: str, message: str) -> None:
        self.heard.append((kind, reason, message))


class Ours(Turn):
    """Our turn whenever we ask."""

    def __init__(self) -> None:
        super().__init__(None, "", "", "", "")

    def take(self, seconds: float) -> str:  # noqa: ARG002 - as any turn is asked
        return ""


class Theirs(Ours):
    """Always another's turn."""

    def take(self, seconds: float) -> str:  # noqa: ARG002 - as any turn is asked
        raise Transient("node other renews its certificates, and one does so at a time")


class Stage:
    """A control-plane node whose only leaf has `days` left, and its rotator."""

    def __init__(self, root: Path, days: float, turn: Turn | None = None, **settings: Any) -> None:
        self.node = Scratch(root)
        authority = made.issue("kubernetes", ca=True, begins=NOW - 400 * DAY, ends=NOW + 3000 * DAY)
        ends = NOW + days * DAY
        leaf = made.issue("client", authority, usages=["clientAuth"], begins=ends - 365 * DAY, ends=ends)
        self.node.pair("ca", authority)
        self.node.pair("apiserver-kubelet-client", leaf)
        self.node.manifest("etcd", "--initial-cluster=cp1=https://192.0.2.1:2380")
        values = {"root": str(root), "node_name": "cp1", **settings}
        found = build(values, {"node_name": "flag"})
        self._opened = agent.opened(found)
        self.place = self._opened.__enter__()
        self.inspector = inspector_of(found, self.place.tree)
        self.ear = Ear()
        self.handed: list[str] = []
        self.rotator = self.another(turn)

    def another(self, turn: Turn | None = None) -> Rotator:
        """As after a start of the agent."""
        handover = Handover()
        handover.register(self)
        self.registry = Registry("1.2.3")
        context = Context(self.place, self, self, self.ear, self.registry, handover, None)
        return Rotator(context, self.inspector, turn or Ours())

    name = "a job that carries traffic"
    interrupted = False

    def prepare(self, reason: str, _deadline: float) -> None:
        self.handed.append(reason)

    def resume(self) -> None:
        self.handed.append("back")

    def beat(self, name: str) -> None: ...

    def succeeded(self, name: str) -> None: ...

    def failed(self, name: str, error: Exception, failures: int, delay: float) -> None: ...

    def publish(self, report: Report) -> None: ...

    def close(self) -> None:
        self.node.tree.close()
        self._opened.__exit__(None, None, None)

    def tend(self, now: datetime.datetime = NOW) -> str:
        survey = self.inspector.survey()
        found = self.rotator.tend(Look(now, self.inspector.inventory(survey, now), ()))
        return "; ".join(f"{each.severity}: {each.message}" for each in found)

    @property
    def ends(self) -> datetime.datetime:
        path = self.node.root / "etc/kubernetes/pki/apiserver-kubelet-client.crt"
        return contents(path.read_bytes()).certificates[0].not_after

    def counted(self, result: str) -> bool:
        return f'nodeagent_cert_renewals_total{{result="{result}"}} 1.0' in self.registry.exposition().decode()


@pytest.fixture
def stages(tmp_path: Path) -> Iterator[Any]:
    opened: list[Stage] = []

    def stage(days: float, turn: Turn | None = None, **settings: Any) -> Stage:
        opened.append(Stage(tmp_path, days, turn, **settings))
        return opened[-1]

    yield stage
    for each in opened:
        each.close()


def test_what_is_due_is_renewed_in_its_turn(stages: Any) -> None:
    stage = stages(10)
    assert stage.tend() == ""
    assert stage.ends == NOW + 365 * DAY
    assert stage.ear.heard == [("Normal", "CertificatesRenewed", "renewed: apiserver-kubelet-client")]
    assert stage.counted("renewed")
    assert stage.tend() == ""
    assert len(stage.ear.heard) == 1


def test_a_broken_link_of_the_kubelets_is_repaired_out_of_turn_since_nothing_starts_anew(stages: Any) -> None:
    stage = stages(100, Theirs())
    directory = stage.node.root / "var/lib/kubelet/pki"
    pair = made.issue("system:node:cp1", usages=["clientAuth"], begins=NOW - DAY, ends=NOW + 364 * DAY)
    stage.node.write("/var/lib/kubelet/pki/kubelet-client-2026-06-01-00-00-00.pem", pair.pem + pair.key_pem)
    (directory / "kubelet-client-current.pem").symlink_to("kubelet-client-gone.pem")
    assert stage.tend() == ""
    dated = "/var/lib/kubelet/pki/kubelet-client-2026-06-01-00-00-00.pem"
    assert (directory / "kubelet-client-current.pem").readlink() == Path(dated)
    ((kind, reason, message),) = stage.ear.heard
    assert (kind, reason) == ("Normal", "KubeletCertificateRepaired")
    assert dated in message
    stage.tend()
    assert len(stage.ear.heard) == 1


def test_an_overdue_rotation_restarts_the_kubelet_once_even_after_a_start_of_the_agent(
    stages: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = stages(100)
    pair = made.issue("system:node:cp1", usages=["clientAuth"], begins=NOW - 86 * DAY, ends=NOW + 5 * DAY)
    stage.node.write("/var/lib/kubelet/pki/kubelet-client-2026-06-01-00-00-00.pem", pair.pem + pair.key_pem)
    link = stage.node.root / "var/lib/kubelet/pki/kubelet-client-current.pem"
    link.symlink_to("kubelet-client-2026-06-01-00-00-00.pem")
    performed: list[str] = []
    monkeypatch.setattr(stage.place.node, "running", True)
    monkeypatch.setattr(
        "nodeagent.host.systemd.Systemd.carry_out",
        lambda _self, changes: performed.extend(each.describe() for each in changes),
    )
    stage.tend()
    stage.rotator = stage.another()
    stage.tend()
    assert performed == ["restart kubelet.service"]


def test_what_is_not_due_takes_no_turn(stages: Any) -> None:
    assert stages(100, Theirs()).tend() == ""


def test_it_waits_for_its_turn_and_says_whose_it_is(stages: Any) -> None:
    stage = stages(10, Theirs())
    assert "node other renews its certificates" in stage.tend()
    assert stage.ends == NOW + 10 * DAY


def test_with_nobody_to_ask_it_waits_for_the_last_days(stages: Any) -> None:
    stage = stages(10, Turn(None, "", "", "", ""))
    assert stage.tend().startswith("info: is due, and not renewed yet: nobody can say whose turn it is")
    assert stages(2, Turn(None, "", "", "", "")).tend() == ""


def test_with_nobody_to_ask_it_waits_while_etcd_cannot_lose_a_member(
    stages: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nodeagent.agent.certrotator.out_of_turn", lambda *_: "")  # it is this node's by the clock
    stage = stages(2, Turn(None, "", "", "", ""))
    peers = ",".join(f"cp{number}=https://127.0.0.1:{number}" for number in (1, 2, 3))  # where nobody listens
    stage.node.manifest("etcd", f"--initial-cluster={peers}")
    assert "etcd cannot lose a member now: 1 of 3 answer" in stage.tend()
    assert stage.ends == NOW + 2 * DAY


def test_a_clock_that_jumps_renews_nothing(stages: Any) -> None:
    stage = stages(100)
    assert stage.tend() == ""
    assert "the clock is not believed" in stage.tend(NOW + 95 * DAY)
    assert stage.ends == NOW + 100 * DAY


def test_a_clock_that_was_set_is_believed_again_after_a_while(stages: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    stage = stages(100)
    boot = [1000.0]
    monkeypatch.setattr("nodeagent.agent.certrotator.time.clock_gettime", lambda _clock: boot[0])
    assert stage.tend() == ""
    for hour in range(6):
        assert "the clock is not believed" in stage.tend(NOW + 95 * DAY + datetime.timedelta(hours=hour))
        boot[0] += 3600.0
    assert stage.tend(NOW + 95 * DAY + datetime.timedelta(hours=6)) == ""
    assert stage.counted("renewed")


def test_on_a_worker_the_kubelets_own_certificate_is_renewed_and_nothing_else(tmp_path: Path) -> None:
    stage = Stage(tmp_path, 10, None, **{"certs.role": "worker"})
    ends = NOW + 10 * DAY
    own = made.issue("worker1@1751371200", sans=["DNS:worker1"], begins=ends - 365 * DAY, ends=ends)
    stage.node.write("/var/lib/kubelet/pki/kubelet.crt", own.pem, 0o644)
    stage.node.write("/var/lib/kubelet/pki/kubelet.key", own.key_pem)
    assert stage.tend() == ""
    renewed = contents((tmp_path / "var/lib/kubelet/pki/kubelet.crt").read_bytes()).certificates[0]
    assert renewed.not_after == NOW + 365 * DAY
    assert stage.ends == ends, "no CA key on a worker is used"
    stage.close()


def test_a_renewal_that_was_taken_back_is_not_tried_again(stages: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    stage = stages(10)
    tries: list[object] = []

    def undone(proposal: object, _progress: object) -> Outcome:
        tries.append(proposal)
        return Outcome(Result.UNDONE, why="kube-scheduler has not started anew after 180 s")

    monkeypatch.setattr(stage.rotator._rotation, "renew", undone)
    stage.tend()
    assert "has not started anew" in stage.tend()
    assert stage.tend().startswith("high: was not renewed")
    assert len(tries) == 1
    assert [event[1] for event in stage.ear.heard] == ["CertificateRenewalUndone"]
    stage.rotator = stage.another()
    assert stage.tend().startswith("high: was not renewed"), "a restart does not forget it"


def test_what_cannot_be_renewed_is_told(stages: Any) -> None:
    stage = stages(10)
    stage.node.write(
        "/etc/kubernetes/manifests/etcd.yaml.bak", (stage.node.root / "etc/kubernetes/manifests/etcd.yaml").read_bytes()
    )
    assert "cannot be renewed" in stage.tend()
    assert stage.counted("failed")
