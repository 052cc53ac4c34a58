"""Who gets the target next."""

from __future__ import annotations

from typing import Any

import pytest

from nodeagent.observed import nodes
from nodeagent.observed.nodes import NodeView
from nodeagent.pools.pool import Pool
from nodeagent.pools.rollout import Pace, Rollout, rollout
from tests.unit.pools.site import node

PACE = Pace(canaries=0, max_failures=1)


def old(name: str, **more: Any) -> NodeView:
    return node(name, "old", "old", **more)


def new(name: str, **more: Any) -> NodeView:
    return node(name, "new", "new", **more)


def failed(name: str, desired: str = "new") -> NodeView:
    return node(name, "old", desired, "Unreconcilable")


def moving(name: str) -> NodeView:
    return node(name, "old", "new", "Working")


def assigned(*members: NodeView, limit: int | str = 1, pace: Pace = PACE, **more: Any) -> list[str]:
    return [each.name for each in run(*members, limit=limit, pace=pace, **more).assign]


def run(*members: NodeView, limit: int | str = 1, pace: Pace = PACE, **more: Any) -> Rollout:
    return rollout(Pool("worker", limit=limit, **more), members, "new", pace)


def test_no_more_than_may_be_unavailable_are_assigned() -> None:
    three = [old(name) for name in "abc"]
    assert assigned(*three) == ["a"]
    assert assigned(*three, limit=2) == ["a", "b"]
    assert assigned(moving("x"), *three, limit=2) == ["a"]
    assert assigned(moving("x"), *three) == []


@pytest.mark.parametrize("gone", [{"unschedulable": True}, {"conditions": {"Ready": "False"}}, {"conditions": {}}])
def test_what_is_unavailable_for_another_reason_takes_room(gone: dict[str, Any]) -> None:
    assert assigned(new("x", **gone), old("a")) == []
    assert assigned(new("x", **gone), old("a"), limit=2) == ["a"]


def test_a_paused_pool_and_one_without_a_target_assign_nothing() -> None:
    assert assigned(old("a"), paused=True) == []
    assert rollout(Pool("worker"), [old("a")], "", PACE) == Rollout()


def test_zone_by_zone_the_oldest_first() -> None:
    zone = "topology.kubernetes.io/zone"
    members = [
        old("a", labels={zone: "2"}, created="2020"),
        old("b", labels={zone: "1"}, created="2022"),
        old("c", labels={zone: "1"}, created="2021"),
        old("d", labels={zone: "1"}, created="2021"),
    ]
    assert assigned(*members, limit=4) == ["c", "d", "b", "a"]


def test_a_node_that_failed_gets_the_next_target_without_room() -> None:
    assert assigned(failed("a", "bad"), old("b")) == ["a"]


def test_a_node_that_is_new_and_one_whose_agent_never_spoke_get_the_target() -> None:
    assert assigned(node("a")) == ["a"]
    silent = node("b", state="")
    assert assigned(silent, node("c", state=""), old("a")) == ["b", "c", "a"]


def test_drift_neither_stalls_the_pool_nor_counts_as_failure_nor_gets_a_config() -> None:
    drifting = [node(name, "old", "old", "Degraded") for name in "xyz"]
    assert assigned(*drifting, old("a")) == ["a"]
    amid = node("w", "old", "new", "Degraded", annotations={nodes.REPORT: '{"cause":"Drift"}'})
    assert assigned(amid, old("a"), pace=Pace(0, 0)) == ["a"]


def test_the_canaries_go_first_and_alone() -> None:
    three = [old(name) for name in "abc"]
    one = Pace(canaries=1, max_failures=1)
    assert assigned(*three, limit=3, pace=one) == ["a"]
    assert assigned(moving("x"), *three, limit=4, pace=one) == []
    assert assigned(new("x"), *three, limit=3, pace=one) == ["a", "b", "c"]


def test_a_canary_that_fails_stops_the_rollout_and_is_named() -> None:
    found = run(failed("x"), old("a"), limit=2, pace=Pace(canaries=1, max_failures=5))
    assert (found.assign, found.halted) == ((), "CanaryFailed")
    assert "x" in found.message


def test_more_failures_than_allowed_stop_the_rollout() -> None:
    members = [failed("x"), failed("y"), new("z"), old("a")]
    assert run(*members, limit=9, pace=Pace(1, 2)).halted == ""
    found = run(*members, limit=9, pace=Pace(1, 1))
    assert (found.assign, found.halted) == ((), "RolloutHalted")
    assert "x, y" in found.message
