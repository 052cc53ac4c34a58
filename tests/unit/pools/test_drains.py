"""Drains, step by step."""

from __future__ import annotations

from typing import Any

import pytest

from nodeagent.changes.cluster import Announce, ChangeNode, Evict, Step
from nodeagent.observed import nodes
from nodeagent.observed.nodes import NodeView
from nodeagent.pools.drains import Limits, Record, drains, must_go
from tests.unit.pools.site import node, pod

NOW = 1000.0
LIMITS = Limits(at_once=1, timeout=600.0, single=False)


def asking(name: str, asked: str = "drain-a", done: str = "", record: Record | None = None, **more: Any) -> NodeView:
    said = {nodes.DESIRED_DRAIN: asked, nodes.LAST_APPLIED_DRAIN: done}
    said |= {nodes.CORDONED_FOR: record.encode()} if record else {}
    return node(name, "old", "a", "Working", annotations=said, **more)


def run(*members: NodeView, limits: Limits = LIMITS, **pods: list[dict[str, Any]]) -> list[Step]:
    return list(drains(members, pods, {}, limits, NOW))


def begun(since: float = NOW, *, ours: bool = True, given_up: float = 0.0) -> Record:
    return Record("drain-a", since, ours, given_up)


def test_a_drain_begins_with_a_cordon_that_says_whose_it_is() -> None:
    (step,) = run(asking("n"))
    assert isinstance(step, ChangeNode)
    assert step.unschedulable is True
    assert step.annotations == {nodes.CORDONED_FOR: begun().encode()}
    (theirs,) = run(asking("n", unschedulable=True))
    assert isinstance(theirs, ChangeNode)
    assert theirs.annotations == {nodes.CORDONED_FOR: begun(ours=False).encode()}


def test_pods_are_evicted_until_none_is_left_and_then_the_drain_is_answered() -> None:
    cordoned = asking("n", record=begun(), unschedulable=True)
    leaving = pod("b", deletionTimestamp="2026-01-01T00:00:00Z")
    assert run(cordoned, n=[pod("c"), pod("a"), leaving]) == [Evict("n", pod("a")), Evict("n", pod("c"))]
    assert run(cordoned, n=[leaving]) == []
    assert run(cordoned, n=[]) == [ChangeNode(cordoned, {nodes.LAST_APPLIED_DRAIN: "drain-a"})]


def test_an_answered_drain_is_done() -> None:
    assert run(asking("n", done="drain-a", record=begun(), unschedulable=True)) == []


@pytest.mark.parametrize(("ours", "uncordoned"), [(True, False), (False, None)])
def test_only_our_own_cordon_is_taken_back(ours: bool, uncordoned: bool | None) -> None:
    given = asking("n", "uncordon-a", "drain-a", begun(ours=ours), unschedulable=True)
    answer = {nodes.LAST_APPLIED_DRAIN: "uncordon-a", nodes.CORDONED_FOR: None}
    assert run(given) == [ChangeNode(given, answer, uncordoned)]


def test_no_more_nodes_are_drained_at_a_time_than_may_be_away() -> None:
    away = asking("x", done="drain-a", record=begun(), unschedulable=True)
    assert run(asking("a"), asking("b"))[1:] == []
    assert run(away, asking("a")) == []
    assert len(run(away, asking("a"), limits=Limits(2, 600.0, single=False))) == 1


def test_another_config_for_a_node_that_is_away_takes_no_more_room_and_keeps_whose_cordon_it_is() -> None:
    again = asking("n", "drain-b", "drain-a", begun(), unschedulable=True)
    (step,) = run(again)
    assert isinstance(step, ChangeNode)
    assert step.annotations == {nodes.CORDONED_FOR: Record("drain-b", NOW, ours=True).encode()}


def test_a_drain_that_takes_too_long_is_given_up_told_and_tried_again_later() -> None:
    late = asking("n", record=begun(NOW - 601), unschedulable=True)
    change, event = run(late, n=[pod("a")])
    assert change == ChangeNode(late, {nodes.CORDONED_FOR: begun(NOW - 601, given_up=NOW).encode()}, False)
    assert isinstance(event, Announce)
    assert (event.reason, "default/a" in event.message) == ("DrainGivenUp", True)
    assert run(asking("n", record=begun(given_up=NOW - 599))) == []
    (again,) = run(asking("n", record=begun(given_up=NOW - 600), unschedulable=True))
    assert isinstance(again, ChangeNode)
    assert again.annotations == {nodes.CORDONED_FOR: begun(ours=False).encode()}, "somebody else has cordoned it since"


def test_a_cluster_of_one_node_is_answered_at_once() -> None:
    lone = asking("n")
    assert run(lone, limits=Limits(1, 600.0, single=True)) == [ChangeNode(lone, {nodes.LAST_APPLIED_DRAIN: "drain-a"})]


def test_a_record_that_cannot_be_read_counts_for_nothing() -> None:
    broken = node("n", "old", "a", annotations={nodes.DESIRED_DRAIN: "drain-a", nodes.CORDONED_FOR: "{"})
    assert len(run(broken)) == 1


@pytest.mark.parametrize(
    ("staying", "goes"),
    [
        (pod("a"), True),
        (pod("a", ownerReferences=[{"kind": "ReplicaSet", "controller": True}]), True),
        (pod("a", ownerReferences=[{"kind": "DaemonSet", "controller": True}]), False),
        (pod("a", annotations={"kubernetes.io/config.mirror": "x"}), False),
        (pod("a") | {"status": {"phase": "Succeeded"}}, False),
    ],
)
def test_a_drain_waits_for_what_can_go_elsewhere(staying: dict[str, Any], goes: bool) -> None:
    assert must_go(staying) is goes


@pytest.mark.parametrize("skew", [-3600.0, 599.0])
def test_a_predecessor_with_another_clock_ends_no_drain_early(skew: float) -> None:
    cordoned = asking("n", record=begun(NOW - skew), unschedulable=True)
    assert run(cordoned, n=[pod("a")]) == [Evict("n", pod("a"))]
