"""What goes through the network namespace of a gateway, by the kernel's own counters (proc_pid_net(5))."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import Final

from nodeagent.host import namespaces

_CONNECTIONS: Final = "/proc/sys/net/netfilter/nf_conntrack_count"
_LIMIT: Final = "/proc/sys/net/netfilter/nf_conntrack_max"


@dataclass(frozen=True)
class Counters:
    """Packets forwarded since the namespace is there, connections that are tracked now, and how many may be."""

    forwarded: int = 0
    connections: int = 0
    most: int = 0


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
