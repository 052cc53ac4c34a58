"""What one gateway asks of its router: sources, nexthops and the port that watches them. Pure.

Invariant: a `Demand` names nothing that was not found; what is missing or does not fit is told with the field that
asked for it, all at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from nodeagent.egress.gateway import Gateway
from nodeagent.egress.site import Node, Pod, Site, Subnet, Vpc, family, of_family
from nodeagent.errors import Problem, Rejected
from nodeagent.observed.selectors import fits

FAMILIES: Final = (4, 6)


@dataclass(frozen=True)
class Instance:
    """One gateway at work: its node, and its addresses inside and outside, of one family or both."""

    node: str
    internal: tuple[str, ...] = ()
    external: tuple[str, ...] = ()


@dataclass(frozen=True)
class Demand:
    """What a gateway asks of `router`.

    `switch` is where instances are attached, `ports` are names of logical switch ports, `sources` networks by family,
    `groups` port groups by node.
    """

    gateway: Gateway
    router: str
    bfd_port: str = ""
    bfd_families: frozenset[int] = frozenset()
    ports: frozenset[str] = frozenset()
    sources: Mapping[int, frozenset[str]] = field(default_factory=dict)
    instances: tuple[Instance, ...] = ()
    groups: Mapping[str, str] = field(default_factory=dict)
    switch: str = ""

    def nexthops(self, version: int) -> Mapping[str, str]:
        """The address inside of each node's gateway; nodes without one of this family are left out."""
        found = {each.node: of_family(each.internal, version) for each in self.instances}
        return {node: addresses[0] for node, addresses in found.items() if addresses}

    def told(self, nodes: Mapping[str, Node]) -> dict[str, str]:
        """The state of each instance's own end of BFD, as its node publishes it, by address inside; "" for unknown."""
        silent: Mapping[str, str] = {}
        return {
            address: (nodes[each.node].sessions if each.node in nodes else silent).get(address, "")
            for each in self.instances
            for address in each.internal
        }

    def watched(self, version: int) -> bool:
        """Whether BFD decides about nexthops of this family."""
        return self.gateway.bfd is not None and version in self.bfd_families


def demand(gateway: Gateway, site: Site, instances: tuple[Instance, ...]) -> Demand:
    """What `gateway` asks for at `site` with these instances. Raises Rejected with every problem."""
    problems = tuple(Problem(gateway.title, *each) for each in _problems(gateway, site))
    if problems:
        raise Rejected(problems)
    vpc = site.vpcs[gateway.vpc]
    return Demand(
        gateway=gateway,
        router=vpc.router,
        switch=inside(gateway, vpc),
        bfd_port=vpc.bfd_port if gateway.bfd else "",
        bfd_families=frozenset(map(family, vpc.bfd_ips)) if gateway.bfd else frozenset(),
        ports=frozenset(pod.port for pod in site.pods if _selected(gateway, pod, vpc, site.namespaces)),
        sources={version: frozenset(of_family(_sources(gateway, site), version)) for version in FAMILIES},
        instances=instances,
        groups={each.node: site.nodes[each.node].group for each in instances if each.node in site.nodes},
    )


def inside(gateway: Gateway, vpc: Vpc) -> str:
    """The subnet, and logical switch, that its instances have their inner addresses in; "" where there is none."""
    return gateway.internal_subnet or vpc.default_subnet


def reported(gateway: Gateway) -> tuple[Instance, ...]:
    """The instances that the status tells of, as the controller that runs them has written it."""
    status = gateway.status
    nodes = (status.get("workload") or {}).get("nodes") or ()
    inner, outer = status.get("internalIPs") or (), status.get("externalIPs") or ()
    return tuple(
        Instance(node, split(inner, index), split(outer, index))
        for index, node in enumerate(nodes)
        if index < len(inner)
    )


def split(entries: Sequence[str], index: int) -> tuple[str, ...]:
    """The addresses, of one family or both, of the entry at `index`; none where there is no such entry."""
    entry = entries[index] if index < len(entries) else ""
    return tuple(part.strip() for part in entry.split(",") if part.strip())


