"""What the nodes of a cluster say of one VIP together."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodeagent.agent.viprole import Referee
from nodeagent.observed import nodes
from nodeagent.observed.nodes import NodeView
from nodeagent.telemetry.metrics.tables import Row
from nodeagent.vip.fleet import SETTLED, Reason, claims, conflicts, unsettled

VIP = "10.0.0.100"
NOW = 1000.0 + SETTLED


def node(name: str, *, held: bool, ready: bool = True, since: float = 1000.0, alike: str = "same") -> NodeView:
    said = {
        "name": "VI_1",
        "since": since,
        "vips": [VIP],
        "held": [VIP] if held else [],
        "mac": f"02:00:00:00:00:{name[-1]}",
        "alike": alike,
    }
    report = json.dumps({"jobs": {"vip": {"instances": [said]}}})
    return NodeView(name, annotations={nodes.REPORT: report}, conditions={"Ready": "True" if ready else "Unknown"})


def test_one_holder_is_as_it_should_be() -> None:
    assert conflicts([node("a1", held=True), node("b2", held=False)], NOW) == ()


def test_two_holders_are_named_with_their_hardware_addresses() -> None:
    (found,) = conflicts([node("a1", held=True), node("b2", held=True)], NOW)
    assert (found.reason, found.nodes) == (Reason.DUPLICATE, ("a1", "b2"))
    assert "a1 (02:00:00:00:00:1), b2 (02:00:00:00:00:2)" in found.message


def test_a_fail_over_is_no_conflict_until_it_has_settled() -> None:
    both = [node("a1", held=True, since=0.0), node("b2", held=True, since=1000.0)]
    assert conflicts(both, NOW - 0.1) == ()
    assert unsettled(both, NOW - 0.1)
    assert not unsettled(both, NOW)
    assert len(conflicts(both, NOW)) == 1


def test_a_holder_that_cannot_be_heard_is_told_apart() -> None:
    (found,) = conflicts([node("a1", held=True, ready=False), node("b2", held=True)], NOW)
    assert found.reason is Reason.SILENT
    assert "of which a1 cannot be heard" in found.message


def test_peers_that_are_set_up_differently_are_grouped() -> None:
    said = [node("a1", held=True), node("b2", held=False, alike="other"), node("c3", held=False)]
    (found,) = conflicts(said, NOW)
    assert found.reason is Reason.UNEQUAL
    assert "(a1, c3 | b2)" in found.message


@pytest.mark.parametrize("report", ["", "{", "[]", "null", '{"jobs": []}', '{"jobs": {"vip": {"instances": [{}]}}}'])
def test_a_report_that_is_damaged_says_nothing(report: str) -> None:
    assert claims(NodeView("a1", annotations={nodes.REPORT: report})) == ()


_json = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["held", "vips", "name"]), inner),
    max_leaves=8,
)


@given(st.lists(_json, max_size=3))
def test_no_report_can_break_the_comparison(instances: list[Any]) -> None:
    report = json.dumps({"jobs": {"vip": {"instances": instances}}})
    conflicts([NodeView("a1", annotations={nodes.REPORT: report}), node("b2", held=True)], NOW)


def test_the_referee_tells_each_conflict_once_on_every_node_and_that_it_is_gone() -> None:
    views, told, shown = [node("a1", held=True), node("b2", held=True)], list[tuple[str, str]](), dict[str, list[Row]]()

    def tell(name: str, said: tuple[str, str, str]) -> None:
        told.append((name, said[1]))

    leading = True
    referee = Referee(lambda: views, tell, shown.update, lambda: leading, lambda: NOW)
    for _ in range(2):
        referee.tick()
    assert told == [("a1", "VIPDuplicateHolder"), ("b2", "VIPDuplicateHolder")]
    assert Row((VIP,), 2.0) in shown["nodeagent_vip_holders"]
    views[1] = node("b2", held=False)
    leading = False
    referee.tick()
    assert len(told) == 2, "who does not lead tells nothing"
    leading = True
    referee.tick()
    assert told[2:] == [("a1", "VIPConflictGone"), ("b2", "VIPConflictGone")]
