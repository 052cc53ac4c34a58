"""The cluster signs the kubelet's serving certificate where the kubelet asks for none; what comes is verified."""

from __future__ import annotations

import json
from typing import Any

import pytest

from nodeagent.certs import serving
from nodeagent.certs.case import Policy
from nodeagent.certs.catalog import KUBELET_SELF_SIGNED, KUBELET_SERVER
from nodeagent.certs.contents import contents
from nodeagent.certs.due import DEFAULT_RULE
from nodeagent.certs.identity import Node, Role
from nodeagent.certs.inventory import Entry, assess
from nodeagent.certs.issue import serving_request
from nodeagent.certs.pkcs10 import asked
from nodeagent.certs.renewal import Wanted, propose
from nodeagent.certs.x509 import signed_by
from nodeagent.errors import Rejected
from tests.unit.certs.authority import DAY, NOW, Pair, cluster_ca, issue
from tests.unit.certs.scratch import Scratch

NAMES = ("DNS:w1", "IP:192.0.2.21", "IP:2001:db8::21")
AUTHORITIES = (cluster_ca().facts,)


def _signed(**different: Any) -> Pair:
    given = {"organization": "system:nodes", "sans": NAMES, "usages": ("serverAuth",), **different}
    return issue(given.pop("name", "system:node:w1"), given.pop("issuer", cluster_ca()), **given)


@pytest.fixture
def worker(node: Scratch) -> Scratch:
    """A worker whose kubelet signs its own serving certificate."""
    node.write("/etc/kubernetes/pki/ca.crt", cluster_ca().pem, 0o644)
    node.role, node.name = Role.WORKER, "w1"
    _serves(node, issue("w1@1750000000", issue("w1-ca@1750000000", ca=True), sans=("DNS:w1",)))
    return node


def _serves(node: Scratch, pair: Pair) -> None:
    node.write(KUBELET_SELF_SIGNED, pair.pem, 0o644)
    node.write("/var/lib/kubelet/pki/kubelet.key", pair.key_pem)


def _configured(node: Scratch, **fields: Any) -> None:
    kind = {"apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration", "rotateCertificates": True}
    node.write("/var/lib/kubelet/config.yaml", json.dumps(kind | fields), 0o644)


@pytest.mark.parametrize(
    ("fields", "replaceable"),
    [
        ({}, True),
        ({"tlsCertFile": KUBELET_SELF_SIGNED, "tlsPrivateKeyFile": "/var/lib/kubelet/pki/kubelet.key"}, True),
        ({"tlsCertFile": "/srv/tls/a.crt", "tlsPrivateKeyFile": "/srv/tls/a.key"}, False),
        ({"serverTLSBootstrap": True}, False),
        ({"kind": "Pod"}, False),
    ],
)
def test_only_what_nobody_else_looks_after_is_replaced(
    worker: Scratch, fields: dict[str, Any], replaceable: bool
) -> None:
    _configured(worker, **fields)
    assert (serving.replaceable(worker.survey()) is not None) is replaceable


def test_nothing_is_replaced_beside_a_certificate_that_the_kubelet_asked_for(worker: Scratch) -> None:
    pair = _signed()
    worker.write(KUBELET_SERVER, pair.pem + pair.key_pem)
    assert serving.replaceable(worker.survey()) is None


def test_nothing_is_replaced_without_the_clusters_ca_or_anything_to_replace(worker: Scratch) -> None:
    (worker.root / KUBELET_SELF_SIGNED[1:]).unlink()
    assert serving.replaceable(worker.survey()) is None
    _serves(worker, _signed())
    (worker.root / "etc/kubernetes/pki/ca.crt").unlink()
    assert serving.replaceable(worker.survey()) is None