def _selected(gateway: Gateway, pod: Pod, vpc: Vpc, namespaces: Mapping[str, Mapping[str, str]]) -> bool:
    return (
        pod.live
        and pod.vpc in (vpc.name, vpc.router)
        and any(
            (each.namespaces is None or fits(each.namespaces, namespaces.get(pod.namespace, {})))
            and (each.pods is None or fits(each.pods, pod.labels))
            for each in gateway.selectors
        )
    )


def _sources(gateway: Gateway, site: Site) -> Iterator[str]:
    for policy in gateway.policies:
        yield from policy.blocks
        for name in policy.subnets:
            yield from site.subnets[name].cidrs


# -- what does not fit ------------------------------------------------------------------------------------------------

Said = tuple[str, str, str]  # field, what is wrong, what to do


def _problems(gateway: Gateway, site: Site) -> Iterator[Said]:
    vpc = site.vpcs.get(gateway.vpc)
    if vpc is None:
        yield "$.spec.vpc", f"there is no Vpc {gateway.vpc}", "name a Vpc that exists"
    else:
        yield from _of_vpc(gateway, vpc, site)
    for index, policy in enumerate(gateway.policies):
        for place, name in enumerate(policy.subnets):
            path = f"$.spec.policies[{index}].subnets[{place}]"
            yield from _of_source(path, name, gateway, site)
    yield from _of_subnet("external", gateway.external_subnet, gateway.external_ips, site)


def _of_vpc(gateway: Gateway, vpc: Vpc, site: Site) -> Iterator[Said]:
    name = inside(gateway, vpc)
    if not name:
        advice = "name a subnet of the Vpc, or give the Vpc a default"
        yield "$.spec.internalSubnet", f"is missing, and Vpc {vpc.name} has no default subnet", advice
        return
    yield from _of_subnet("internal", name, gateway.internal_ips, site)
    subnet = site.subnets.get(name)
    if subnet and subnet.vpc and subnet.vpc != vpc.name:
        yield "$.spec.internalSubnet", f"Subnet {name} belongs to Vpc {subnet.vpc}", f"name a subnet of {vpc.name}"
    if gateway.bfd:
        yield from _of_bfd(vpc, subnet)


def _of_bfd(vpc: Vpc, subnet: Subnet | None) -> Iterator[Said]:
    if not vpc.bfd_ips:
        advice = f"set spec.bfdPort of Vpc {vpc.name}, or turn BFD off"
        yield "$.spec.bfd.enabled", f"Vpc {vpc.name} has no BFD port", advice
    elif subnet and not subnet.families & frozenset(map(family, vpc.bfd_ips)):
        found, advice = ", ".join(vpc.bfd_ips), f"give the BFD port an address of the family of Subnet {subnet.name}"
        yield "$.spec.bfd.enabled", f"the BFD port of Vpc {vpc.name} has only {found}", advice


def _of_source(path: str, name: str, gateway: Gateway, site: Site) -> Iterator[Said]:
    subnet = site.subnets.get(name)
    if subnet is None:
        yield path, f"there is no Subnet {name}", "name a Subnet that exists"
    elif subnet.vpc and gateway.vpc in site.vpcs and subnet.vpc != gateway.vpc:
        yield path, f"Subnet {name} belongs to Vpc {subnet.vpc}", f"name a Subnet of Vpc {gateway.vpc}"


def _of_subnet(side: str, name: str, addresses: tuple[str, ...], site: Site) -> Iterator[Said]:
    subnet = site.subnets.get(name)
    if subnet is None:
        yield f"$.spec.{side}Subnet", f"there is no Subnet {name}", "name a Subnet that exists"
        return
    for index, entry in enumerate(addresses):
        for address in entry.split(","):
            yield from _of_address(f"$.spec.{side}IPs[{index}]", address, subnet)


def _of_address(path: str, address: str, subnet: Subnet) -> Iterator[Said]:
    where = f"Subnet {subnet.name} ({', '.join(subnet.cidrs)})"
    if family(address) not in subnet.families:
        yield path, f"{address} is IPv{family(address)}, which {where} has not", "give an address of the other family"
    elif not subnet.holds(address):
        yield path, f"{address} lies outside {where}", "give an address inside"
    elif address in subnet.gateways:
        yield path, f"{address} is the gateway of {where}", "give another address"
