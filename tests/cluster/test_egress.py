"""The role `egress` under the identity of deploy/egress, between a real API server and a real northbound database."""

from __future__ import annotations

import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nodeagent.agent.nexthops import last_nexthops
from nodeagent.kube.connection import connect
from tests.capabilities import require
from tests.cluster.client import ApiError
from tests.cluster.controlplane import ControlPlane, eventually
from tests.cluster.coordinators import CoordinatorProcess
from tests.cluster.manifests import deploy
from tests.cluster.process import free_port
from tests.ovn import packages
from tests.ovn.central import Database, database, nbctl, running
from tests.ovn.test_commands import Cluster, objects
from tests.unit.egress.site import document

_KINDS = {"VpcEgressGateway": "vpc-egress-gateways", "Vpc": "vpcs", "Subnet": "subnets"}


@pytest.fixture
def northbound(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """A northbound database alone, empty."""
    require("ovn")
    server = database(packages.ensured(), tmp_path_factory.mktemp("nb"))
    with running(server):
        yield server


@pytest.fixture
def plane(own_control_plane: ControlPlane) -> ControlPlane:
    """An API server with Kube-OVN's kinds and the objects of one gateway, and the identity of the role."""
    deploy(own_control_plane, "egress")
    furnish(own_control_plane)
    return own_control_plane


def furnish(plane: ControlPlane) -> None:
    """Kube-OVN's kinds and the objects of one gateway."""
    for kind, plural in _KINDS.items():
        plane.admin.apply(definition(kind, plural))
    for each in objects():
        _create(plane, each)


def definition(kind: str, plural: str, group: str = "kubeovn.io") -> dict[str, Any]:
    """A kind of Kube-OVN's that takes everything."""
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    names = {"kind": kind, "plural": plural, "singular": kind.lower(), "listKind": f"{kind}List"}
    scope = "Namespaced" if kind in ("VpcEgressGateway", "NetworkAttachmentDefinition") else "Cluster"
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {"group": group, "names": names, "scope": scope, "versions": [version]},
    }


def _create(plane: ControlPlane, each: dict[str, Any]) -> None:
    if each["kind"] == "Pod":
        namespace = each["metadata"]["namespace"]
        account = {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": {"namespace": namespace, "name": "default"},
        }
        plane.admin.apply(account)
        each = {**each, "spec": {"containers": [{"name": "main", "image": "none"}]}}
    version = "kubeovn.io/v1" if each["kind"] in _KINDS else "v1"
    eventually(lambda: applied(plane, {**each, "apiVersion": version}), f"there is {each['kind']}", 30.0)


def applied(plane: ControlPlane, each: dict[str, Any]) -> bool:
    """False while the server has still to learn of the kind."""
    try:
        plane.admin.apply(each)
    except ApiError as error:
        if error.status != 404:
            raise
        return False
    return True


def test_damage_by_hand_is_told_on_the_gateway(plane: ControlPlane, northbound: Database, tmp_path: Path) -> None:
    cluster = Cluster(northbound, tmp_path)
    cluster.program()
    address = f"127.0.0.1:{free_port()}"
    kubeconfig = plane.kubeconfig_with_token("egress", plane.service_account_token("nodeagent", "egress"))
    flags = {"metrics-address": address, "egress-northbound": northbound.remote}
    with CoordinatorProcess(plane, tmp_path, "egress", kubeconfig, flags, ["egress"]) as process:
        up = 'nodeagent_egress_session_up{gateway="default/gw",nexthop="10.20.0.11"} 1.0'
        eventually(lambda: up in _page(address), "the sessions are shown", 60.0)
        _nexthops_are_told(plane, northbound)
        assert _told(plane) == {}
        nbctl(northbound, "lr-policy-del", "vpc1", "29090")
        eventually(lambda: "MissingDropPolicy" in _told(plane), "the damage is told", 60.0)
        cluster.program()
        eventually(lambda: "EgressGatewayMended" in _told(plane), "the end of it is told", 60.0)
        bad = {**document(replicas=99), "apiVersion": "kubeovn.io/v1"}
        plane.admin.apply({**bad, "metadata": {"namespace": "default", "name": "bad"}})
        eventually(lambda: "GatewayRefused" in _told(plane, "bad"), "the bad object is told", 60.0)
        assert "$.spec.replicas" in _told(plane, "bad")["GatewayRefused"]
        assert "forbidden" not in process.log.lower()


def _nexthops_are_told(plane: ControlPlane, northbound: Database) -> None:
    """A node, with its agent's identity, learns whether its nexthop is the last that works."""
    token = plane.service_account_token("nodeagent", "agent")
    agent = connect(str(plane.kubeconfig_with_token("agent", token)), "tests")
    own = frozenset({"10.20.0.11"})

    def told() -> tuple[str, ...]:
        return last_nexthops(agent, "nodeagent", own)

    eventually(lambda: told() == (), "another one works", 60.0)
    nbctl(northbound, "set", "BFD", _session(northbound, "10.20.0.12"), "status=down")
    eventually(lambda: told() == ("10.20.0.11 of gateway default/gw",), "it is the last one", 60.0)
    nbctl(northbound, "set", "BFD", _session(northbound, "10.20.0.12"), "status=up")
    eventually(lambda: told() == (), "another one works again", 60.0)
    path = "/api/v1/namespaces/nodeagent/configmaps/nodeagent-egress-nexthops"
    plane.admin.patch(path, {"data": {"nexthops.json": "nonsense"}})
    assert told() == ()  # nobody can say so


def _session(northbound: Database, address: str) -> str:
    return nbctl(northbound, "--bare", "--columns=_uuid", "find", "BFD", f"dst_ip={address}").split()[0]


def _told(plane: ControlPlane, name: str = "gw") -> dict[str, str]:
    """Messages of Events on a gateway by their reason."""
    selector = f"involvedObject.kind=VpcEgressGateway,involvedObject.name={name}"
    events = plane.admin.list("/api/v1/namespaces/default/events", fieldSelector=selector)
    return {each["reason"]: each["message"] for each in events}


def _page(address: str) -> str:
    try:
        with urllib.request.urlopen(f"http://{address}/metrics", timeout=5) as answer:
            return str(answer.read(), "utf-8")
    except OSError:
        return ""
