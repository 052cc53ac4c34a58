"""The kernel state of an egress gateway on its node: what should be, and the way there from what is. Pure.

Invariant: the difference of equal states is empty, so an agent that starts again touches nothing that forwards; after a
difference is carried out there is none left. Source: the state that Kube-OVN gives a gateway, by the same rules.

Traffic that comes from inside follows the main table out; what comes back from outside, with the gateway's address
undone, follows `BACK` to the router inside; the gateway's own packets leave by the side that their address is on.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_network
from typing import Final

from nodeagent.changes.kernel import KernelChange, Make, Remove
from nodeagent.egress.node.part import GatewayPart
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

INSIDE: Final = "eth0"
OUTSIDE: Final = "net1"
BACK: Final = 1000  # table of what goes to the pods
DEFAULT: Final = {4: "0.0.0.0/0", 6: "::/0"}
_PEER: Final = "eg-"  # and twelve digits: the fifteen bytes that a link's name may have
_VALUES: Final = (Sysctl, Running)  # they have some value always


def dataplane(part: GatewayPart) -> frozenset[Fact]:
    """All facts that make the gateway."""
    return frozenset((*_links(part), *_sysctls(part), *_addresses(part), *_routes(part), *_rules(part), _nat(part)))


def difference(wanted: frozenset[Fact], seen: frozenset[Fact]) -> tuple[KernelChange, ...]:
    """The changes, in order, from what is `seen` to what is `wanted`."""
    gone = seen - wanted
    ended = {fact.namespace for fact in gone if isinstance(fact, Namespace)}
    cut = {(fact.namespace, fact.link) for fact in gone if isinstance(fact, Pair | Macvlan)}
    left = {fact for fact in seen if stands_on(fact) not in cut}
    made = wanted - left
    filled = {slot(fact) for fact in made} - {None}
    removed = {fact for fact in gone & left if slot(fact) not in filled and not isinstance(fact, _VALUES)}
    outlived = {fact for fact in removed if fact.namespace not in ended or isinstance(fact, Namespace | Port)}
    changes: list[KernelChange] = [*map(Make, made), *map(Remove, outlived)]
    return tuple(sorted(changes, key=lambda change: change.order))


def _links(part: GatewayPart) -> Iterator[Fact]:
    peer = _PEER + part.identity
    yield Namespace(part.namespace)
    yield Pair(part.namespace, INSIDE, peer, part.mac.lower())
    yield Macvlan(part.namespace, OUTSIDE, part.underlay)
    yield from (Running(part.namespace, link, part.mtu) for link in (INSIDE, OUTSIDE))
    yield Port(part.namespace, peer, part.port)


def _sysctls(part: GatewayPart) -> Iterator[Sysctl]:
    yield Sysctl(part.namespace, "net.ipv4.ip_forward", "1")
    yield Sysctl(part.namespace, "net.ipv4.conf.all.rp_filter", "0")
    # or an address would take those of its subnet that came after it along when it goes
    yield Sysctl(part.namespace, "net.ipv4.conf.all.promote_secondaries", "1")
    for link in (INSIDE, OUTSIDE):
        yield Sysctl(part.namespace, f"net.ipv4.conf.{link}.rp_filter", "0", link)
    if 6 in part.versions:
        yield Sysctl(part.namespace, "net.ipv6.conf.all.forwarding", "1")
        for link in (INSIDE, OUTSIDE):  # routes are told, not heard
            yield Sysctl(part.namespace, f"net.ipv6.conf.{link}.accept_ra", "0", link)


def _addresses(part: GatewayPart) -> Iterator[Address]:
    for link, legs in ((INSIDE, part.inside), (OUTSIDE, part.outside)):
        yield from (Address(part.namespace, link, str(leg.interface)) for leg in legs)


def _routes(part: GatewayPart) -> Iterator[Route]:
    for link, table, legs in ((INSIDE, BACK, part.inside), (OUTSIDE, MAIN, part.outside)):
        for leg in legs:
            yield Route(part.namespace, table, DEFAULT[leg.version], leg.router, link)


def _rules(part: GatewayPart) -> Iterator[Rule]:
    for version in part.versions:
        yield Rule(part.namespace, version, 1001, INSIDE, MAIN)
        yield Rule(part.namespace, version, 1002, OUTSIDE, BACK)
    for priority, table, legs in ((1003, BACK, part.inside), (1004, MAIN, part.outside)):
        for leg in legs:
            whole = f"{leg.host}/{leg.interface.max_prefixlen}"
            yield Rule(part.namespace, leg.version, priority, "lo", table, whole)


def _nat(part: GatewayPart) -> Nat:
    return Nat(part.namespace, INSIDE, OUTSIDE, frozenset(str(ip_network(each)) for each in part.kept))
