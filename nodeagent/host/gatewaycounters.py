"""What goes through the network namespace of a gateway, by the kernel's own counters (proc_pid_net(5), nft(8))."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import Final

from nodeagent.errors import Broken
from nodeagent.host import masquerade, namespaces, nftables

_CONNECTIONS: Final = "/proc/sys/net/netfilter/nf_conntrack_count"
_LIMIT: Final = "/proc/sys/net/netfilter/nf_conntrack_max"


@dataclass(frozen=True)
class Counters:
    """Packets forwarded since the namespace is there, connections that are tracked now, and how many may be."""

    forwarded: int = 0
    connections: int = 0
    most: int = 0


@dataclass(frozen=True)
class Passing:
    """Packets of one version of IP since the gateway was built: those that came from inside to go on, and that left."""

    came: int
    went: int


def passing(namespace: str) -> dict[int, Passing]:
    """What comes to a gateway of ours and leaves it, by version of IP; {} where it is gone or not whole."""
    try:
        listing = namespaces.within(namespace, lambda: nftables.run(masquerade.listed()))
    except (OSError, Broken):
        return {}
    return {version: Passing(*counted) for version, counted in masquerade.counted(listing).items()}


def counters(namespace: str) -> Counters:
    """Those of `namespace`; zeros where it is gone."""
    try:
        return namespaces.within(namespace, lambda: Counters(_forwarded(), _number(_CONNECTIONS), _number(_LIMIT)))
    except OSError:
        return Counters()


def _forwarded() -> int:
    return _of_ipv4() + _of_ipv6()


def _of_ipv4() -> int:
    """The files have a line of names and one of numbers for each protocol."""
    with open("/proc/thread-self/net/snmp", encoding="ascii") as file:
        names, numbers = (line.split() for line in file if line.startswith("Ip:"))
    return int(dict(zip(names, numbers, strict=True))["ForwDatagrams"])


def _of_ipv6() -> int:
    with contextlib.suppress(FileNotFoundError), open("/proc/thread-self/net/snmp6", encoding="ascii") as file:
        return int(dict(line.split() for line in file)["Ip6OutForwDatagrams"])
    return 0


def _number(path: str) -> int:
    try:
        with open(path, encoding="ascii") as file:
            return int(file.read())
    except FileNotFoundError:  # nothing is tracked
        return 0