@pytest.mark.parametrize(
    ("current", "why"),
    [
        (_signed(), ""),
        (issue("w1@1750000000", sans=NAMES), "no CA of the cluster"),
        (_signed(sans=NAMES[:2]), "just the Node's addresses"),
        (_signed(sans=(*NAMES, "DNS:other")), "just the Node's addresses"),
        (_signed(begins=NOW - 80 * DAY, ends=NOW + 11 * DAY), "is due"),
    ],
)
def test_another_is_asked_for_where_the_current_one_will_not_do(current: Pair, why: str) -> None:
    found = serving.reason(current.facts, AUTHORITIES, NAMES, signed_by, DEFAULT_RULE, NOW)
    assert why in found
    assert bool(found) is bool(why)


def test_what_is_asked_for_is_what_the_approver_takes() -> None:
    made = serving_request("system:node:w1", "system:nodes", NAMES)
    found = asked(made.certificate)
    assert (found.subject, found.sans) == ((("O", "system:nodes"), ("CN", "system:node:w1")), NAMES)
    assert (found.key_type, found.usages, found.others, found.is_ca, found.genuine) == (
        "ECDSA-P256",
        (),
        (),
        False,
        True,
    )
    assert contents(made.key).keys[0].type == "ECDSA-P256"


@pytest.mark.parametrize(
    ("different", "complaint"),
    [
        ({}, ""),
        ({"name": "system:node:w2"}, "its subject is"),
        ({"organization": "system:masters"}, "its subject is"),
        ({"sans": NAMES[:1]}, "its names"),
        ({"usages": ("clientAuth",)}, "does not allow a server"),
        ({"issuer": issue("kubernetes", ca=True)}, "no CA of the cluster"),
        ({"ends": NOW - DAY}, "not valid now"),
    ],
)
def test_what_was_signed_is_verified(different: dict[str, Any], complaint: str) -> None:
    pair = _signed(**different)
    found = serving.complaints(contents(pair.pem), contents(pair.key_pem), "w1", NAMES, AUTHORITIES, signed_by, NOW)
    assert complaint in "; ".join(found)
    assert len(found) == bool(complaint)


@pytest.mark.parametrize("data", [b"", b"garbage", _signed().pem + _signed().key_pem])
def test_what_is_no_certificate_is_not_served(data: bytes) -> None:
    (complaint,) = serving.complaints(contents(data), contents(b""), "w1", NAMES, AUTHORITIES, signed_by, NOW)
    assert "no certificate" in complaint


def test_a_certificate_for_another_key_is_not_served() -> None:
    other = contents(issue("other").key_pem)
    found = serving.complaints(contents(_signed().pem), other, "w1", NAMES, AUTHORITIES, signed_by, NOW)
    assert found == ("its key is another",)


def _entry(node: Scratch, policy: Policy) -> Entry:
    found = assess(node.survey(), Node("w1", "", Role.WORKER), node.now, node.library.signed_by, policy)
    assert "kubelet-self-signed" not in {str(each.code) for each in found.findings}
    return next(each for each in found.entries if each.path == KUBELET_SELF_SIGNED)


@pytest.mark.parametrize(("asks", "manager"), [(True, "agent"), (False, "nobody")])
def test_a_certificate_that_the_cluster_signed_is_not_signed_by_the_agent(
    worker: Scratch, asks: bool, manager: str
) -> None:
    _serves(worker, _signed(begins=NOW - 80 * DAY, ends=NOW + 11 * DAY))
    policy = Policy(asks_cluster=asks)
    entry = _entry(worker, policy)
    assert (entry.manager, entry.chain_ok, entry.due) == (manager, True, True)
    survey = worker.survey()
    inventory = assess(survey, Node("w1", "", Role.WORKER), worker.now, worker.library.signed_by, policy)
    assert propose(survey, inventory, Wanted(), NOW) == ()
    assert propose(survey, inventory, Wanted(everything=True), NOW) == ()
    with pytest.raises(Rejected, match="the cluster has signed it"):
        propose(survey, inventory, Wanted(("kubelet",)), NOW)
