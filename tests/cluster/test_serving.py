"""A node has its kubelet's serving certificate signed by the real signer, under the kubelet's own identity."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from nodeagent import agent
from nodeagent.agent.certificates import inspector_of
from nodeagent.agent.jobs import Context
from nodeagent.agent.servingcertificate import ServingCertificate
from nodeagent.certs.contents import contents
from nodeagent.certs.facts import Certificate
from nodeagent.certs.monitor import Look
from nodeagent.engine.controller import Backoff
from nodeagent.engine.executor import Outcome, Result
from nodeagent.engine.handover import Handover
from nodeagent.engine.report import Report
from nodeagent.settings.model import build
from nodeagent.telemetry.metrics.registry import Registry
from tests.cluster.controlplane import ControlPlane, eventually
from tests.unit.certs.authority import issue

_REQUESTS = "/apis/certificates.k8s.io/v1/certificatesigningrequests"
_PKI = "var/lib/kubelet/pki"


@dataclass
class Silence:
    """Nobody watches the loop; Events are kept."""

    events: list[tuple[str, str, str]] = field(default_factory=list)

    def record(self, kind: str, reason: str, message: str) -> None:
        self.events.append((kind, reason, message))

    def beat(self, name: str) -> None: ...

    def succeeded(self, name: str) -> None: ...

    def failed(self, name: str, error: Exception, failures: int, delay: float) -> None: ...

    def publish(self, report: Report) -> None: ...


class Worker:
    """A node's root with a kubelet that signs its own serving certificate, and the Node."""

    def __init__(self, plane: ControlPlane, root: Path) -> None:
        self.plane, self.root, self.name = plane, root, f"worker-{secrets.token_hex(4)}"
        self.silence = Silence()
        self.clock = [0.0]
        addresses = [
            {"type": "Hostname", "address": self.name},
            {"type": "InternalIP", "address": f"192.0.2.{secrets.randbelow(250) + 1}"},
        ]
        plane.admin.create("/api/v1/nodes", {"metadata": {"name": self.name}})
        self.node = plane.admin.patch(f"/api/v1/nodes/{self.name}/status", {"status": {"addresses": addresses}})
        self._lay_out()

    def _lay_out(self) -> None:
        user = f"system:node:{self.name}"
        pair = self.plane._identity(user, ["system:nodes"])
        now = datetime.now(UTC)
        own = issue(f"{self.name}@1", sans=(f"DNS:{self.name}",), begins=now, ends=now + timedelta(days=365))
        self.write("etc/kubernetes/pki/ca.crt", self.plane.ca_file.read_bytes(), 0o644)
        self.write("etc/kubernetes/kubelet.conf", self.plane.kubeconfig(user, ["system:nodes"]).read_bytes())
        self.write(f"{_PKI}/kubelet-client-1.pem", pair.certificate.read_bytes() + pair.key.read_bytes())
        (self.root / _PKI / "kubelet-client-current.pem").symlink_to(f"/{_PKI}/kubelet-client-1.pem")
        self.write(f"{_PKI}/kubelet.crt", own.pem, 0o644)
        self.write(f"{_PKI}/kubelet.key", own.key_pem)

    def write(self, path: str, data: bytes, mode: int = 0o600) -> None:
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
        target.chmod(mode)

    @property
    def serves(self) -> Certificate:
        return contents((self.root / _PKI / "kubelet.crt").read_bytes()).certificates[0]

    @contextmanager
    def tending(self) -> Iterator[Callable[[], str]]:
        """What the daemon does in one look, and what there is to say."""
        (self.root / "run").mkdir(exist_ok=True)
        values = {"root": str(self.root), "run_dir": str(self.root / "run"), "node_name": self.name}
        settings = build({**values, "certs.request_serving": True}, {"node_name": "flag"})
        with agent.opened(settings) as place:
            watcher = self.silence
            context = Context(place, watcher, watcher, watcher, Registry("1"), Handover(), None)
            inspector = inspector_of(settings, place.tree)
            one = ServingCertificate(context, inspector, lambda: self.node)

            def tend() -> str:
                now = datetime.now(UTC)
                found = one.tend(Look(now, inspector.inventory(inspector.survey(), now), ()))
                return "; ".join(f"{each.severity}: {each.message}" for each in found)

            yield tend

    def requests(self) -> list[dict[str, Any]]:
        user = f"system:node:{self.name}"
        return [each for each in self.plane.admin.list(_REQUESTS) if each["spec"]["username"] == user]

    def decide(self, kind: str) -> None:
        """An administrator's decision on the one request."""
        (request,) = self.requests()
        condition = {"type": kind, "status": "True", "reason": "ByHand", "message": "as an administrator says"}
        path = f"{_REQUESTS}/{request['metadata']['name']}/approval"
        self.plane.admin.patch(path, {"status": {"conditions": [condition]}})


