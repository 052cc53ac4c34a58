"""Asks the link who else has an IPv4 address: an ARP probe (RFC 5227, section 2.1.1).

Invariant: a probe has no sender address, so it never changes anybody's ARP cache; it ends by its deadline.
It needs CAP_NET_RAW.
"""

from __future__ import annotations

import socket
import struct
import time

_ETHERTYPE = 0x0806
_FRAME = struct.Struct("!6s6sHHHBBH6s4s6s4s")
_ETHERNET, _IPV4, _REQUEST = 1, 0x0800, 1
_EVERYBODY, _NOBODY, _UNSPECIFIED = b"\xff" * 6, bytes(6), bytes(4)
_AGAIN = 0.1  # seconds between two probes: one may be lost


def owners(interface: str, address: str, timeout: float) -> frozenset[str]:
    """MAC addresses of others that say within `timeout` seconds that they have `address`. OSError."""
    wanted = socket.inet_aton(address)
    until = time.monotonic() + timeout
    kind = socket.SOCK_RAW | socket.SOCK_CLOEXEC
    with socket.socket(socket.AF_PACKET, kind, socket.htons(_ETHERTYPE)) as link:
        link.bind((interface, _ETHERTYPE))
        own = link.getsockname()[4][:6]
        found: set[bytes] = set()
        while (left := until - time.monotonic()) > 0:
            link.send(_probe(own, wanted))
            found |= _answers(link, wanted, min(until, time.monotonic() + min(_AGAIN, left)))
    return frozenset(mac.hex(":") for mac in found - {own})


def _probe(own: bytes, wanted: bytes) -> bytes:
    target = (_NOBODY, wanted)
    return _FRAME.pack(_EVERYBODY, own, _ETHERTYPE, _ETHERNET, _IPV4, 6, 4, _REQUEST, own, _UNSPECIFIED, *target)


def _answers(link: socket.socket, wanted: bytes, until: float) -> set[bytes]:
    """Whoever claims the address, by an answer or by an announcement."""
    found = set()
    while (left := until - time.monotonic()) > 0:
        link.settimeout(left)
        try:
            frame = link.recv(2048)
        except TimeoutError:
            break
        if len(frame) >= _FRAME.size:
            fields = _FRAME.unpack_from(frame)
            if fields[9] == wanted:
                found.add(fields[8])
    return found
