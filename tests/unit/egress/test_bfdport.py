"""The port of a Vpc that speaks BFD: made where nobody else makes it, on chassis that stay, and gone when unwanted."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodeagent.egress.bfdport import hosts
from nodeagent.egress.site import Node, Vpc
from nodeagent.observed.northbound import BFD, HA_CHASSIS, HA_GROUP, ROUTER, ROUTER_PORT, VENDOR, Row
from tests.unit.egress.site import document, ours
from tests.unit.egress.test_programming import KEY, Cluster

_SELECTED = {"matchLabels": {"egress": "true"}}


def vpc(**port: Any) -> Vpc:
    """As its administrator has declared it, and nobody has answered."""
    wanted = {"enabled": True, "ip": "10.255.0.1,fd00:255::1", **port}
    return Vpc.of({"metadata": {"name": "vpc1"}, "spec": {"bfdPort": wanted}, "status": {"router": "vpc1"}})


def node(name: str, *, ready: bool = True, chassis: bool = True, **labels: str) -> Node:
    annotations = {"ovn.kubernetes.io/chassis": f"chassis-{name}"} if chassis else {}
    status = {"conditions": [{"type": "Ready", "status": str(ready)}]}
    return Node.of({"metadata": {"name": name, "labels": labels, "annotations": annotations}, "status": status})


def nodes(*found: Node) -> dict[str, Node]:
    return {each.name: each for each in found}


def cluster(*, mode: str = "takeover", declared: Vpc | None = None) -> Cluster:
    """A gateway of Kube-OVN's kind, nodes that are chassis, and no port for BFD."""
    given = {"externalSubnet": "beyond", "externalIPs": ours()["spec"]["externalIPs"]}
    theirs = document(internalIPs=ours()["spec"]["internalIPs"], **given) | {"status": {}}
    found = Cluster(theirs if mode == "takeover" else ours(), mode=mode)
    declared = declared or vpc()
    found.site = replace(
        found.site, vpcs={"vpc1": declared}, nodes=nodes(*(node(name) for name in ("n1", "n2", "n3", "n4")))
    )
    for row in list(found.seen.table(ROUTER_PORT).values()):
        found.seen.drop(ROUTER_PORT, row.uuid)
    return found


def port(found: Cluster) -> Row | None:
    return found.seen.named(ROUTER_PORT, "bfd@vpc1")


def chassis(found: Cluster) -> dict[str, int]:
    """Priorities of the port's chassis."""
    group = found.seen.named(HA_GROUP, "bfd@vpc1")
    assert group is not None
    rows = [found.seen.table(HA_CHASSIS)[uuid] for uuid in group.columns["ha_chassis"]]
    return {row.columns["chassis_name"]: row.columns["priority"] for row in rows}


def test_the_port_is_made_as_kube_ovn_makes_it_and_a_second_round_changes_nothing() -> None:
    found = cluster()
    found.settle()
    made, group = port(found), found.seen.named(HA_GROUP, "bfd@vpc1")
    assert made is not None
    assert group is not None
    assert made.columns["networks"] == {"10.255.0.1", "fd00:255::1"}
    assert made.columns["options"] == {"bfd-only": "true"}
    assert made.columns["ha_chassis_group"] == group.uuid
    assert made.uuid in found.seen.table(ROUTER)["vpc1"].columns["ports"]
    assert sorted(chassis(found).values()) == [98, 99, 100]
    assert {row.columns["logical_port"] for row in found.seen.table(BFD).values()} == {"bfd@vpc1"}
    assert found.condition("Validated")[0] == "True"


def test_it_goes_with_the_last_gateway_that_wants_it() -> None:
    found = cluster()
    found.settle()
    found.delete()
    found.settle()
    assert port(found) is None
    assert not found.seen.table(HA_GROUP)


@pytest.mark.parametrize("spoil", [{"spec": {}}, {"spec": {"vpc": "vpc1", "replicas": "two"}}])
def test_a_gateway_that_cannot_be_read_keeps_it(spoil: dict[str, Any]) -> None:
    found = cluster()
    found.settle()
    found.documents[KEY] |= spoil
    found.settle()
    assert port(found) is not None


