"""Asks the link who else has an IPv6 address: a neighbour solicitation as for duplicate address detection (RFC 4862).

Invariant: a solicitation has no sender address, so it never changes anybody's neighbour cache; whoever has the address
tells all nodes (RFC 4861, section 7.2.4). It ends by its deadline and needs CAP_NET_RAW.
"""

from __future__ import annotations

import socket
import struct
import time

_ETHERTYPE = 0x86DD
_ETHERNET = struct.Struct("!6s6sH")
_IPV6 = struct.Struct("!IHBB16s16s")
_MESSAGE = struct.Struct("!BBHI16s")  # type, code, checksum, flags, target (RFC 4861, section 4.3)
_ICMPV6, _SOLICITATION, _ADVERTISEMENT = 58, 135, 136
_UNSPECIFIED = bytes(16)
_GROUP = bytes.fromhex("ff0200000000000000000001ff")  # solicited-node multicast, and the last 24 bits of the address
_AGAIN = 0.1  # seconds between two solicitations: one may be lost


def owners(interface: str, address: str, timeout: float) -> frozenset[str]:
    """MAC addresses of others that say within `timeout` seconds that they have `address`. OSError."""
    wanted = socket.inet_pton(socket.AF_INET6, address)
    until = time.monotonic() + timeout
    kind = socket.SOCK_RAW | socket.SOCK_CLOEXEC
    with socket.socket(socket.AF_PACKET, kind, socket.htons(_ETHERTYPE)) as link:
        link.bind((interface, _ETHERTYPE))
        own = link.getsockname()[4][:6]
        found: set[bytes] = set()
        while (left := until - time.monotonic()) > 0:
            link.send(solicitation(own, wanted))
            found |= _answers(link, wanted, min(until, time.monotonic() + min(_AGAIN, left)))
    return frozenset(mac.hex(":") for mac in found - {own})


def solicitation(own: bytes, wanted: bytes) -> bytes:
    """The frame."""
    group = _GROUP + wanted[13:]
    ethernet = _ETHERNET.pack(b"\x33\x33" + group[12:], own, _ETHERTYPE)
    ip = _IPV6.pack(6 << 28, _MESSAGE.size, _ICMPV6, 255, _UNSPECIFIED, group)
    blank = _MESSAGE.pack(_SOLICITATION, 0, 0, 0, wanted)
    pseudo = _UNSPECIFIED + group + struct.pack("!II", len(blank), _ICMPV6)
    return ethernet + ip + _MESSAGE.pack(_SOLICITATION, 0, _checksum(pseudo + blank), 0, wanted)


def _checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071) of an even number of bytes."""
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def _answers(link: socket.socket, wanted: bytes, until: float) -> set[bytes]:
    found = set()
    while (left := until - time.monotonic()) > 0:
        link.settimeout(left)
        try:
            frame = link.recv(2048)
        except TimeoutError:
            break
        if advertised(frame) == wanted:
            found.add(frame[6:12])
    return found


def advertised(frame: bytes) -> bytes:
    """The address that a neighbour advertisement is about; b"" for any other frame."""
    start = _ETHERNET.size + _IPV6.size
    if len(frame) < start + _MESSAGE.size or frame[_ETHERNET.size + 6] != _ICMPV6:
        return b""
    kind, _, _, _, target = _MESSAGE.unpack_from(frame, start)
    return bytes(target) if kind == _ADVERTISEMENT else b""
