"""Addresses of a gateway that its object does not give: from IP objects, by which Kube-OVN allocates. Pure.

Invariant: an instance's addresses belong to its number, not to its node, so they stay what they are wherever it moves,
and until the gateway is gone; an instance exists once both of its sides have addresses.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from nodeagent.egress.demand import inside
from nodeagent.egress.gateway import Gateway
from nodeagent.egress.site import Ip, Site

_OVN: Final = ("", "ovn")  # providers of subnets that OVN itself serves


@dataclass(frozen=True)
class Claim:
    """An IP object to be: what Kube-OVN knows a pod's address by, for an instance that has no pod."""

    name: str
    namespace: str
    pod: str
    subnet: str


def claims(gateway: Gateway, site: Site) -> tuple[Claim, ...]:
    """One for each address that is not given, inside first; () where a subnet is not there, which `demand` tells."""
    return tuple(
        claim
        for subnet, given in _sides(gateway, site)
        if not given and subnet in site.subnets
        for claim in _of_side(gateway, site, subnet)
    )


def addressed(gateway: Gateway, site: Site) -> Gateway:
    """The gateway with the addresses that its IP objects have by now, for as many instances as are complete."""
    (internal, inner), (external, outer) = _sides(gateway, site)
    inner = inner or tuple(_allocated(gateway, site, internal))
    outer = outer or tuple(_allocated(gateway, site, external))
    complete = min(len(inner), len(outer))
    return replace(gateway, internal_ips=inner[:complete], external_ips=outer[:complete])


def waiting(gateway: Gateway, site: Site) -> tuple[str, ...]:
    """Names of the IP objects that have no address yet."""
    return tuple(each.name for each in claims(gateway, site) if not _addresses(each, site.ips))


def _sides(gateway: Gateway, site: Site) -> tuple[tuple[str, tuple[str, ...]], tuple[str, tuple[str, ...]]]:
    """Subnet and given addresses of both sides."""
    vpc = site.vpcs.get(gateway.vpc)
    return (
        (inside(gateway, vpc) if vpc else gateway.internal_subnet, gateway.internal_ips),
        (gateway.external_subnet, gateway.external_ips),
    )


def _of_side(gateway: Gateway, site: Site, subnet: str) -> tuple[Claim, ...]:
    provider = site.subnets[subnet].provider
    suffix = "" if provider in _OVN else f".{provider}"
    pods = (f"egress-{gateway.name}-{number}" for number in range(gateway.replicas))
    return tuple(Claim(f"{pod}.{gateway.namespace}{suffix}", gateway.namespace, pod, subnet) for pod in pods)


def _allocated(gateway: Gateway, site: Site, subnet: str) -> list[str]:
    """Entries as `spec.internalIPs` has them, up to the first that is missing."""
    found = []
    for claim in _of_side(gateway, site, subnet) if subnet in site.subnets else ():
        entry = _addresses(claim, site.ips)
        if not entry:
            break
        found.append(entry)
    return found


def _addresses(claim: Claim, ips: Mapping[str, Ip]) -> str:
    ip = ips.get(claim.name)
    return ",".join(ip.addresses) if ip and ip.subnet == claim.subnet else ""