def test_it_is_not_ours_to_make_where_kube_ovns_kind_is_not() -> None:
    found = cluster(mode="program")
    found.settle()
    assert port(found) is None
    assert "there is no Logical_Router_Port bfd@vpc1" in found.condition("Validated")[1]


def test_one_that_somebody_else_has_made_is_left_alone() -> None:
    found = cluster()
    theirs = Row(ROUTER_PORT, "theirs", {"name": "bfd@vpc1", "external_ids": {VENDOR: "kube-ovn"}})
    found.seen.put(theirs)
    found.settle()
    assert port(found) == theirs
    assert not found.seen.table(HA_GROUP)


def test_one_that_kube_ovn_comes_to_care_for_is_let_go_and_not_removed() -> None:
    found = cluster()
    found.settle()
    before = port(found)
    found.site = replace(found.site, vpcs={"vpc1": replace(vpc(), bfd_made=True)})
    found.settle()
    found.delete()
    found.settle()
    assert port(found) == before


def test_what_somebody_did_to_it_by_hand_is_put_right() -> None:
    found = cluster()
    found.settle()
    before = port(found)
    assert before is not None
    found.seen.put(Row(ROUTER_PORT, before.uuid, {**before.columns, "networks": frozenset({"10.9.9.9"})}))
    found.settle()
    assert port(found) == before


@pytest.mark.parametrize(
    ("declared", "said"),
    [
        (vpc(nodeSelector=_SELECTED), "no Ready node that spec.bfdPort.nodeSelector of Vpc vpc1 selects"),
        (vpc(nodeSelector={"matchExpressions": [{"key": "a", "operator": "Near"}]}), "unknown operator 'Near'"),
    ],
)
def test_a_port_that_no_chassis_can_take_is_told_at_the_gateway(declared: Vpc, said: str) -> None:
    found = cluster(declared=declared)
    found.settle()
    assert said in found.condition("Validated")[1]
    assert "$.spec.bfd.enabled" in found.condition("Validated")[1]
    assert port(found) is None


def test_one_that_stands_stays_while_no_chassis_can_take_it() -> None:
    found = cluster()
    found.settle()
    before = port(found)
    found.site = replace(found.site, nodes=nodes(*(node(name, chassis=False) for name in ("n1", "n2"))))
    found.settle()
    assert port(found) == before


def test_a_node_that_is_gone_leaves_its_place_to_another() -> None:
    found = cluster()
    found.settle()
    first = max(chassis(found), key=lambda name: chassis(found)[name])
    staying = {name: each for name, each in found.site.nodes.items() if each.chassis != first}
    second = max((name for name in chassis(found) if name != first), key=lambda name: chassis(found)[name])
    found.site = replace(found.site, nodes=staying)
    found.settle()
    assert len(chassis(found)) == 3
    assert chassis(found)[second] == 100
    assert first not in chassis(found)


def test_a_selector_takes_all_that_it_selects() -> None:
    chosen = nodes(*(node(f"n{number}", egress="true") for number in range(5)), node("other"))
    assert len(hosts(vpc(nodeSelector=_SELECTED), chosen)) == 5
    assert len(hosts(vpc(), chosen)) == 3


@given(st.lists(st.booleans(), min_size=1, max_size=6), st.data())
def test_chassis_that_may_stay_keep_their_order_and_all_are_ready_where_there_are_enough(
    ready: list[bool], data: st.DataObject
) -> None:
    found = nodes(*(node(f"n{number}", ready=state) for number, state in enumerate(ready)))
    names = sorted(each.chassis for each in found.values())
    before = tuple(data.draw(st.lists(st.sampled_from(names), unique=True, max_size=3)))
    chosen = hosts(vpc(), found, before)
    alive = {each.chassis for each in found.values() if each.ready}
    staying = [each for each in before if each in chosen and each in alive]
    assert [each for each in chosen if each in staying] == staying
    assert len(alive & set(chosen)) == min(3, len(alive))
    assert set(chosen) - alive <= set(before)
    assert hosts(vpc(), found, chosen) == chosen
