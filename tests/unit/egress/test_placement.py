"""Which nodes run a gateway, and that nothing moves without need."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodeagent.egress.demand import Instance
from nodeagent.egress.gateway import Gateway, gateway
from nodeagent.egress.placement import placement, problems
from nodeagent.egress.site import Node
from tests.unit.egress.site import node, ours

NAMES = [f"n{number}" for number in range(1, 7)]


def placed(asked: Gateway, nodes: list[Node]) -> tuple[Instance, ...]:
    return placement(asked, {each.name: each for each in nodes})


def kept(asked: Gateway, instances: tuple[Instance, ...]) -> Gateway:
    """The gateway with a status that says where it runs."""
    status = {
        "internalIPs": [",".join(each.internal) for each in instances],
        "externalIPs": [",".join(each.external) for each in instances],
        "workload": {"nodes": [each.node for each in instances]},
    }
    return replace(asked, status=status)


def test_every_instance_has_a_node_of_its_own_and_the_addresses_of_its_number() -> None:
    found = placed(gateway(ours()), [node(name) for name in NAMES])
    assert len({each.node for each in found}) == 2
    assert [each.internal for each in found] == [("10.20.0.11", "fd00:20::11"), ("10.20.0.12", "fd00:20::12")]
    assert found[1].external == ("198.51.100.12", "2001:db8::12")


def test_where_nodes_are_too_few_some_instances_have_none() -> None:
    assert [each.node for each in placed(gateway(ours()), [node("n1")])] == ["n1"]
    assert placed(gateway(ours()), []) == ()


@given(st.sets(st.sampled_from(NAMES), min_size=2), st.sets(st.sampled_from(NAMES)))
def test_nodes_that_come_or_go_move_only_the_instances_of_those_that_went(first: set[str], more: set[str]) -> None:
    asked = gateway(ours())
    before = placed(asked, [node(name) for name in sorted(first)])
    gone = {before[0].node}
    after = placed(kept(asked, before), [node(name) for name in sorted((first | more) - gone)])
    assert before[1] in after
    again = placed(kept(asked, after), [node(name) for name in sorted((first | more) - gone)])
    assert set(again) == set(after)


def test_an_instance_leaves_a_node_that_is_not_ready_only_for_another() -> None:
    asked = gateway(ours())
    before = placed(asked, [node("n1"), node("n2")])
    asked = kept(asked, before)
    assert placed(asked, [node("n1", ready=False), node("n2")]) == before
    after = placed(asked, [node("n1", ready=False), node("n2"), node("n3")])
    assert {each.node for each in after} == {"n2", "n3"}


@pytest.mark.parametrize(
    ("taint", "tolerations", "fits"),
    [
        ({"key": "a", "effect": "NoSchedule"}, [], False),
        ({"key": "a", "effect": "PreferNoSchedule"}, [], True),
        ({"key": "a", "effect": "NoSchedule"}, [{"operator": "Exists"}], True),
        ({"key": "a", "value": "x", "effect": "NoSchedule"}, [{"key": "a", "value": "x"}], True),
        ({"key": "a", "value": "x", "effect": "NoSchedule"}, [{"key": "a", "value": "y"}], False),
        ({"key": "a", "effect": "NoExecute"}, [{"key": "a", "operator": "Exists", "effect": "NoSchedule"}], False),
    ],
)
def test_taints_keep_new_instances_off(taint: dict[str, Any], tolerations: list[Any], *, fits: bool) -> None:
    asked = gateway(ours(tolerations=tolerations))
    assert bool(placed(asked, [node("n1", taints=[taint])])) == fits


def test_a_taint_that_only_bars_newcomers_leaves_who_is_there() -> None:
    asked = gateway(ours(replicas=1))
    before = placed(asked, [node("n1")])
    taint = {"key": "a", "effect": "NoSchedule"}
    assert placed(kept(asked, before), [node("n1", taints=[taint])]) == before
    assert placed(kept(asked, before), [node("n1", taints=[taint | {"effect": "NoExecute"}])]) == ()


@pytest.mark.parametrize(
    ("term", "chosen"),
    [
        ({"matchLabels": {"zone": "a"}}, {"n1"}),
        ({"matchExpressions": [{"key": "zone", "operator": "NotIn", "values": ["a"]}]}, {"n2", "n3"}),
        ({"matchExpressions": [{"key": "cores", "operator": "Gt", "values": ["4"]}]}, {"n2"}),
        ({"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n3"]}]}, {"n3"}),
        ({}, set()),
    ],
)
def test_terms_select_nodes(term: dict[str, Any], chosen: set[str]) -> None:
    nodes = [replace(node("n1"), labels={"zone": "a", "cores": "4"}), replace(node("n2"), labels={"cores": "8"})]
    asked = gateway(ours(nodeSelector=[term]))
    wide = replace(asked, replicas=2)
    found = {each.node for each in placed(wide, [*nodes, node("n3")])}
    assert found == chosen


def test_selectors_that_mean_nothing_and_pools_are_told_by_field() -> None:
    terms = [
        {"matchExpressions": [{"key": "a", "operator": "Near"}]},
        {"matchExpressions": [{"key": "a", "operator": "Gt", "values": ["many"]}]},
        {"matchFields": [{"key": "spec.x", "operator": "Exists"}]},
    ]
    asked = gateway(ours(nodeSelector=terms, internalIPs=None, internalIPPool="pool"))
    assert {each.path for each in problems(asked)} == {
        "$.spec.internalIPPool",
        "$.spec.nodeSelector[0].matchExpressions[0]",
        "$.spec.nodeSelector[1].matchExpressions[0]",
        "$.spec.nodeSelector[2].matchFields[0]",
    }
