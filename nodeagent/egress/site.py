"""What gateways stand on: routers, subnets, pods, namespaces and nodes, as Kube-OVN and the API have them. Pure.

Invariant: each view is made of one object and holds no more of it than a gateway may depend on.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from typing import Any, Final

from nodeagent.observed.nodes import EGRESS_DRAIN, EGRESS_SESSIONS

Object = Mapping[str, Any]

_ROUTER: Final = "ovn.kubernetes.io/logical_router"
_ALLOCATED: Final = "ovn.kubernetes.io/allocated"
_PORT: Final = "ovn.kubernetes.io/port_name"
CHASSIS: Final = "ovn.kubernetes.io/chassis"
GATEWAY: Final = "nodeagent.io/egress-gateway"  # on an IP object: the gateway, as namespace/name, that it is for
_OVER: Final = ("Succeeded", "Failed")


@dataclass(frozen=True)
class Vpc:
    """A router; `bfd_ips` is empty where it has no BFD port.

    `bfd_made` says that somebody has made that port, as the status tells; `bfd_nodes` is the label selector of the
    nodes that may speak BFD there, None where nobody has said.
    """

    name: str
    router: str
    default_subnet: str = ""
    bfd_port: str = ""
    bfd_ips: tuple[str, ...] = ()
    bfd_made: bool = False
    bfd_nodes: Mapping[str, Any] | None = None

    @classmethod
    def of(cls, document: Object) -> Vpc:
        name, spec, status = document["metadata"]["name"], document.get("spec") or {}, document.get("status") or {}
        wanted, port = spec.get("bfdPort") or {}, status.get("bfdPort") or {}
        ip = port.get("ip") or (wanted.get("ip") if wanted.get("enabled") else "")
        return cls(
            name=name,
            router=status.get("router") or name,
            default_subnet=status.get("defaultLogicalSwitch") or spec.get("defaultSubnet") or "",
            bfd_port=(port.get("name") or f"bfd@{name}") if ip else "",
            bfd_ips=_parts(ip),
            bfd_made=bool(port.get("name")),
            bfd_nodes=wanted.get("nodeSelector"),
        )


@dataclass(frozen=True)
class Subnet:
    name: str
    vpc: str = ""
    cidrs: tuple[str, ...] = ()
    gateways: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()
    provider: str = ""
    mtu: int = 0

    @classmethod
    def of(cls, document: Object) -> Subnet:
        spec = document.get("spec") or {}
        return cls(
            name=document["metadata"]["name"],
            vpc=spec.get("vpc") or "",
            cidrs=_parts(spec.get("cidrBlock")),
            gateways=_parts(spec.get("gateway")),
            excluded=tuple(spec.get("excludeIps") or ()),
            provider=spec.get("provider") or "",
            mtu=spec.get("mtu") or 0,
        )

    def holds(self, address: str) -> bool:
        found = ip_address(address)
        return any(found in ip_network(cidr, strict=False) for cidr in self.cidrs)

    @property
    def families(self) -> frozenset[int]:
        return frozenset(map(family, self.cidrs))


@dataclass(frozen=True)
class Pod:
    """A pod that a gateway may select; `port` is its logical switch port."""

    namespace: str
    name: str
    labels: Mapping[str, str]
    vpc: str
    live: bool

    @classmethod
    def of(cls, document: Object) -> Pod:
        metadata, spec, status = document["metadata"], document.get("spec") or {}, document.get("status") or {}
        annotations = metadata.get("annotations") or {}
        over = status.get("phase") in _OVER or bool(metadata.get("deletionTimestamp"))
        there = annotations.get(_ALLOCATED) == "true" and not spec.get("hostNetwork")
        return cls(
            namespace=metadata.get("namespace", ""),
            name=metadata["name"],
            labels=metadata.get("labels") or {},
            vpc=annotations.get(_ROUTER, ""),
            live=there and not over,
        )

    @property
    def port(self) -> str:
        return f"{self.name}.{self.namespace}"


@dataclass(frozen=True)
class Node:
    """A node that a gateway may be placed on; `group` is the port group of the pods that it runs.

    `chassis` is its name in OVN, as Kube-OVN notes it. `drain` is a word where its gateways shall take no new traffic.
    `sessions` has the state of its own end of each BFD session, by the gateway's address inside.
    """

    name: str
    labels: Mapping[str, str] = field(default_factory=dict)
    taints: tuple[Mapping[str, Any], ...] = ()
    ready: bool = True
    group: str = ""
    chassis: str = ""
    drain: str = ""
    sessions: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, document: Object) -> Node:
        metadata, spec, status = document["metadata"], document.get("spec") or {}, document.get("status") or {}
        conditions = {each["type"]: each["status"] for each in status.get("conditions") or ()}
        said = metadata.get("annotations") or {}
        return cls(
            name=metadata["name"],
            labels=metadata.get("labels") or {},
            taints=tuple(spec.get("taints") or ()),
            ready=conditions.get("Ready") == "True",
            group=said.get(_PORT, "").replace("-", "."),
            chassis=said.get(CHASSIS, ""),
            drain=said.get(EGRESS_DRAIN, ""),
            sessions=_sessions(said.get(EGRESS_SESSIONS, "")),
        )


def _sessions(text: str) -> Mapping[str, str]:
    """What a node publishes of its sessions; {} where that cannot be read."""
    try:
        found = json.loads(text or "{}")
    except ValueError:
        return {}
    return {str(key): str(value) for key, value in found.items()} if isinstance(found, dict) else {}


@dataclass(frozen=True)
class Ip:
    """An address that Kube-OVN has allocated, or is to allocate: then there is none yet. `owner` says who asked us."""

    name: str
    subnet: str
    addresses: tuple[str, ...] = ()
    owner: str = ""

    @classmethod
    def of(cls, document: Object) -> Ip:
        metadata, spec = document["metadata"], document.get("spec") or {}
        given = (spec.get("v4IpAddress"), spec.get("v6IpAddress"))
        return cls(
            name=metadata["name"],
            subnet=spec.get("subnet") or "",
            addresses=tuple(each for each in given if each),
            owner=(metadata.get("annotations") or {}).get(GATEWAY, ""),
        )


@dataclass(frozen=True)
class Attachment:
    """How pods, and gateways, come to a network outside: as Multus has it (k8s.cni.cncf.io/v1)."""

    provider: str
    device: str = ""

    @classmethod
    def of(cls, document: Object) -> Attachment:
        """The device of a macvlan; "" where the configuration names none, or is of another sort."""
        metadata = document["metadata"]
        try:
            found = json.loads((document.get("spec") or {}).get("config") or "{}")
            plugins = found.get("plugins") or (found,)
            devices = [str(each["master"]) for each in plugins if each.get("type") == "macvlan" and each.get("master")]
        except (ValueError, AttributeError, TypeError):
            devices = []
        return cls(f"{metadata['name']}.{metadata.get('namespace', 'default')}", devices[0] if devices else "")


@dataclass(frozen=True)
class Site:
    """Everything by name; namespaces by their labels, devices by the provider of a subnet."""

    vpcs: Mapping[str, Vpc] = field(default_factory=dict)
    subnets: Mapping[str, Subnet] = field(default_factory=dict)
    namespaces: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    pods: tuple[Pod, ...] = ()
    nodes: Mapping[str, Node] = field(default_factory=dict)
    devices: Mapping[str, str] = field(default_factory=dict)
    ips: Mapping[str, Ip] = field(default_factory=dict)


def family(address: str) -> int:
    """4 or 6, of an address or a network."""
    return 6 if ":" in address else 4


def of_family(addresses: Iterable[str], version: int) -> tuple[str, ...]:
    return tuple(each for each in addresses if family(each) == version)


def _parts(text: str | None) -> tuple[str, ...]:
    return tuple(part.strip() for part in (text or "").split(",") if part.strip())
