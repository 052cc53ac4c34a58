"""Kubelets' serving certificates: approved under the identity of deploy/approval, signed by the real signer."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID

from tests.cluster.client import ApiError
from tests.cluster.controlplane import ControlPlane, eventually
from tests.cluster.coordinators import CoordinatorProcess
from tests.cluster.manifests import deploy
from tests.unit.certs.requests import KEY, pem, spec

_REQUESTS = "/apis/certificates.k8s.io/v1/certificatesigningrequests"
_EVENTS = "/api/v1/namespaces/default/events"
_ON = "coordinator-approve-serving"


@dataclass(frozen=True)
class Worker:
    """A Node, as its kubelet would ask for certificates."""

    plane: ControlPlane
    name: str

    @property
    def sans(self) -> tuple[str, ...]:
        return f"DNS:{self.name}", f"IP:{self._address}"

    @property
    def _address(self) -> str:
        return f"192.0.{int(self.name[-2:], 16)}.{int(self.name[-4:-2], 16)}"

    def register(self) -> None:
        self.plane.admin.create("/api/v1/nodes", {"metadata": {"name": self.name}})
        addresses = [{"type": "Hostname", "address": self.name}, {"type": "InternalIP", "address": self._address}]
        self.plane.admin.patch(f"/api/v1/nodes/{self.name}/status", {"status": {"addresses": addresses}})

    def asks(self, user: str = "", groups: tuple[str, ...] = ("system:nodes",), **more: Any) -> str:
        """The name of a new request; `user` asks for it, by default the node itself."""
        subject = (("O", "system:nodes"), ("CN", f"system:node:{self.name}"))
        request = pem(subject=subject, sans=more.pop("sans", self.sans))
        name = f"{self.name}-{secrets.token_hex(4)}"
        client = self.plane.client(user or f"system:node:{self.name}", groups)
        body = {"apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest"}
        client.create(_REQUESTS, body | {"metadata": {"name": name}, "spec": spec(request, **more)})
        return name


@pytest.fixture
def worker(controllers: ControlPlane) -> Worker:
    return Worker(controllers, f"worker-{secrets.token_hex(4)}")


@pytest.fixture(scope="module")
def deployed(controllers: ControlPlane) -> ControlPlane:
    deploy(controllers, "approval")
    return controllers


@pytest.fixture
def approver(deployed: ControlPlane, tmp_path: Path) -> Iterator[CoordinatorProcess]:
    with _approver(deployed, tmp_path, _ON) as process:
        yield process


def _approver(plane: ControlPlane, base: Path, *switches: str) -> CoordinatorProcess:
    kubeconfig = plane.kubeconfig_with_token("certificates", plane.service_account_token("nodeagent", "certificates"))
    return CoordinatorProcess(plane, base, "certificates", kubeconfig, roles=["certificates"], switches=switches)


def _status(plane: ControlPlane, name: str) -> dict[str, Any]:
    status: dict[str, Any] = plane.admin.get(f"{_REQUESTS}/{name}")["status"]
    return status


def _told(plane: ControlPlane, name: str) -> list[str]:
    selector = f"involvedObject.kind=CertificateSigningRequest,involvedObject.name={name}"
    return [event["message"] for event in plane.admin.list(_EVENTS, fieldSelector=selector)]


def test_what_a_kubelet_asks_for_is_approved_and_signed(worker: Worker, approver: CoordinatorProcess) -> None:
    worker.register()
    name = worker.asks()
    try:
        eventually(lambda: "certificate" in _status(worker.plane, name), "the certificate is there", 30.0)
    except AssertionError as error:
        raise AssertionError(f"{error}\n{_status(worker.plane, name)}\n{approver.log[-3000:]}") from None
    status = _status(worker.plane, name)
    issued = x509.load_pem_x509_certificate(base64.b64decode(status["certificate"]))
    spki = Encoding.DER, PublicFormat.SubjectPublicKeyInfo
    assert issued.public_key().public_bytes(*spki) == KEY.public_key().public_bytes(*spki)
    names = issued.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert {f"DNS:{names.get_values_for_type(x509.DNSName)[0]}"} < set(worker.sans)
    usage = issued.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.SERVER_AUTH]
    (condition,) = [each for each in status["conditions"] if each["type"] == "Approved"]
    assert (condition["reason"], condition["status"]) == ("KubeletServing", "True")
    assert "forbidden" not in approver.log.lower()


def test_what_nobody_should_have_is_left_with_an_event_that_says_why(
    worker: Worker, approver: CoordinatorProcess
) -> None:
    worker.register()
    foreign = worker.asks(sans=(*worker.sans, "DNS:kube.example"))
    lasting = worker.asks(expirationSeconds=400 * 86400)
    admin = worker.asks("admin", ("system:masters",))
    good = worker.asks()
    eventually(lambda: "certificate" in _status(worker.plane, good), "the good one is signed", 60.0)
    for name, said in ((foreign, "DNS:kube.example"), (lasting, "at most"), (admin, "is no node")):
        eventually(partial(_says, worker.plane, name, said), f"an Event says {said}", 150.0)
        assert _status(worker.plane, name) == {}


def _says(plane: ControlPlane, name: str, said: str) -> bool:
    return any(said in message for message in _told(plane, name))


def test_a_node_that_registers_after_its_request_is_approved_then(worker: Worker, approver: CoordinatorProcess) -> None:
    name = worker.asks()
    known = worker.plane
    other = Worker(known, f"worker-{secrets.token_hex(4)}")
    other.register()
    second = other.asks()
    eventually(lambda: "certificate" in _status(known, second), "the other's is signed", 60.0)
    assert _status(known, name) == {}
    worker.register()
    eventually(lambda: "certificate" in _status(known, name), "the certificate is there", 60.0)


def test_it_approves_nothing_unless_it_is_switched_on(worker: Worker, deployed: ControlPlane, tmp_path: Path) -> None:
    worker.register()
    name = worker.asks()
    with _approver(deployed, tmp_path) as process:
        eventually(lambda: "certificates" in process.log and _leads(deployed), "it leads", 60.0)
    assert _status(deployed, name) == {}
    with _approver(deployed, tmp_path, _ON):
        eventually(lambda: "certificate" in _status(deployed, name), "switched on it approves", 60.0)


def _leads(plane: ControlPlane) -> bool:
    path = "/apis/coordination.k8s.io/v1/namespaces/nodeagent/leases/nodeagent-certificates"
    try:
        return bool(plane.admin.get(path)["spec"].get("holderIdentity"))
    except ApiError:
        return False


# -- what its identity may do -----------------------------------------------------------------------------------------


def test_its_identity_approves_what_nodes_ask_for_and_nothing_else(worker: Worker, deployed: ControlPlane) -> None:
    client = deployed.client_with_token(deployed.service_account_token("nodeagent", "certificates"))
    own, impostor = worker.asks(), worker.asks("admin", ("system:masters",))
    client_auth = worker.asks(
        signerName="kubernetes.io/kube-apiserver-client", usages=["digital signature", "client auth"]
    )

    def approval(name: str, kind: str = "Approved") -> Callable[[], Any]:
        condition = {"type": kind, "status": "True", "reason": "Tried", "message": "by a test"}
        path = f"{_REQUESTS}/{name}/approval?dryRun=All"
        return lambda: client.patch(path, {"status": {"conditions": [condition]}})

    eventually(lambda: _is_denied(approval(impostor)), "the policy is in force")
    approval(own)()
    for attempt in (
        approval(own, "Denied"),
        approval(impostor),
        approval(client_auth),
        lambda: client.delete(f"{_REQUESTS}/{own}?dryRun=All"),
        lambda: client.patch(f"{_REQUESTS}/{own}/status?dryRun=All", {"status": {"certificate": "LS0t"}}),
        lambda: client.create(f"{_REQUESTS}?dryRun=All", {"metadata": {"name": "x"}, "spec": spec()}),
        lambda: client.list("/api/v1/secrets"),
        lambda: client.patch(f"/api/v1/nodes/{worker.name}?dryRun=All", {"metadata": {"labels": {"a": "b"}}}),
    ):
        with pytest.raises(ApiError) as refused:
            attempt()
        assert refused.value.status in {403, 422}, refused.value


def _is_denied(attempt: Callable[[], Any]) -> bool:
    try:
        attempt()
    except ApiError:
        return True
    return False
