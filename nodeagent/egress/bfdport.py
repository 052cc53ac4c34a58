"""The router port that speaks BFD for a Vpc, and the chassis that it may be on. Pure.

Kube-OVN makes it for each Vpc that asks for one. We do where gateways of Kube-OVN's kind are ours too, and no
controller says in the Vpc's status that it has made it.

Invariants: a port that somebody else has made is an input; one that Kube-OVN comes to care for is let go, not removed.
A chassis stays where it is while its node may keep it: BFD starts anew wherever the port moves to.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from nodeagent.changes.ovn import Insert, New, Transaction
from nodeagent.egress.attachment import mac
from nodeagent.egress.difference import difference
from nodeagent.egress.gateway import THEIRS
from nodeagent.egress.inventory import Inventory
from nodeagent.egress.placement import spread
from nodeagent.egress.rows import NODEAGENT
from nodeagent.egress.site import CHASSIS, Node, Vpc
from nodeagent.observed.northbound import (
    HA_CHASSIS,
    HA_GROUP,
    ROUTER,
    ROUTER_PORT,
    VENDOR,
    VPC,
    Northbound,
    Row,
)
from nodeagent.observed.selectors import fits

_MOST: Final = 3  # chassis, where no selector says which
_FIRST: Final = 100  # priority; each further chassis has one less


def plans(found: Inventory, seen: Northbound) -> Iterator[Transaction]:
    """The edits that make each port of ours what it should be; one that no chassis can take is left as it is."""
    nodes = found.site.nodes
    for name in sorted(_asking(found)):
        vpc = found.site.vpcs[name]
        if seen.named(ROUTER, vpc.router) and ours(vpc, found, seen) and not lacking(vpc, nodes):
            yield difference(name, NODEAGENT, rows(vpc, nodes, seen), seen)


def staying(found: Inventory) -> frozenset[str]:
    """Vpcs whose port is not to be removed: gateways want it, or somebody else cares for it by now.

    A gateway that cannot be read keeps what it has, and its Vpc may be any.
    """
    unread = any(each.gateway is None for each in found.staying)
    return _asking(found) | {name for name, vpc in found.site.vpcs.items() if vpc.bfd_made or unread}


def ours(vpc: Vpc, found: Inventory, seen: Northbound) -> bool:
    """Whether the port of a Vpc is ours to make."""
    standing = seen.named(ROUTER_PORT, vpc.bfd_port)
    free = standing is None or (standing.said(VENDOR), standing.said(VPC)) == (NODEAGENT, vpc.name)
    return THEIRS in found.programmed and bool(vpc.bfd_port) and not vpc.bfd_made and free


def _asking(found: Inventory) -> frozenset[str]:
    """The Vpcs of gateways that we program, and that want BFD."""
    gateways = (each.gateway for each in found.staying)
    return frozenset(each.vpc for each in gateways if each and each.bfd and each.vpc in found.site.vpcs)


def rows(vpc: Vpc, nodes: Mapping[str, Node], seen: Northbound) -> tuple[Insert, ...]:
    """The port, its group, and the chassis of that."""
    chassis = hosts(vpc, nodes, _standing(vpc, seen))
    known, name = {VENDOR: NODEAGENT, VPC: vpc.name}, vpc.bfd_port
    group, members = f"group of {name}", {each: f"chassis {each}" for each in chassis}
    port = {
        "name": name,
        "mac": mac(name),
        "networks": frozenset(vpc.bfd_ips),
        "options": {"bfd-only": "true"},
        "ha_chassis_group": New(group),
        "external_ids": known,
    }
    return (
        *(
            Insert(HA_CHASSIS, members[each], {"chassis_name": each, "priority": _FIRST - place, "external_ids": known})
            for place, each in enumerate(chassis)
        ),
        Insert(
            HA_GROUP, group, {"name": name, "ha_chassis": frozenset(map(New, members.values())), "external_ids": known}
        ),
        Insert(ROUTER_PORT, name, port, seen.named(ROUTER, vpc.router)),
    )


def lacking(vpc: Vpc, nodes: Mapping[str, Node]) -> str:
    """Why no chassis can take the port; "" where one can."""
    try:
        found = hosts(vpc, nodes)
    except ValueError as error:
        return f"spec.bfdPort.nodeSelector of Vpc {vpc.name} has an {error}"
    which = f"that spec.bfdPort.nodeSelector of Vpc {vpc.name} selects" if vpc.bfd_nodes is not None else "at all"
    return "" if found else f"no Ready node {which} is known as a chassis of OVN (annotation {CHASSIS})"


def hosts(vpc: Vpc, nodes: Mapping[str, Node], before: tuple[str, ...] = ()) -> tuple[str, ...]:
    """The chassis, most wanted first: those of `before` that may stay, then others in an order of the Vpc's own.

    One that is not Ready leaves only for another: where there is none, nothing is won. Raises ValueError for a selector
    that asks what nobody knows.
    """
    selected = {each.chassis: each for each in nodes.values() if each.chassis and _selected(vpc, each)}
    staying = [each for each in before if each in selected]
    order = [*staying, *(each for each in spread(vpc.name, selected) if each not in staying)]
    ready = [each for each in order if selected[each].ready]
    chosen = [*ready, *(each for each in staying if each not in ready)]
    return tuple(chosen if vpc.bfd_nodes is not None else chosen[:_MOST])


def _selected(vpc: Vpc, node: Node) -> bool:
    return vpc.bfd_nodes is None or fits(vpc.bfd_nodes, node.labels)


def _standing(vpc: Vpc, seen: Northbound) -> tuple[str, ...]:
    """The chassis that the port may be on by now, most wanted first."""
    found = sorted(_members(vpc, seen), key=lambda row: (-row.columns["priority"], row.uuid))
    return tuple(str(row.columns["chassis_name"]) for row in found)


def _members(vpc: Vpc, seen: Northbound) -> Iterator[Row]:
    group = seen.named(HA_GROUP, vpc.bfd_port)
    for uuid in group.columns["ha_chassis"] if group else ():
        if row := seen.row(HA_CHASSIS, uuid):
            yield row
