"""What components serve is compared with the files, and asked for only on this node."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from nodeagent.certs.case import DEFAULT_POLICY
from nodeagent.certs.catalog import KUBELET, PKI
from nodeagent.certs.served import LOOPBACK_NAME, Answer, ask, targets
from nodeagent.observed.certificates import Endpoint, Served
from tests.unit.certs.authority import DAY, NOW, Pair, issue
from tests.unit.certs.scratch import Scratch

LOOPBACK = Endpoint("127.0.0.1", 6443, LOOPBACK_NAME)


class Port:
    """Serves what it is given by endpoint; every other port is closed."""

    def __init__(self, served: Mapping[Endpoint, bytes]) -> None:
        self._served = served

    def served(self, endpoint: Endpoint) -> Served:
        der = self._served.get(endpoint)
        return Served(endpoint, closed=True, problem="closed") if der is None else Served(endpoint, der)


def answers(node: Scratch, served: Mapping[Endpoint, bytes]) -> tuple[Answer, ...]:
    found = node.survey()
    return ask(targets(found), Port(served), found, NOW, DEFAULT_POLICY)


def codes(found: tuple[Answer, ...]) -> dict[str, str]:
    return {str(each.code): str(each.severity) for answer in found for each in answer.findings}


def loopback(ends: int, name: str = "apiserver-loopback-client@1751371200") -> Pair:
    return issue(name, begins=NOW + (ends - 365) * DAY, ends=NOW + ends * DAY)


def test_a_control_plane_is_asked_on_its_own_ports(node: Scratch) -> None:
    node.manifest("kube-apiserver", "--secure-port=6444", "--bind-address=192.0.2.11")
    node.manifest("kube-controller-manager", "--bind-address=127.0.0.1")
    node.manifest("kube-scheduler", "--bind-address=::")
    node.manifest(
        "etcd",
        "--listen-client-urls=https://192.0.2.11:2379,https://127.0.0.1:2379,http://127.0.0.1:1",
        "--listen-peer-urls=https://192.0.2.11:2380,https://[::1",
    )
    node.write(f"{KUBELET}/kubelet.crt", issue("cp1").pem, 0o644)
    assert [(each.component, str(each.endpoint), each.path) for each in targets(node.survey())] == [
        ("kube-apiserver", "192.0.2.11:6444", ""),
        ("kube-controller-manager", "127.0.0.1:10257", ""),
        ("kube-scheduler", "127.0.0.1:10259", ""),
        ("kube-apiserver", "192.0.2.11:6444", f"{PKI}/apiserver.crt"),
        ("etcd", "127.0.0.1:2379", f"{PKI}/etcd/server.crt"),
        ("etcd peer", "192.0.2.11:2380", f"{PKI}/etcd/peer.crt"),
        ("kubelet", "127.0.0.1:10250", f"{KUBELET}/kubelet.crt"),
    ]


def test_a_worker_without_certificates_is_asked_nothing(node: Scratch) -> None:
    assert targets(node.survey()) == ()


@pytest.mark.parametrize(
    ("ends", "expected"),
    [
        (200, {}),
        (25, {"loopback-expiring": "warning"}),
        (5, {"loopback-expiring": "high"}),
        (-1, {"loopback-expiring": "critical"}),
    ],
)
def test_the_end_of_a_loopback_certificate_is_told(node: Scratch, ends: int, expected: dict[str, str]) -> None:
    apiserver = issue("kube-apiserver")
    node.pair("apiserver", apiserver)
    node.manifest("kube-apiserver")
    served = {LOOPBACK: loopback(ends).der, Endpoint("127.0.0.1", 6443): apiserver.der}
    assert codes(answers(node, served)) == expected


@pytest.mark.parametrize("name", ["kube-apiserver", "apiserver-loopback-client@", "x apiserver-loopback-client@1"])
def test_only_a_loopback_certificate_is_taken_for_one(node: Scratch, name: str) -> None:
    node.manifest("kube-scheduler")
    endpoint = Endpoint("127.0.0.1", 10259, LOOPBACK_NAME)
    assert codes(answers(node, {endpoint: loopback(200, name).der})) == {"loopback-unexpected": "warning"}


def test_a_served_certificate_that_is_not_the_file_is_told(node: Scratch) -> None:
    node.pair("apiserver", issue("kube-apiserver", serial=2))
    node.manifest("kube-apiserver")
    old = issue("kube-apiserver", serial=1, begins=NOW - 365 * DAY, ends=NOW - DAY)
    found = answers(node, {LOOPBACK: loopback(200).der, Endpoint("127.0.0.1", 6443): old.der})
    assert codes(found) == {"expired": "critical", "served-differs": "high"}
    (told,) = (each for answer in found for each in answer.findings if each.code == "served-differs")
    assert "serial 1" in told.message
    assert "serial 2" in told.message


@pytest.mark.parametrize("der", [None, b"rubbish", b""])
def test_a_port_that_answers_badly_is_told(node: Scratch, der: bytes | None) -> None:
    node.manifest("kube-scheduler")
    endpoint = Endpoint("127.0.0.1", 10259, LOOPBACK_NAME)
    (answer,) = answers(node, {} if der is None else {endpoint: der})
    assert answer.certificate is None
    assert answer.findings[0].code == ("not-listening" if der is None else "probe-failed")
    assert answer.facts()["serial"] is None
