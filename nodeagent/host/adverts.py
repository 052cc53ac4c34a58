"""Listens for VRRP adverts of other routers (RFC 9568, section 5), those to this node and those to everybody.

Invariant: it only listens, and ends by its deadline. What comes from an address of this node is its own. It needs
CAP_NET_RAW; without it nothing is heard.
"""

from __future__ import annotations

import select
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress

from nodeagent.observed.vrrp import Advert

_VRRP = 112  # IP protocol number
_GROUP = "224.0.0.18"
_GROUP6 = "ff02::12"
_ADVERTISEMENT = 1
_LONGEST = 2048  # bytes
_FAMILIES = (socket.AF_INET, socket.AF_INET6)
_OPEN = socket.SOCK_RAW | socket.SOCK_CLOEXEC


def heard(seconds: float, own: frozenset[str]) -> frozenset[Advert]:
    """The adverts over IPv4 and IPv6 that arrive within `seconds` and come from none of the addresses `own`."""
    with ExitStack() as stack:
        links = [stack.enter_context(link) for family in _FAMILIES for link in _listening(family)]
        received = _received(links, time.monotonic() + seconds)
        return frozenset(each for each in received if each.source not in own)


def _listening(family: socket.AddressFamily) -> Iterator[socket.socket]:
    """A socket in the group on every interface; none where we may not, or the kernel does not speak that version."""
    try:
        link = socket.socket(family, _OPEN, _VRRP)
    except OSError:
        return
    for index, _ in socket.if_nameindex():
        with suppress(OSError):  # one that is down or has no multicast brings no adverts
            _join(link, index)
    yield link


def _join(link: socket.socket, index: int) -> None:
    if link.family == socket.AF_INET:
        member = struct.pack("=4s4si", socket.inet_aton(_GROUP), bytes(4), index)
        link.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, member)
    else:
        member = struct.pack("=16sI", socket.inet_pton(socket.AF_INET6, _GROUP6), index)
        link.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, member)


def _received(links: list[socket.socket], until: float) -> Iterator[Advert]:
    poll = select.poll()
    by_number = {link.fileno(): link for link in links}
    for number in by_number:
        poll.register(number, select.POLLIN)
    while (left := until - time.monotonic()) > 0:
        for number, _ in poll.poll(left * 1000):
            packet, sender = by_number[number].recvfrom(_LONGEST)
            payload = _payload(packet) if by_number[number].family == socket.AF_INET else packet
            found = advert(payload, sender[0].partition("%")[0])
            if found is not None:
                yield found


def _payload(packet: bytes) -> bytes:
    """What an IPv4 packet carries: raw sockets give its header along, those of IPv6 do not (raw(7), ipv6(7))."""
    start = (packet[0] & 15) * 4 if packet else 0
    return packet[start:] if start >= 20 else b""


def advert(payload: bytes, source: str) -> Advert | None:
    """The advert in what a packet from `source` carries, of version 2 or 3; None if it is none."""
    if len(payload) < 8:
        return None
    kind, vrid, priority = payload[0], payload[1], payload[2]
    if kind & 15 != _ADVERTISEMENT or kind >> 4 not in (2, 3):
        return None
    return Advert(source, vrid, priority)
