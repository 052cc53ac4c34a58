"""The part of each instance that its node is to build, as an object's status has it. Pure.

Invariant: what is assigned is what `part_of` reads; the same gateway gives the same assignments.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from ipaddress import ip_network
from typing import Any, Final

from nodeagent.egress.attachment import mac, port
from nodeagent.egress.demand import FAMILIES, Demand, Instance
from nodeagent.egress.gateway import Gateway
from nodeagent.egress.site import Site, Subnet, family, of_family
from nodeagent.errors import Problem

_MTU: Final = 1400  # of OVN's tunnels on links of 1,500 bytes

Assignment = Mapping[str, Any]


def assignments(asked: Demand, site: Site) -> tuple[Assignment, ...]:
    """One an instance, by node; `problems` must have found nothing."""
    return tuple(_assignment(asked, each, site) for each in sorted(asked.instances, key=lambda each: each.node))


def problems(asked: Demand, site: Site) -> Iterator[Problem]:
    """What keeps nodes from building their parts."""
    gateway = asked.gateway
    external = site.subnets[gateway.external_subnet]
    if not site.devices.get(external.provider):
        found = f"Subnet {external.name} has the provider {external.provider!r}, which is no macvlan on a device"
        advice = "name a Subnet whose NetworkAttachmentDefinition is a macvlan with a master"
        yield Problem(gateway.title, "$.spec.externalSubnet", found, advice)
    for side, subnet in (("internal", site.subnets[asked.switch]), ("external", external)):
        for version in sorted(_versions(asked.instances, side) - frozenset(map(family, subnet.gateways))):
            found = f"Subnet {subnet.name} has no gateway of IPv{version}"
            yield Problem(gateway.title, f"$.spec.{side}Subnet", found, "give the Subnet one")
    yield from _uneven(gateway, asked.instances)


def _uneven(gateway: Gateway, instances: tuple[Instance, ...]) -> Iterator[Problem]:
    """What comes in by one version of IP has to leave by it."""
    for each in instances:
        if _families(each.internal) != _families(each.external):
            inner, outer = ",".join(each.internal), ",".join(each.external)
            found, advice = f"{outer} has other versions of IP than {inner} inside", "give each version on both sides"
            yield Problem(gateway.title, "$.spec.externalIPs", found, advice)


def _versions(instances: tuple[Instance, ...], side: str) -> frozenset[int]:
    return frozenset(version for each in instances for version in _families(getattr(each, side)))


def _families(addresses: tuple[str, ...]) -> frozenset[int]:
    return frozenset(map(family, addresses))


def _assignment(asked: Demand, instance: Instance, site: Site) -> Assignment:
    gateway = asked.gateway
    internal, external = site.subnets[asked.switch], site.subnets[gateway.external_subnet]
    name = port(gateway.key, instance.node)
    found: dict[str, Any] = {
        "node": instance.node,
        "port": name,
        "mac": mac(name),
        "mtu": internal.mtu or _MTU,
        "underlay": site.devices[external.provider],
        "inside": _legs(instance.internal, internal),
        "outside": _legs(instance.external, external),
        "keepSource": sorted(_kept(gateway, site, _families(instance.internal))),
    }
    if gateway.bfd:
        routers = site.vpcs[gateway.vpc].bfd_ips
        found["routers"] = sorted(each for each in routers if family(each) in _families(instance.internal))
        timing = gateway.bfd
        found["bfd"] = {"minRX": timing.min_rx, "minTX": timing.min_tx, "multiplier": timing.multiplier}
    return found


def _legs(addresses: tuple[str, ...], subnet: Subnet) -> list[dict[str, str]]:
    return [
        {"address": f"{address}/{_length(address, subnet)}", "gateway": of_family(subnet.gateways, version)[0]}
        for version in FAMILIES
        for address in of_family(addresses, version)
    ]


def _length(address: str, subnet: Subnet) -> int:
    (cidr,) = of_family(subnet.cidrs, family(address))
    return ip_network(cidr, strict=False).prefixlen


def _kept(gateway: Gateway, site: Site, versions: frozenset[int]) -> frozenset[str]:
    """Networks whose policies leave them their own address; a single address as a network of one."""
    named = (
        network
        for policy in gateway.policies
        if not policy.snat
        for network in (*policy.blocks, *(cidr for name in policy.subnets for cidr in site.subnets[name].cidrs))
    )
    return frozenset(str(ip_network(each, strict=False)) for each in named if family(each) in versions)
