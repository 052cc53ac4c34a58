"""What stands in the kernel for an egress gateway, fact by fact.

Invariant: what should be and what is are sets of the same facts, so that their difference is all there is to do. A fact
names its network namespace; `slot` is what can hold one value only, which a new value replaces.
Addresses have their prefix length, versions are 4 or 6, tables are numbers of rtnetlink(7).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

MAIN: Final = 254  # RT_TABLE_MAIN


@dataclass(frozen=True)
class Namespace:
    """A network namespace that has a name."""

    namespace: str

    @property
    def title(self) -> str:
        return "network namespace"


@dataclass(frozen=True)
class Pair:
    """A virtual cable: `link` inside the namespace, `peer` outside it."""

    namespace: str
    link: str
    peer: str
    mac: str

    @property
    def title(self) -> str:
        return f"link {self.link} ({self.mac}), its other end {self.peer} on the node"


@dataclass(frozen=True)
class Macvlan:
    """A link of its own on the node's device `parent`."""

    namespace: str
    link: str
    parent: str

    @property
    def title(self) -> str:
        return f"link {self.link}, macvlan on {self.parent}"


@dataclass(frozen=True)
class Port:
    """The end `peer` of a cable, plugged into the integration bridge under the name that OVN binds."""

    namespace: str
    peer: str
    iface_id: str

    @property
    def title(self) -> str:
        return f"port {self.peer} on the integration bridge as {self.iface_id}"


@dataclass(frozen=True)
class Sysctl:
    """A value of sysctl(8), as text; `link` where it is lost with one."""

    namespace: str
    name: str
    value: str
    link: str = ""

    @property
    def title(self) -> str:
        return f"{self.name} = {self.value}"


@dataclass(frozen=True)
class Running:
    """A link that is up, with frames of at most `mtu` bytes."""

    namespace: str
    link: str
    mtu: int

    @property
    def title(self) -> str:
        return f"link {self.link} up, MTU {self.mtu}"


@dataclass(frozen=True)
class Address:
    namespace: str
    link: str
    address: str

    @property
    def title(self) -> str:
        return f"address {self.address} on {self.link}"


@dataclass(frozen=True)
class Route:
    namespace: str
    table: int
    destination: str
    via: str
    link: str

    @property
    def title(self) -> str:
        table = "main" if self.table == MAIN else str(self.table)
        return f"route to {self.destination} via {self.via} on {self.link} in table {table}"


@dataclass(frozen=True)
class Rule:
    """Which table routes what comes in by the link `iif`, and from `source` where that is given."""

    namespace: str
    version: int
    priority: int
    iif: str
    table: int
    source: str = ""

    @property
    def title(self) -> str:
        origin = f" from {self.source}" if self.source else ""
        table = "main" if self.table == MAIN else str(self.table)
        return f"IPv{self.version} rule {self.priority}: iif {self.iif}{origin} lookup {table}"


@dataclass(frozen=True)
class Nat:
    """What comes in by `inside` leaves by `outside` with the gateway's address, but for the sources in `kept`."""

    namespace: str
    inside: str
    outside: str
    kept: frozenset[str] = frozenset()

    @property
    def title(self) -> str:
        but = f" but for {', '.join(sorted(self.kept))}" if self.kept else ""
        return f"masquerade from {self.inside} to {self.outside}{but}"


Fact = Namespace | Pair | Macvlan | Port | Sysctl | Running | Address | Route | Rule | Nat


def slot(fact: Fact) -> tuple[object, ...] | None:
    """What can hold one such fact only; None where several stand side by side."""
    match fact:
        case Sysctl(namespace, name) | Running(namespace, name):
            return type(fact), namespace, name
        case Route(namespace, table, destination):
            return Route, namespace, table, destination
        case Nat(namespace):
            return Nat, namespace
        case _:
            return None


def stands_on(fact: Fact) -> tuple[str, str] | None:
    """Namespace and link with which the kernel takes the fact away; None where it needs no link."""
    match fact:
        case Sysctl(namespace, link=link) | Running(namespace, link) | Address(namespace, link):
            return (namespace, link) if link else None
        case Route(namespace, link=link):
            return namespace, link
        case _:
            return None
