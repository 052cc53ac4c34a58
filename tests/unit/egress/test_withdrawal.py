"""Which nexthops take no new traffic, and that one that works is left."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodeagent.egress.demand import Demand, demand
from nodeagent.egress.gateway import gateway
from nodeagent.egress.placement import placement
from nodeagent.egress.site import Node
from nodeagent.egress.withdrawal import Heard, Reason, Record, Withdrawal, heard, remembered, withdrawal
from tests.unit.egress.site import node, ours, site

A, B = "10.20.0.11", "10.20.0.12"
UP = {A: "up", B: "up"}


def asked(replicas: int = 2) -> Demand:
    """A gateway of IPv4 with BFD of 1 s (200 ms, five times)."""
    inner = [f"10.20.0.{11 + number}" for number in range(replicas)]
    outer = [f"198.51.100.{11 + number}" for number in range(replicas)]
    found = gateway(ours(internalIPs=inner, externalIPs=outer, replicas=replicas))
    nodes = {f"n{number}": node(f"n{number}") for number in range(1, replicas + 1)}
    return demand(found, site(), placement(found, nodes))


def hosts(wanted: Demand) -> dict[str, str]:
    return {each.internal[0]: each.node for each in wanted.instances}


class Watch:
    """A gateway over time."""

    def __init__(self) -> None:
        self.asked = asked()
        self.nodes: dict[str, Node] = {}
        self.records: Mapping[str, Record] = {}
        self.now = 0.0
        self.standing: frozenset[str] = frozenset()

    def after(self, seconds: float, states: Mapping[str, str] = UP) -> Withdrawal:
        self.now += seconds
        said = heard(self.asked, states, self.nodes, self.standing)
        self.records = remembered(self.asked, said, self.records, self.now)
        found = withdrawal(self.asked, self.nodes, self.records, self.standing)
        self.standing = frozenset(found.taken)
        return found

    def say(self, address: str, **annotations: Any) -> None:
        name = hosts(self.asked)[address]
        self.nodes[name] = node(name, **annotations)


def test_nothing_is_withdrawn_without_a_reason() -> None:
    assert Watch().after(1) == Withdrawal()


def test_two_nodes_that_drain_get_their_turns_one_by_one() -> None:
    watch = Watch()
    watch.say(B, egress_drain="drain")
    assert watch.after(1) == Withdrawal({B: Reason.DRAINED})
    watch.say(A, egress_drain="drain")
    assert watch.after(1) == Withdrawal({B: Reason.DRAINED}, {A: Reason.DRAINED})
    watch.nodes.pop(hosts(watch.asked)[B])
    assert watch.after(1) == Withdrawal({A: Reason.DRAINED})


def test_the_last_that_works_goes_only_by_force() -> None:
    watch = Watch()
    watch.say(A, egress_drain="drain")
    down = {A: "up", B: "down"}
    assert watch.after(1, down) == Withdrawal({}, {A: Reason.DRAINED})
    watch.say(A, egress_drain="force")
    assert watch.after(1, down) == Withdrawal({A: Reason.FORCED})


def test_a_session_that_the_gateway_itself_has_down_is_withdrawn_after_the_detection_time() -> None:
    watch = Watch()
    watch.say(A, egress_sessions=f'{{"{A}": "down"}}')
    assert watch.after(1) == Withdrawal()
    assert watch.after(0.9) == Withdrawal()
    assert watch.after(0.2) == Withdrawal({A: Reason.CONTRADICTED})
    resting = {A: "admin_down", B: "up"}
    assert watch.after(60, resting) == Withdrawal({A: Reason.CONTRADICTED})
    assert watch.after(61, resting) == Withdrawal()  # it is tried once more
    assert watch.after(1) == Withdrawal()
    assert watch.after(1.1) == Withdrawal({A: Reason.CONTRADICTED})


@pytest.mark.parametrize("said", ["", "no JSON", "[]"])
def test_a_node_that_says_nothing_of_use_contradicts_nobody(said: str) -> None:
    watch = Watch()
    watch.say(A, egress_sessions=said)
    watch.after(1)
    assert watch.after(10) == Withdrawal()


def test_a_nexthop_that_flaps_is_withdrawn_until_it_has_been_quiet() -> None:
    watch = Watch()
    for _ in range(3):
        watch.after(1)
        found = watch.after(1, {A: "down", B: "up"})
    found = watch.after(1)
    assert found == Withdrawal()  # a little less than three failures in a minute
    watch.after(1, {A: "down", B: "up"})
    assert watch.after(1) == Withdrawal({A: Reason.FLAPPING})
    assert watch.after(60) == Withdrawal({A: Reason.FLAPPING})
    assert watch.after(120) == Withdrawal()


def test_a_session_that_rests_while_its_nexthop_is_withdrawn_is_no_failure() -> None:
    watch = Watch()
    for _ in range(5):
        watch.after(1)
        watch.say(A, egress_drain="drain")
        watch.after(1)
        watch.after(1, {A: "admin_down", B: "up"})
        watch.nodes.clear()
        watch.after(1, {A: "admin_down", B: "up"})
    assert watch.after(1) == Withdrawal()


def test_nexthops_that_are_gone_are_forgotten() -> None:
    watch = Watch()
    watch.after(1)
    assert set(remembered(watch.asked, {A: Heard("up")}, watch.records, 2.0)) == {A}


@given(
    st.lists(
        st.tuples(
            st.floats(0, 100),
            st.fixed_dictionaries({f"10.20.0.{11 + n}": st.sampled_from(["up", "down"]) for n in range(4)}),
            st.dictionaries(st.integers(1, 4), st.sampled_from(["", "drain"])),
        ),
        max_size=8,
    )
)
def test_whatever_happens_one_that_works_is_left_if_there_is_one(
    course: list[tuple[float, dict[str, str], dict[int, str]]],
) -> None:
    wanted, now = asked(4), 0.0
    records: dict[str, Record] = {}
    standing: frozenset[str] = frozenset()
    for pause, states, drains in course:
        now += pause
        nodes = {f"n{number}": node(f"n{number}", egress_drain=word) for number, word in drains.items()}
        records = remembered(wanted, heard(wanted, states, nodes, standing), records, now)
        found = withdrawal(wanted, nodes, records, standing)
        standing = frozenset(found.taken)
        works = {address for address, state in states.items() if state == "up"}
        assert not works or works - standing
        assert not standing & found.refused.keys()
