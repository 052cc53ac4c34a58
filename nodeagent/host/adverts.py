"""Listens for VRRP adverts of other routers (RFC 9568, section 5), those to this node and those to everybody.

Invariant: it only listens, and ends by its deadline. What comes from an address of this node is its own. It needs
CAP_NET_RAW; without it nothing is heard.
"""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Iterator
from contextlib import suppress

from nodeagent.observed.vrrp import Advert

_VRRP = 112  # IP protocol number
_GROUP = "224.0.0.18"
_ADVERTISEMENT = 1


def heard(seconds: float, own: frozenset[str]) -> frozenset[Advert]:
    """The adverts over IPv4 that arrive within `seconds` and come from none of the addresses `own`."""
    try:
        link = socket.socket(socket.AF_INET, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _VRRP)
    except PermissionError:
        return frozenset()
    with link:
        _join(link)
        return frozenset(each for each in _received(link, time.monotonic() + seconds) if each.source not in own)


def _join(link: socket.socket) -> None:
    """The group on every interface; one that is down or has no multicast brings no adverts."""
    for index, _ in socket.if_nameindex():
        member = struct.pack("=4s4si", socket.inet_aton(_GROUP), bytes(4), index)
        with suppress(OSError):
            link.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, member)


def _received(link: socket.socket, until: float) -> Iterator[Advert]:
    while (left := until - time.monotonic()) > 0:
        link.settimeout(left)
        try:
            packet = link.recv(2048)
        except TimeoutError:
            return
        found = advert(packet)
        if found is not None:
            yield found


def advert(packet: bytes) -> Advert | None:
    """The advert in an IPv4 packet, of version 2 or 3; None if it is none."""
    start = (packet[0] & 15) * 4 if packet else 0
    if start < 20 or len(packet) < start + 8:
        return None
    kind, vrid, priority = packet[start], packet[start + 1], packet[start + 2]
    if kind & 15 != _ADVERTISEMENT or kind >> 4 not in (2, 3):
        return None
    return Advert(socket.inet_ntoa(packet[12:16]), vrid, priority)
