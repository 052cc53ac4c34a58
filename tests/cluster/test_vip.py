"""The VIP in a cluster, on a real API server: two holders are flagged, and nodes hand over one at a time."""

from __future__ import annotations

import json
import secrets
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from nodeagent.agent import turn as turn_module
from nodeagent.agent.turn import ABSENCE, Turn
from nodeagent.agent.viphandover import LEASE
from nodeagent.errors import Transient
from nodeagent.kube.connection import Connection, connect
from nodeagent.observed import nodes
from tests.cluster.controlplane import ControlPlane, eventually
from tests.cluster.coordinators import NAMESPACE, CoordinatorProcess

_EVENTS = "/api/v1/namespaces/default/events"


@pytest.fixture
def namespace(control_plane: ControlPlane) -> str:
    control_plane.admin.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
    return NAMESPACE


def node(plane: ControlPlane, name: str, address: str, *, held: bool) -> None:
    instance = {"name": "VI_1", "since": time.time() - 60, "vips": [address], "held": [address] if held else []}
    instance |= {"mac": "02:00:00:00:00:01", "alike": "same"}
    report = json.dumps({"jobs": {"vip": {"instances": [instance]}}})
    metadata = {"name": name, "annotations": {nodes.REPORT: report}}
    plane.admin.apply({"apiVersion": "v1", "kind": "Node", "metadata": metadata})
    ready = {"type": "Ready", "status": "True", "reason": "Tried", "message": "by a test"}
    plane.admin.patch(f"/api/v1/nodes/{name}/status", {"status": {"conditions": [ready]}}, "strategic")


def _reasons(plane: ControlPlane, node: str) -> list[str]:
    events: list[dict[str, Any]] = plane.admin.list(_EVENTS, fieldSelector=f"involvedObject.name={node}")
    return [str(each["reason"]) for each in events]


def test_two_holders_are_flagged_on_both_nodes_and_so_is_the_end_of_it(
    control_plane: ControlPlane, namespace: str, tmp_path: Path
) -> None:
    del namespace
    mark = secrets.token_hex(3)
    first, second, address = f"first-{mark}", f"second-{mark}", f"10.9.{secrets.randbelow(256)}.1"
    for name in (first, second):
        node(control_plane, name, address, held=True)
    with CoordinatorProcess(control_plane, tmp_path, roles=["vip"]):
        for name in (first, second):
            eventually(lambda name=name: "VIPDuplicateHolder" in _reasons(control_plane, name), "it is flagged", 60.0)  # type: ignore[misc]
        node(control_plane, second, address, held=False)
        eventually(lambda: "VIPConflictGone" in _reasons(control_plane, first), "it is over", 60.0)


@pytest.fixture
def connection(control_plane: ControlPlane) -> Connection:
    return connect(str(control_plane.kubeconfig("handover", ["system:masters"])), "test")


def test_nodes_hand_over_one_at_a_time(control_plane: ControlPlane, namespace: str, connection: Connection) -> None:
    one, other = (Turn(connection, namespace, LEASE, name, "is handing its VIP over") for name in ("one", "other"))
    one.take(30.0)
    one.take(1.0)
    with pytest.raises(Transient, match="node one is handing its VIP over"):
        other.take(1.0)
    one.give_back()
    other.take(30.0)
    lease = control_plane.admin.get(f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases/{LEASE}")
    assert lease["spec"]["holderIdentity"] == "other"
    other.give_back()


def test_a_turn_outlasts_a_reboot_and_the_agent_of_the_next_boot_gives_it_back(
    control_plane: ControlPlane, namespace: str, connection: Connection
) -> None:
    def turn(node: str) -> Turn:
        return Turn(connection, namespace, LEASE, node, "is handing its VIP over")

    before = turn("one")
    before.take(30.0)
    assert before._election is not None
    before._election._stopping.set()  # as in a power cut: nothing is given back
    before._election._until = 0.0
    path = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases/{LEASE}"
    assert control_plane.admin.get(path)["spec"]["leaseDurationSeconds"] == ABSENCE
    other = turn("other")
    assert not other.ours()
    other.give_back()  # what is not its own
    with pytest.raises(Transient, match="node one is handing its VIP over"):
        other.take(1.0)
    after = turn("one")
    assert after.ours()
    after.give_back()
    assert not after.ours()
    other.take(30.0)
    assert other.held
    other.give_back()


def test_a_turn_that_could_not_be_renewed_meanwhile_is_given_back_all_the_same(
    control_plane: ControlPlane, namespace: str, connection: Connection
) -> None:
    turn = Turn(connection, namespace, LEASE, "one", "is handing its VIP over")
    turn.take(30.0)
    assert turn._election is not None
    turn._election._until = 0.0  # as after an API server that was away
    turn.give_back()
    path = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases/{LEASE}"
    assert control_plane.admin.get(path)["spec"]["holderIdentity"] == ""


def test_a_node_that_never_comes_back_loses_its_turn(
    namespace: str, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However short each try is: what one has seen counts for the next."""
    monkeypatch.setattr(turn_module, "ABSENCE", 12.0)
    gone = Turn(connection, namespace, LEASE, "gone", "is handing its VIP over")
    gone.take(30.0)
    assert gone._election is not None
    gone._election._stopping.set()
    gone._election._until = 0.0
    other = Turn(connection, namespace, LEASE, "other", "is handing its VIP over")

    def taken() -> bool:
        with suppress(Transient):
            other.take(1.0)
        return other.held

    eventually(taken, "the turn is taken", 60.0)
    other.give_back()


def test_without_an_api_server_nobody_waits_for_one(tmp_path: Path, control_plane: ControlPlane) -> None:
    """Planned work goes on where nobody can say whose turn it is."""
    dead = Path(control_plane.kubeconfig("dead", ["system:masters"])).read_text()
    config = tmp_path / "kubeconfig"
    config.write_text(dead.replace(control_plane.server, "https://127.0.0.1:1"))
    turn = Turn(connect(str(config), "test"), NAMESPACE, LEASE, "alone", "works")
    began = time.monotonic()
    turn.take(2.0)
    assert time.monotonic() - began < 20.0
    turn.give_back()
