"""What routers say in the BFD control packets that reach network namespaces: the truth about their ends of sessions.

Invariant: it only listens, and works beside any speaker, whoever's it is; it ends by its deadline and needs
CAP_NET_RAW. Source: RFC 5880, section 4.1 (the packet), RFC 5881, section 4 (port 3784).
"""

from __future__ import annotations

import contextlib
import select
import socket
import struct
import time
from collections.abc import Collection, Iterator
from contextlib import ExitStack
from typing import Final

from nodeagent.host import namespaces

_PORT: Final = 3784
_STATES: Final = ("admin_down", "down", "init", "up")
_VERSION: Final = 1
_UDP: Final = struct.Struct("!HHHH")
_LONGEST: Final = 512  # bytes of a packet that are read; a control packet has 24, and some more where it is signed
_FAMILIES: Final = (socket.AF_INET, socket.AF_INET6)


def heard(names: Collection[str], seconds: float) -> dict[tuple[str, str], str]:
    """By namespace and router: the state in its last packet within `seconds`; nothing where the namespace is gone."""
    found: dict[tuple[str, str], str] = {}
    with ExitStack() as stack:
        ears = [(name, stack.enter_context(each)) for name in names for each in _ears(name)]
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            ready, _, _ = select.select([each for _, each in ears], [], [], left)
            for name, ear in ears:
                if ear in ready:
                    found |= {(name, router): state for router, state in _packet(ear)}
    return found


def state(packet: bytes) -> str | None:
    """The sender's state, of a UDP packet with its header; None if it is no control packet."""
    if len(packet) < _UDP.size + 2 or _UDP.unpack_from(packet)[1] != _PORT:
        return None
    first, second = packet[_UDP.size : _UDP.size + 2]
    return _STATES[second >> 6] if first >> 5 == _VERSION else None


def _ears(name: str) -> list[socket.socket]:
    """Sockets stay in the namespace in which they are made."""
    try:
        return namespaces.within(name, lambda: list(_sockets()))
    except FileNotFoundError:
        return []


def _sockets() -> Iterator[socket.socket]:
    for family in _FAMILIES:
        with contextlib.suppress(OSError):  # a kernel without IPv6
            yield socket.socket(
                family, socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK, socket.IPPROTO_UDP
            )


def _packet(ear: socket.socket) -> Iterator[tuple[str, str]]:
    """Its sender and state, if it is a control packet; of IPv4 the header comes first (raw(7), ipv6(7))."""
    try:
        data, sender = ear.recvfrom(_LONGEST)
    except BlockingIOError:
        return
    payload = data[(data[0] & 0xF) * 4 :] if ear.family == socket.AF_INET else data
    if said := state(payload):
        yield sender[0].partition("%")[0], said