@pytest.fixture
def worker(controllers: ControlPlane, tmp_path: Path) -> Worker:
    return Worker(controllers, tmp_path)


def test_what_the_cluster_has_signed_takes_the_place_of_what_the_kubelet_signed(worker: Worker) -> None:
    before = worker.serves
    with worker.tending() as tend:
        assert tend().startswith("info: the request nodeagent-serving-")
        tend()
        (request,) = worker.requests()
        assert request["spec"]["signerName"] == "kubernetes.io/kubelet-serving"
        assert sorted(request["spec"]["usages"]) == ["digital signature", "server auth"]
        assert worker.serves == before, "nothing is touched before it is signed"
        worker.decide("Approved")
        eventually(lambda: tend() == "" and worker.serves != before, "the certificate is in place", 60.0)
        addresses = worker.node["status"]["addresses"]
        assert set(worker.serves.sans) == {f"DNS:{worker.name}", f"IP:{addresses[1]['address']}"}
        assert worker.serves.issuer_name == "test authority"
        key = contents((worker.root / _PKI / "kubelet.key").read_bytes()).keys[0]
        assert key.public_key == worker.serves.public_key
        assert tend() == ""
        assert len(worker.requests()) == 1, "it will do until it is due"
    assert [event[1] for event in worker.silence.events] == ["CertificatesRenewed"]
    assert list((worker.root / "run").iterdir()) == [], "no kubeconfig is left"


def test_a_request_that_is_denied_is_told_and_not_repeated_at_once(worker: Worker) -> None:
    before = worker.serves
    with worker.tending() as tend:
        tend()
        worker.decide("Denied")
        assert "was denied: as an administrator says" in tend()
        assert "was denied" in tend()
    assert len(worker.requests()) == 1
    assert worker.serves == before


def test_a_certificate_with_which_the_kubelet_does_not_come_back_is_not_tried_again(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries: list[object] = []

    def undone(_self: object, proposal: object, _progress: object) -> Outcome:
        tries.append(proposal)
        return Outcome(Result.UNDONE, why="kubelet.service did not start")

    monkeypatch.setattr("nodeagent.agent.rotation.Rotation.renew", undone)
    monkeypatch.setattr("nodeagent.agent.servingcertificate._AGAIN", Backoff(0.0, 0.0))
    with worker.tending() as tend:
        tend()
        worker.decide("Approved")
        eventually(lambda: "did not start" in tend(), "it is tried", 60.0)
        assert "did not start" in tend()
        assert "did not start" in tend()
    assert len(tries) == 1
    assert len(worker.requests()) == 1
    assert [event[1] for event in worker.silence.events] == ["CertificateRenewalUndone"]


def test_the_nodes_addresses_are_asked_for_afresh_when_they_change(worker: Worker) -> None:
    with worker.tending() as tend:
        tend()
        addresses = [*worker.node["status"]["addresses"], {"type": "ExternalIP", "address": "198.51.100.7"}]
        worker.node = {**worker.node, "status": {**worker.node["status"], "addresses": addresses}}
        tend()
    assert len(worker.requests()) == 2
    newest = max(worker.requests(), key=lambda each: int(each["metadata"]["resourceVersion"]))
    assert b"BEGIN CERTIFICATE REQUEST" in base64.b64decode(newest["spec"]["request"])


def test_an_api_server_that_is_away_costs_nothing_but_time(worker: Worker) -> None:
    config = (worker.root / "etc/kubernetes/kubelet.conf").read_bytes()
    worker.write("etc/kubernetes/kubelet.conf", config.replace(str(worker.plane.port).encode(), b"1"))
    with worker.tending() as tend:
        assert "no certificate of the cluster's could be had" in tend()
    assert worker.requests() == []
