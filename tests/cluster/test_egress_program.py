"""The role `egress` in the mode `program`, under its identity, between a real API server and northbound database."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from nodeagent.agent.assigned import Assigned, words
from nodeagent.egress.node.keeper import Parts
from nodeagent.egress.node.partfile import part_of
from nodeagent.egress.node.roads import Word
from nodeagent.host.store import Store
from nodeagent.host.tree import Tree
from nodeagent.kube.connection import connect
from tests.cluster.client import ApiError
from tests.cluster.controlplane import ControlPlane, eventually
from tests.cluster.coordinators import CoordinatorProcess
from tests.cluster.manifests import deploy
from tests.cluster.process import free_port
from tests.cluster.test_egress import applied, definition, furnish
from tests.ovn.central import Database, nbctl
from tests.unit.egress.site import ours

pytest_plugins = ["tests.cluster.test_egress"]

_GATEWAYS = "/apis/nodeagent.io/v1alpha1/namespaces/default/egressgateways"
_IPS = "/apis/kubeovn.io/v1/ips"


class Scene:
    """A cluster with two nodes and a router, and a coordinator that programs its gateways."""

    def __init__(self, plane: ControlPlane, northbound: Database, folder: Path) -> None:
        self.plane, self.northbound, self.folder = plane, northbound, folder
        deploy(plane, "program")
        for kind, plural, group in (
            ("IP", "ips", "kubeovn.io"),
            ("NetworkAttachmentDefinition", "network-attachment-definitions", "k8s.cni.cncf.io"),
        ):
            plane.admin.apply(definition(kind, plural, group))
        furnish(plane)
        plane.admin.delete("/apis/kubeovn.io/v1/namespaces/default/vpc-egress-gateways/gw")
        for each in (_subnet(), _attachment()):
            eventually(partial(applied, plane, each), f"there is {each['kind']}", 30.0)
        for name in ("n1", "n2", "n3"):
            _make_node(plane, name)
        eventually(partial(_served, plane, _IPS), "IP objects are served", 30.0)
        switches = [word for name in ("pods", "inside") for word in ("--", "ls-add", name)]
        port = ["--", "lrp-add", "vpc1", "bfd@vpc1", "0a:00:00:00:00:01", "10.255.0.1/32", "fd00:255::1/128"]
        nbctl(northbound, "lr-add", "vpc1", *port, *switches, "--", "lsp-add", "pods", "x1.red")

    @contextmanager
    def running(self) -> Iterator[CoordinatorProcess]:
        token = self.plane.service_account_token("nodeagent", "egress")
        kubeconfig = self.plane.kubeconfig_with_token("egress", token)
        flags = {"metrics-address": f"127.0.0.1:{free_port()}", "egress-northbound": self.northbound.remote}
        flags |= {"egress-mode": "program"}
        with CoordinatorProcess(self.plane, self.folder, "egress", kubeconfig, flags, ["egress"]) as process:
            try:
                yield process
            finally:
                print(process.log)  # noqa: T201 - pytest shows it where the test fails

    def apply(self, name: str = "gw", **spec: Any) -> None:
        metadata = {"namespace": "default", "name": name}
        document = {"apiVersion": "nodeagent.io/v1alpha1", "metadata": metadata, "spec": ours(**spec)["spec"]}
        self.plane.admin.apply({"kind": "EgressGateway", **document})

    def gateway(self, name: str = "gw") -> dict[str, Any]:
        found: dict[str, Any] = self.plane.admin.get(f"{_GATEWAYS}/{name}")
        return found

    def status(self, name: str = "gw") -> dict[str, Any]:
        return self.gateway(name).get("status") or {}

    def condition(self, kind: str, name: str = "gw") -> tuple[str, str]:
        for each in self.status(name).get("conditions") or ():
            if each["type"] == kind:
                return each["status"], each["message"]
        return "", ""

    def session(self, address: str) -> dict[str, Any]:
        return next((each for each in self.status().get("sessions") or () if each["nexthop"] == address), {})

    def rows(self, table: str, *columns: str) -> list[list[Any]]:
        found = json.loads(nbctl(self.northbound, "-f", "json", f"--columns={','.join(columns)}", "list", table))
        rows: list[list[Any]] = found["data"]
        return rows

    def ups(self, state: str = "up") -> None:
        """Say for the router that all sessions are `state`."""
        for uuid in nbctl(self.northbound, "--bare", "--columns=_uuid", "list", "BFD").split():
            nbctl(self.northbound, "set", "BFD", uuid, f"status={state}")

    def policies(self) -> str:
        return nbctl(self.northbound, "lr-policy-list", "vpc1")

    def annotate(self, node: str, **annotations: str | None) -> None:
        said = {f"nodeagent.io/{name.replace('_', '-')}": value for name, value in annotations.items()}
        self.plane.admin.patch(f"/api/v1/nodes/{node}", {"metadata": {"annotations": said}})


def _served(plane: ControlPlane, path: str) -> bool:
    try:
        plane.admin.list(path)
    except ApiError:
        return False
    return True


def _subnet() -> dict[str, Any]:
    spec = {
        "cidrBlock": "198.51.100.0/24,2001:db8::/64",
        "gateway": "198.51.100.1,2001:db8::1",
        "provider": "beyond.default",
    }
    return {"apiVersion": "kubeovn.io/v1", "kind": "Subnet", "metadata": {"name": "beyond"}, "spec": spec}


def _attachment() -> dict[str, Any]:
    config = json.dumps({"cniVersion": "0.3.0", "type": "macvlan", "master": "ext0", "mode": "bridge"})
    return {
        "apiVersion": "k8s.cni.cncf.io/v1",
        "kind": "NetworkAttachmentDefinition",
        "metadata": {"namespace": "default", "name": "beyond"},
        "spec": {"config": config},
    }


def _make_node(plane: ControlPlane, name: str) -> None:
    """A node that is Ready, and free of the taint that a new one gets."""
    plane.admin.apply({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}})
    plane.admin.patch(f"/api/v1/nodes/{name}", {"spec": {"taints": None}})
    plane.admin.patch(f"/api/v1/nodes/{name}/status", {"status": {"conditions": [{"type": "Ready", "status": "True"}]}})


@pytest.fixture
def scene(own_control_plane: ControlPlane, northbound: Database, tmp_path: Path) -> Scene:
    return Scene(own_control_plane, northbound, tmp_path)


def test_a_gateway_from_its_object_to_its_end(scene: Scene) -> None:
    scene.apply()
    with scene.running() as process:
        eventually(lambda: scene.policies().count("reroute") == 4, "the rows are there", 60.0)
        assert scene.policies().count("drop") == 0  # no session was up yet: traffic is not cut
        scene.ups()
        eventually(lambda: scene.policies().count("drop") == 4, "traffic does not leak any more", 60.0)
        eventually(lambda: scene.status()["phase"] == "Completed", "it is complete", 60.0)
        status = scene.status()
        assert (scene.condition("Ready")[0], scene.condition("Degraded")[0]) == ("True", "False")
        nodes = status["workload"]["nodes"]
        assert len(set(nodes)) == 2
        parts = [part_of({"gateway": "default/gw", **_without_node(each)}, "status") for each in status["parts"]]
        ports = dict(scene.rows("Logical_Switch_Port", "name", "addresses"))
        for part in parts:
            assert ports[part.port] == " ".join((part.mac, *(leg.host for leg in part.inside)))
        labels = scene.gateway()["metadata"]["labels"]
        assert len([name for name in labels if name.startswith("node.nodeagent.io/")]) == 2
        scene.plane.admin.delete(f"{_GATEWAYS}/gw")
        eventually(lambda: scene.rows("Logical_Router_Policy", "match") == [], "no policy is left", 60.0)
        assert scene.rows("BFD", "dst_ip") == []
        assert [name for (name,) in scene.rows("Logical_Switch_Port", "name")] == ["x1.red"]
        eventually(lambda: scene.plane.admin.list(_GATEWAYS) == [], "the object is gone", 60.0)
        assert "forbidden" not in process.log.lower()


def test_a_node_that_drains_gets_no_new_traffic_and_what_is_refused_says_why(scene: Scene) -> None:
    scene.apply()
    with scene.running():
        eventually(lambda: bool(scene.session("10.20.0.11")), "it is programmed", 60.0)
        scene.ups()
        first, second = (scene.session(f"10.20.0.{number}")["node"] for number in (11, 12))
        eventually(lambda: scene.condition("Ready")[0] == "True", "it is ready", 60.0)
        scene.annotate(first, egress_drain="drain")
        eventually(lambda: scene.session("10.20.0.11").get("withdrawn") is True, "it is withdrawn", 60.0)
        assert not [row for row in scene.rows("Logical_Router_Policy", "nexthops") if "10.20.0.11" in str(row)]
        assert len(scene.rows("BFD", "dst_ip")) == 4  # sessions stay
        scene.annotate(second, egress_drain="drain")
        eventually(lambda: "last that works" in scene.condition("Degraded")[1], "the last one stays", 60.0)
        assert scene.session("10.20.0.12")["withdrawn"] is False
        scene.annotate(first, egress_drain=None)
        eventually(lambda: scene.session("10.20.0.12").get("withdrawn") is True, "then it is its turn", 60.0)
        assert scene.session("10.20.0.11")["withdrawn"] is False


def test_objects_that_ask_for_what_cannot_be_say_so_and_rows_of_others_are_not_touched(scene: Scene) -> None:
    nbctl(scene.northbound, "create", "BFD", "logical_port=bfd@vpc1", "dst_ip=10.20.0.11")
    scene.apply()
    scene.apply("bad", vpc="nowhere", internalIPs=["10.20.0.21"], externalIPs=["198.51.100.21"], replicas=1)
    scene.apply("good", internalIPs=["10.20.0.31"], externalIPs=["198.51.100.31"], replicas=1)
    with scene.running():
        eventually(lambda: scene.condition("Validated")[0] == "False", "the rows of another are told", 60.0)
        assert "BFD bfd@vpc1 10.20.0.11" in scene.condition("Validated")[1]
        eventually(lambda: "$.spec.vpc" in scene.condition("Validated", "bad")[1], "the field is named", 60.0)
        eventually(lambda: scene.condition("Programmed", "good")[0] == "True", "others are programmed", 60.0)
        assert scene.policies().count("reroute") == 2


def test_addresses_that_are_not_given_are_allocated_by_ip_objects(scene: Scene) -> None:
    scene.apply(internalIPs=None, externalIPs=None)
    with scene.running() as process:
        eventually(lambda: len(scene.plane.admin.list(_IPS)) == 4, "there are IP objects", 60.0)
        eventually(lambda: "waits for the addresses" in scene.condition("Degraded")[1], "it waits", 60.0)
        for number, each in enumerate(sorted(scene.plane.admin.list(_IPS), key=lambda ip: str(ip["metadata"]["name"]))):
            network = ("10.20.0", "fd00:20:") if each["spec"]["subnet"] == "inside" else ("198.51.100", "2001:db8:")
            spec = {"v4IpAddress": f"{network[0]}.{50 + number}", "v6IpAddress": f"{network[1]}:{50 + number}"}
            scene.plane.admin.patch(f"{_IPS}/{each['metadata']['name']}", {"spec": spec})
        eventually(lambda: len(scene.status().get("internalIPs") or ()) == 2, "it has addresses", 60.0)
        scene.plane.admin.delete(f"{_GATEWAYS}/gw")
        eventually(lambda: scene.plane.admin.list(_IPS) == [], "they are given back", 60.0)
        assert "forbidden" not in process.log.lower()


def test_a_coordinator_that_comes_back_changes_nothing(scene: Scene) -> None:
    scene.apply()
    with scene.running():
        eventually(lambda: bool(scene.session("10.20.0.11")), "it is programmed", 60.0)
        scene.ups()
        eventually(lambda: scene.status()["phase"] == "Completed", "it is complete", 60.0)
    before = scene.gateway(), scene.rows("Logical_Router_Policy", "_uuid", "match", "nexthops")
    scene.apply("later", internalIPs=["10.20.0.31"], externalIPs=["198.51.100.31"], replicas=1)
    with scene.running():
        eventually(lambda: scene.condition("Programmed", "later")[0] == "True", "it works again", 60.0)
    after = scene.gateway(), scene.rows("Logical_Router_Policy", "_uuid", "match", "nexthops")
    assert after[0] == before[0]
    assert all(row in after[1] for row in before[1])


def test_a_node_finds_its_part_by_its_label_and_keeps_it_without_an_api_server(scene: Scene) -> None:
    """With the identity of the agent: what it may see of gateways is enough."""
    scene.apply()
    with scene.running():
        eventually(lambda: bool(scene.session("10.20.0.11")), "it is programmed", 60.0)
        node = scene.session("10.20.0.11")["node"]
        token = scene.plane.service_account_token("nodeagent", "agent")
        connection = connect(str(scene.plane.kubeconfig_with_token("agent", token)), "tests")
        with _store(scene.folder) as store:
            assigned = Assigned(connection, {"EgressGateway"}, node, store)
            woken = threading.Event()
            assigned.heed(woken.set)
            assert assigned.parts() == Parts()
            assigned.start()
            eventually(lambda: bool(assigned.parts().parts), "the part is seen", 60.0)
            (part,) = assigned.parts().parts
            assert "10.20.0.11" in {leg.host for leg in part.inside}
            assert not assigned.words()["10.20.0.11"].withdrawn
            scene.ups()
            scene.annotate(node, egress_drain="drain")
            eventually(lambda: assigned.words()["10.20.0.11"].withdrawn, "the withdrawal is seen", 60.0)
            assert words(connection, {"EgressGateway"}, node)["10.20.0.11"] == Word(True, "Drained", "up")
            assigned.close()
            assert woken.is_set()
        with _store(scene.folder) as store:  # a start while nobody answers
            nobody = Assigned(connection, {"EgressGateway"}, node, store)
            assert nobody.parts() == Parts((part,))


@contextmanager
def _store(folder: Path) -> Iterator[Store]:
    tree = Tree("/")
    store = Store(tree, str(folder / "state"))
    store.prepare()
    yield store
    store.close()
    tree.close()


def _without_node(part: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in part.items() if name != "node"}
