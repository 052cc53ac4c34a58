"""The kernel is what a gateway's facts say, and what is seen of it are just these facts: in namespaces of the test."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest

from nodeagent.changes.kernel import KernelChange, Make, Remove
from nodeagent.egress.node.dataplane import dataplane, difference
from nodeagent.egress.node.part import PREFIX, GatewayPart, Leg
from nodeagent.errors import Transient
from nodeagent.host import masquerade, namespaces, nftables
from nodeagent.host.gatewaykernel import GatewayKernel
from nodeagent.observed.kernel import Address, Fact, Namespace, Nat, Port, Route, Sysctl
from tests.capabilities import require
from tests.fabric.namespace import inside
from tests.fabric.network import Router, network
from tests.unit.egress.parts import DUAL, V4, part


@dataclass
class _Node:
    """A node whose uplink is eth0, and a gateway of its own name on it."""

    router: Router
    kernel: GatewayKernel
    part: GatewayPart

    def observed(self, wanted: frozenset[Fact]) -> frozenset[Fact]:
        """What is seen, of this gateway alone: other tests may have theirs."""
        found = inside(self.router, lambda: self.kernel.observe(wanted))
        return frozenset(each for each in found if each.namespace == self.part.namespace)

    def bring(self, wanted: frozenset[Fact]) -> tuple[KernelChange, ...]:
        """Carry out what is missing; the changes."""
        changes = difference(wanted, self.observed(wanted))

        def act() -> None:
            for change in changes:
                self.kernel.carry_out(change)

        inside(self.router, act)
        return changes

    def run(self, *command: str) -> str:
        return self.router.run("ip", "netns", "exec", self.part.namespace, *command)


def _facts(gateway: GatewayPart) -> frozenset[Fact]:
    """All but the port on the bridge, of which the kernel knows nothing."""
    return frozenset(each for each in dataplane(gateway) if not isinstance(each, Port))


@pytest.fixture
def node() -> Iterator[_Node]:
    require("root", "ip", "nsenter", "libnftables")
    with network(1) as (router,):
        name = f"gw-{os.getpid()}-{threading.get_ident()}"
        found = _Node(router, GatewayKernel(PREFIX), part(port=name, underlay="eth0"))
        yield found
        inside(router, lambda: namespaces.remove(found.part.namespace))


@pytest.mark.parametrize("legs", [V4, DUAL], ids=["IPv4", "dual"])
def test_what_was_made_is_seen_and_needs_no_change(node: _Node, legs: dict[str, tuple[Leg, ...]]) -> None:
    kept = frozenset({"10.16.0.0/16", "10.17.0.9/32"})
    node.part = replace(node.part, kept=kept, inside=legs["inside"], outside=legs["outside"])
    wanted = _facts(node.part)
    assert node.bring(wanted)
    assert difference(wanted, node.observed(wanted)) == ()
    assert node.bring(wanted) == ()


def test_what_others_broke_is_put_right_and_nothing_else_touched(node: _Node) -> None:
    wanted = _facts(node.part)
    node.bring(wanted)
    node.run("ip", "route", "del", "default", "dev", "net1")
    node.run("sysctl", "-qw", "net.ipv4.ip_forward=0")
    node.run("ip", "address", "add", "192.0.2.99/24", "dev", "net1")
    changes = node.bring(wanted)
    assert {(type(change), type(change.fact)) for change in changes} == {
        (Make, Route),
        (Make, Sysctl),
        (Remove, Address),
    }
    assert difference(wanted, node.observed(wanted)) == ()


def test_a_rule_that_somebody_added_to_the_table_is_taken_out(node: _Node) -> None:
    wanted = _facts(node.part)
    node.bring(wanted)
    where = {"family": masquerade.FAMILY, "table": masquerade.TABLE, "chain": "nat"}
    rule = {"add": {"rule": {**where, "expr": [{"accept": None}]}}}

    def meddle() -> None:
        namespaces.within(node.part.namespace, lambda: nftables.run([rule]))

    inside(node.router, meddle)
    (change,) = node.bring(wanted)
    assert isinstance(change.fact, Nat)
    assert node.bring(wanted) == ()


def test_other_sources_are_kept_without_touching_anything_else(node: _Node) -> None:
    node.bring(_facts(node.part))
    node.part = replace(node.part, kept=frozenset({"10.16.0.0/16"}))
    (change,) = node.bring(_facts(node.part))
    assert isinstance(change.fact, Nat)


def test_another_address_takes_the_place_of_the_first(node: _Node) -> None:
    node.bring(_facts(node.part))
    legs = (replace(node.part.outside[0], address="192.0.2.12/24"), *node.part.outside[1:])
    node.part = replace(node.part, outside=legs)
    node.bring(_facts(node.part))
    assert "192.0.2.12/24" in node.run("ip", "-o", "-4", "address", "show", "dev", "net1")
    assert "192.0.2.11/24" not in node.run("ip", "-o", "-4", "address", "show", "dev", "net1")
    assert node.bring(_facts(node.part)) == ()


def test_a_gateway_that_is_not_wanted_goes_and_leaves_nothing(node: _Node) -> None:
    before = node.router.run("ip", "-o", "link")
    node.bring(_facts(node.part))
    node.bring(frozenset())
    assert node.observed(frozenset()) == frozenset()
    assert len(node.router.run("ip", "-o", "link").splitlines()) == len(before.splitlines())
    assert node.bring(frozenset()) == ()


def test_an_uplink_that_is_not_there_is_told_and_tried_again(node: _Node) -> None:
    node.part = replace(node.part, underlay="nosuch0")
    with pytest.raises(Transient, match="there is no link nosuch0"):
        node.bring(_facts(node.part))
    node.part = replace(node.part, underlay="eth0")
    node.bring(_facts(node.part))
    assert node.bring(_facts(node.part)) == ()


def test_half_a_namespace_is_finished(node: _Node) -> None:
    """As after a start that was killed: the file is there, and no namespace behind it."""
    os.makedirs(namespaces.DIRECTORY, exist_ok=True)
    path = f"{namespaces.DIRECTORY}/{node.part.namespace}"
    os.close(os.open(path, os.O_CREAT | os.O_RDONLY))
    try:
        inside(node.router, lambda: namespaces.make(node.part.namespace))
        assert Namespace(node.part.namespace) in node.observed(frozenset())
    finally:
        if os.path.exists(path):
            os.unlink(path)
