"""A gateway's kernel state: what it is, and that every way to it arrives."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodeagent.changes.kernel import KernelChange, Make, Remove
from nodeagent.egress.node.dataplane import dataplane, difference
from nodeagent.egress.node.part import GatewayPart, Leg
from nodeagent.errors import Rejected
from nodeagent.observed.kernel import (
    MAIN,
    Address,
    Fact,
    Macvlan,
    Namespace,
    Nat,
    Pair,
    Port,
    Route,
    Rule,
    Running,
    Sysctl,
    slot,
    stands_on,
)
from tests.unit.egress.parts import V4, part


def carried(state: frozenset[Fact], changes: Iterable[KernelChange]) -> frozenset[Fact]:
    """What the kernel makes of `changes`: it refuses what lacks its ground, and takes away what stands on what goes."""
    for change in changes:
        fact = change.fact
        state = _made(state, fact) if isinstance(change, Make) else _removed(state, fact)
    return state


def _made(state: frozenset[Fact], fact: Fact) -> frozenset[Fact]:
    links = {(each.namespace, each.link) for each in state if isinstance(each, Pair | Macvlan)}
    if isinstance(fact, Pair | Macvlan):
        assert (fact.namespace, fact.link) not in links, f"{fact.title} is there"
    if not isinstance(fact, Namespace | Port):
        assert Namespace(fact.namespace) in state, f"{fact.title} has no namespace"
    assert stands_on(fact) in {None, *links}, f"{fact.title} has no link"
    if isinstance(fact, Route):
        assert Running in {type(each) for each in state if stands_on(each) == stands_on(fact)}, "the network is down"
    return frozenset(each for each in state if slot(fact) is None or slot(each) != slot(fact)) | {fact}


def _removed(state: frozenset[Fact], fact: Fact) -> frozenset[Fact]:
    assert fact in state, f"{fact.title} is not there"
    left = state - {fact}
    if isinstance(fact, Namespace):
        return frozenset(each for each in left if isinstance(each, Port) or each.namespace != fact.namespace)
    if isinstance(fact, Pair | Macvlan):
        return frozenset(each for each in left if stands_on(each) != (fact.namespace, fact.link))
    return left


def gateways() -> st.SearchStrategy[frozenset[Fact]]:
    """States of no gateway, or of one or two that differ in anything that may change."""
    one = st.builds(
        part,
        port=st.sampled_from(["a", "b"]),
        mac=st.sampled_from(["0a:00:00:00:00:01", "0a:00:00:00:00:02"]),
        mtu=st.sampled_from([1400, 1500]),
        underlay=st.sampled_from(["ext0", "ext1"]),
        outside=st.sampled_from([V4["outside"], (Leg("192.0.2.12/24", "192.0.2.2"),)]),
        inside=st.just(V4["inside"]),
        kept=st.sampled_from([frozenset(), frozenset({"10.10.0.0/24"})]),
    )
    several = st.lists(one, max_size=2, unique_by=lambda each: each.port)
    return several.map(lambda parts: frozenset[Fact]().union(*map(dataplane, parts)))


def settled(state: frozenset[Fact]) -> frozenset[Fact]:
    """Without the values that a kernel has in any case."""
    return frozenset(fact for fact in state if not isinstance(fact, Sysctl | Running))


@given(seen=gateways(), wanted=gateways(), damage=st.data())
def test_every_way_arrives_and_stays(seen: frozenset[Fact], wanted: frozenset[Fact], damage: st.DataObject) -> None:
    changes = difference(wanted, seen)
    after = carried(seen, changes[: damage.draw(st.integers(0, len(changes)))])
    after = carried(after, difference(wanted, after))
    assert wanted <= after
    assert settled(after) == settled(wanted)
    assert difference(wanted, after) == ()


def test_nothing_is_touched_where_all_is_well() -> None:
    assert difference(dataplane(part()), dataplane(part())) == ()


def test_what_a_reboot_leaves_is_completed() -> None:
    wanted = dataplane(part())
    left = frozenset(fact for fact in wanted if isinstance(fact, Port))  # the switch's database is on disk
    made = {change.fact for change in difference(wanted, left)}
    assert made == wanted - left


def test_a_gateway_goes_with_its_namespace_and_its_port() -> None:
    state = dataplane(part())
    changes = difference(frozenset(), state)
    assert [type(change.fact) for change in changes] == [Port, Namespace]
    assert carried(state, changes) == frozenset()


def test_a_new_address_comes_before_the_old_one_goes() -> None:
    moved = part(outside=(Leg("192.0.2.12/24", "192.0.2.1"),), inside=V4["inside"])
    changes = difference(dataplane(moved), dataplane(part(**V4)))
    ours = [(type(change), change.fact.address) for change in changes if isinstance(change.fact, Address)]
    assert ours == [(Make, "192.0.2.12/24"), (Remove, "192.0.2.11/24")]
    assert not any(isinstance(change.fact, Route | Pair | Macvlan | Namespace | Nat) for change in changes)


def test_the_state_is_that_of_kube_ovn() -> None:
    told = part(kept=frozenset({"10.10.0.0/24"}))
    state, name = dataplane(told), told.namespace
    assert {fact for fact in state if isinstance(fact, Rule) and fact.version == 4} == {
        Rule(name, 4, 1001, "eth0", MAIN),
        Rule(name, 4, 1002, "net1", 1000),
        Rule(name, 4, 1003, "lo", 1000, "10.20.0.11/32"),
        Rule(name, 4, 1004, "lo", MAIN, "192.0.2.11/32"),
    }
    assert {fact for fact in state if isinstance(fact, Route)} == {
        Route(name, MAIN, "0.0.0.0/0", "192.0.2.1", "net1"),
        Route(name, 1000, "0.0.0.0/0", "10.20.0.1", "eth0"),
        Route(name, MAIN, "::/0", "2001:db8::1", "net1"),
        Route(name, 1000, "::/0", "fd00:20::1", "eth0"),
    }
    assert Rule(name, 6, 1003, "lo", 1000, "fd00:20::b/128") in state
    assert Nat(name, "eth0", "net1", frozenset({"10.10.0.0/24"})) in state
    assert {Sysctl(name, "net.ipv4.ip_forward", "1"), Sysctl(name, "net.ipv6.conf.all.forwarding", "1")} <= state
    assert all(Sysctl(name, f"net.ipv4.conf.{link}.rp_filter", "0", link) in state for link in ("eth0", "net1"))


def test_a_gateway_of_ipv4_alone_leaves_ipv6_be() -> None:
    state = dataplane(part(**V4))
    assert not [fact.title for fact in state if "ipv6" in fact.title or "IPv6" in fact.title or "::" in fact.title]


def test_names_fit_the_kernel_and_differ() -> None:
    names = {
        fact.peer for port in ("a", "b", "x" * 200) for fact in dataplane(part(port=port)) if isinstance(fact, Port)
    }
    assert len(names) == 3
    assert all(len(name) <= 15 for name in names)


def test_a_plan_reads_well() -> None:
    lines = [change.describe() for change in difference(dataplane(part(port="gw")), frozenset())]
    name = part(port="gw").namespace
    assert lines[0] == f"{name}: make network namespace"
    assert f"{name}: make IPv4 rule 1003: iif lo from 10.20.0.11/32 lookup 1000" in lines
    assert f"{name}: make route to 0.0.0.0/0 via 192.0.2.1 on net1 in table main" in lines
    assert lines[-1].endswith("on the integration bridge as gw")


@pytest.mark.parametrize(
    ("told", "path"),
    [
        ({"inside": (Leg("10.20.0.11", "10.20.0.1"),)}, "$.inside[0].address"),
        ({"inside": (Leg("10.20.0.11/24", "10.21.0.1"),)}, "$.inside[0].gateway"),
        ({"inside": (Leg("10.20.0.11/24", "fd00::1"),)}, "$.inside[0].gateway"),
        ({"inside": (Leg("10.20.0.11/24", "10.20.0.11"),)}, "$.inside[0].gateway"),
        ({"outside": V4["outside"]}, "$.outside"),
        ({"outside": V4["outside"] * 2}, "$.outside"),
        ({"kept": frozenset({"10.10.0.1/24"})}, "$.kept"),
        ({"peers": frozenset({"router"})}, "$.peers"),
        ({"mac": "01:00:5e:00:00:01"}, "$.mac"),
        ({"underlay": "../eth0"}, "$.underlay"),
        ({"mtu": 576}, "$.mtu"),
    ],
)
def test_a_bad_part_is_refused_by_its_field(told: dict[str, object], path: str) -> None:
    with pytest.raises(Rejected) as refused:
        part(**told)
    assert path in {problem.path for problem in refused.value.problems}


def test_all_that_is_wrong_is_said_at_once() -> None:
    with pytest.raises(Rejected) as refused:
        part(mac="", mtu=0, underlay="", kept=frozenset({"x"}))
    assert len(refused.value.problems) == 4


def test_texts_of_one_meaning_make_one_state() -> None:
    told: GatewayPart = part(mac="0a:00:00:00:20:0B", inside=(V4["inside"][0], Leg("FD00:20:0::b/64", "fd00:20:0::1")))
    assert dataplane(told) == dataplane(part())
