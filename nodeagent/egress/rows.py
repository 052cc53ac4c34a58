"""The northbound rows of one gateway. Pure.

Invariant: every address set that a match names is among the rows or belongs to a group that is, and every session that
a policy names comes before it. Source: Kube-OVN's rows of a VpcEgressGateway; priorities and names are its own, so that
either of us understands what the other wrote.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from nodeagent.changes.ovn import Insert, New
from nodeagent.egress.attachment import mac, port
from nodeagent.egress.demand import FAMILIES, Demand
from nodeagent.observed.northbound import (
    ADDRESS_SET,
    BFD,
    FAMILY,
    GROUP,
    OWNER,
    POLICY,
    PORT,
    ROUTER,
    SWITCH,
    VENDOR,
    Northbound,
)

KUBE_OVN: Final = "kube-ovn"
NODEAGENT: Final = "nodeagent"

LOCAL: Final = 29150
REROUTE: Final = 29100
DROP: Final = 29090


def rows(
    asked: Demand,
    vendor: str,
    seen: Northbound,
    withdrawn: frozenset[str] = frozenset(),
    drop: frozenset[int] = frozenset(FAMILIES),
) -> tuple[Insert, ...]:
    """What should stand there. No policy goes to `withdrawn` nexthops, which keep their session.

    Ports and the router are looked up in what is `seen`: a pod whose port is not there yet has no traffic either.
    `drop` has the families whose traffic is dropped while no gateway is up, where BFD tells.
    """
    return (
        *(_ports(asked, seen) if vendor == NODEAGENT else ()),
        *_sessions(asked, vendor),
        *_sets(asked, vendor, seen),
        *_policies(asked, vendor, seen, withdrawn, drop),
    )


def identity(asked: Demand, vendor: str, version: int) -> dict[str, str]:
    """The external_ids by which a row is known."""
    return {VENDOR: vendor, OWNER: asked.gateway.key, FAMILY: str(version)}


def _ports(asked: Demand, seen: Northbound) -> Iterator[Insert]:
    """Ports of the instances; Kube-OVN makes those of its own with the pods that carry them."""
    switch = seen.named(SWITCH, asked.switch)
    for each in sorted(asked.instances, key=lambda instance: instance.node):
        name = port(asked.gateway.key, each.node)
        columns = {
            "name": name,
            "addresses": frozenset({" ".join((mac(name), *each.internal))}),
            "external_ids": {VENDOR: NODEAGENT, OWNER: asked.gateway.key},
        }
        yield Insert(PORT, name, columns, switch)


def _sessions(asked: Demand, vendor: str) -> Iterator[Insert]:
    bfd = asked.gateway.bfd
    for version in FAMILIES:
        if bfd is None or not asked.watched(version):
            continue
        for address in sorted(set(asked.nexthops(version).values())):
            columns = {
                "logical_port": asked.bfd_port,
                "dst_ip": address,
                "min_rx": bfd.min_tx,  # each end's receiving is the other's sending
                "min_tx": bfd.min_rx,
                "detect_mult": bfd.multiplier,
                "external_ids": identity(asked, vendor, version),
            }
            yield Insert(BFD, _session(address), columns)


def _session(address: str) -> str:
    return f"session {address}"


def _sets(asked: Demand, vendor: str, seen: Northbound) -> Iterator[Insert]:
    group = asked.gateway.group
    for version in FAMILIES:
        known = identity(asked, vendor, version)
        yield _set(f"{group}.ipv{version}", asked.sources.get(version, frozenset()), known)
        if not asked.gateway.selectors:
            yield _set(f"{group}_ip{version}", frozenset(), known)
    if asked.gateway.selectors:
        found = (seen.named(PORT, name) for name in asked.ports)
        ports = frozenset(port.uuid for port in found if port)
        known = identity(asked, vendor, FAMILIES[0])
        yield Insert(GROUP, group, {"name": group, "ports": ports, "external_ids": known})


def _set(name: str, addresses: frozenset[str], known: dict[str, str]) -> Insert:
    return Insert(ADDRESS_SET, name, {"name": name, "addresses": addresses, "external_ids": known})


def _policies(
    asked: Demand, vendor: str, seen: Northbound, withdrawn: frozenset[str], drop: frozenset[int]
) -> Iterator[Insert]:
    router = seen.named(ROUTER, asked.router)
    for version in FAMILIES:
        served = asked.nexthops(version)
        used = {node: address for node, address in served.items() if address not in withdrawn}
        for priority, match, nexthops in _matches(asked, version, used):
            found = _columns(asked, version, nexthops) | {"priority": priority, "match": match}
            known = {"external_ids": identity(asked, vendor, version)}
            yield Insert(POLICY, f"{priority} {match!r}", found | known, router)
        if served and asked.watched(version) and version in drop:
            for match in _sources(asked, version):
                columns = {
                    "priority": DROP,
                    "match": match,
                    "action": "drop",
                    "nexthops": frozenset(),
                    "bfd_sessions": frozenset(),
                }
                known = {"external_ids": identity(asked, vendor, version)}
                yield Insert(POLICY, f"{DROP} {match!r}", columns | known, router)


def _columns(asked: Demand, version: int, nexthops: frozenset[str]) -> dict[str, Any]:
    sessions = frozenset(New(_session(each)) for each in nexthops) if asked.watched(version) else frozenset()
    return {"action": "reroute", "nexthops": nexthops, "bfd_sessions": sessions}


def _matches(asked: Demand, version: int, used: dict[str, str]) -> Iterator[tuple[int, str, frozenset[str]]]:
    """Priority, match and nexthops of each rerouting policy."""
    if asked.gateway.local:
        for node, address in sorted(used.items()):
            if group := asked.groups.get(node):
                here = f"ip{version}.src == ${group}_ip{version}"
                yield from ((LOCAL, f"{here} && {match}", frozenset({address})) for match in _sources(asked, version))
    if used:
        yield from ((REROUTE, match, frozenset(used.values())) for match in _sources(asked, version))


def _sources(asked: Demand, version: int) -> tuple[str, str]:
    group = asked.gateway.group
    return f"ip{version}.src == ${group}.ipv{version}", f"ip{version}.src == ${group}_ip{version}"
