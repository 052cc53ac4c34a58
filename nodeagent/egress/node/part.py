"""A node's part of an egress gateway: what the node is told, and all that it needs to build it. Pure.

Invariant: a part that exists is complete and coherent; each leg has the same versions of IP inside and outside, and its
gateway is on its own link.
"""

from __future__ import annotations

import hashlib
import ipaddress
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from nodeagent.errors import Problem, Rejected

PREFIX: Final = "nodeagent-egress-"  # names of network namespaces that are ours
_MAC: Final = re.compile(r"[0-9a-f][02468ace](:[0-9a-f]{2}){5}", re.IGNORECASE)  # of one station, not of a group
_LINK: Final = re.compile(r"(?!\.{1,2}$)[^\s/:]{1,15}")  # what the kernel lets a link be called
_MTU: Final = range(1280, 65536)  # IPv6 needs 1280 (RFC 8200, section 5)


@dataclass(frozen=True)
class Leg:
    """An address with its prefix length, and the router on that link."""

    address: str
    gateway: str

    @property
    def interface(self) -> ipaddress.IPv4Interface | ipaddress.IPv6Interface:
        return ipaddress.ip_interface(self.address)

    @property
    def version(self) -> int:
        return self.interface.version

    @property
    def host(self) -> str:
        return str(self.interface.ip)

    @property
    def router(self) -> str:
        return str(ipaddress.ip_address(self.gateway))


@dataclass(frozen=True)
class Timing:
    """Of a BFD session (RFC 5880): milliseconds between packets, and how many may be missed."""

    min_rx: int
    min_tx: int
    multiplier: int


@dataclass(frozen=True)
class GatewayPart:
    """One instance of the gateway `owner` (namespace/name).

    `port` is the logical switch port, which OVN binds by iface-id, with the address `mac`. `peers` are the routers'
    ends of BFD sessions, and `kept` the sources, as CIDR, that keep their own address.
    """

    owner: str
    port: str
    mac: str
    mtu: int
    underlay: str
    inside: tuple[Leg, ...]
    outside: tuple[Leg, ...]
    kept: frozenset[str] = frozenset()
    peers: frozenset[str] = frozenset()
    bfd: Timing | None = None

    def __post_init__(self) -> None:
        """Rejected, with all that is wrong."""
        if problems := tuple(self._problems()):
            raise Rejected(problems)

    @property
    def identity(self) -> str:
        """Twelve hex digits that tell instances apart: a name of the kernel's has fifteen bytes."""
        return hashlib.sha256(self.port.encode()).hexdigest()[:12]

    @property
    def namespace(self) -> str:
        return PREFIX + self.identity

    @property
    def versions(self) -> tuple[int, ...]:
        return tuple(sorted(leg.version for leg in self.inside))

    def _problems(self) -> Iterator[Problem]:
        for side, legs in (("inside", self.inside), ("outside", self.outside)):
            yield from self._legs(side, legs)
        if sorted(_versions(self.inside)) != sorted(_versions(self.outside)):
            yield self._problem("outside", "has other versions of IP than the inside", "give each version on both")
        yield from self._link()
        yield from self._networks("kept", self.kept)
        for peer in sorted(self.peers):
            if _address(peer) is None:
                yield self._problem("peers", f"{peer!r} is no IP address")

    def _link(self) -> Iterator[Problem]:
        if not _MAC.fullmatch(self.mac):
            yield self._problem("mac", f"{self.mac!r} is no MAC address of one station")
        if not _LINK.fullmatch(self.underlay):
            yield self._problem("underlay", f"{self.underlay!r} is no name of a link")
        if self.mtu not in _MTU:
            yield self._problem("mtu", f"is {self.mtu}", f"give {_MTU[0]} to {_MTU[-1]}")

    def _legs(self, side: str, legs: tuple[Leg, ...]) -> Iterator[Problem]:
        found = _versions(legs)
        if not legs or len(set(found)) < len(found):
            yield self._problem(side, f"has {len(legs)} addresses", "give one of each version of IP")
        for number, leg in enumerate(legs):
            path = f"{side}[{number}]"
            gateway = _address(leg.gateway)
            if _interface(leg.address) is None:
                yield self._problem(f"{path}.address", f"{leg.address!r} is no address with a prefix length")
            elif gateway is None or gateway not in leg.interface.network:
                yield self._problem(f"{path}.gateway", f"{leg.gateway!r} is not in {leg.interface.network}")
            elif gateway == leg.interface.ip:
                yield self._problem(f"{path}.gateway", f"{leg.gateway} is the gateway's own address")

    def _networks(self, path: str, networks: frozenset[str]) -> Iterator[Problem]:
        for network in sorted(networks):
            try:
                ipaddress.ip_network(network)
            except ValueError:
                yield self._problem(path, f"{network!r} is no network", "give its first address and prefix length")

    def _problem(self, path: str, message: str, advice: str = "") -> Problem:
        return Problem(f"gateway {self.owner}", f"$.{path}", message, advice)


def _interface(text: str) -> ipaddress.IPv4Interface | ipaddress.IPv6Interface | None:
    try:
        return ipaddress.ip_interface(text) if "/" in text else None
    except ValueError:
        return None


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def _versions(legs: tuple[Leg, ...]) -> list[int]:
    return [found.version for leg in legs if (found := _interface(leg.address))]
