"""The addresses that the kernel has, by one netlink dump (rtnetlink(7)).

Invariant: what is told is of the calling thread's network namespace, and a dump that changed under our eyes is made
again, so that no address is missed or told twice.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Iterator

from nodeagent.errors import Transient
from nodeagent.observed.vrrp import Assigned

_HEADER = struct.Struct("=IHHII")  # nlmsghdr: length, type, flags, sequence, port
_ADDRESS = struct.Struct("=BBBBI")  # ifaddrmsg: family, prefix length, flags, scope, interface
_ATTRIBUTE = struct.Struct("=HH")  # rtattr: length, type
_ERROR, _DONE, _NEW_ADDRESS, DEL_ADDRESS, _GET_ADDRESS = 2, 3, 20, 21, 22
ADDRESS_KINDS = (_NEW_ADDRESS, DEL_ADDRESS)
_REQUEST_DUMP = 0x301
_INTERRUPTED = 0x10  # NLM_F_DUMP_INTR: the table changed while it was told
_IFA_ADDRESS, _IFA_LOCAL = 1, 2
_TRIES = 5
_TIMEOUT = 2.0  # seconds
_SEQUENCE = 1


class _Changed(Exception):
    """The table changed during the dump."""


def assigned() -> frozenset[Assigned]:
    """All addresses with their interfaces. Transient if they change faster than they can be read; OSError."""
    for _ in range(_TRIES):
        try:
            return frozenset(_dumped())
        except _Changed:
            continue
    raise Transient("the addresses of this node change too fast to be read")


def _dumped() -> Iterator[Assigned]:
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE) as link:
        link.settimeout(_TIMEOUT)
        body = _ADDRESS.pack(socket.AF_UNSPEC, 0, 0, 0, 0)
        length = _HEADER.size + len(body)
        link.sendto(_HEADER.pack(length, _GET_ADDRESS, _REQUEST_DUMP, _SEQUENCE, 0) + body, (0, 0))
        while True:
            for kind, flags, _, payload in _framed(link.recv(1 << 16)):
                if flags & _INTERRUPTED:
                    raise _Changed
                if kind == _DONE:
                    return
                if kind == _ERROR:
                    number = -struct.unpack_from("=i", payload)[0]
                    raise OSError(number or errno.EIO, os.strerror(number or errno.EIO), "netlink")
                if kind == _NEW_ADDRESS:
                    yield from assigned_in(payload)


def messages(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Kind, port and payload of each netlink message."""
    return ((kind, port, payload) for kind, _, port, payload in _framed(data))


def _framed(data: bytes) -> Iterator[tuple[int, int, int, bytes]]:
    """Kind, flags, port and payload of each message."""
    offset = 0
    while offset + _HEADER.size <= len(data):
        length, kind, flags, _, port = _HEADER.unpack_from(data, offset)
        yield kind, flags, port, data[offset + _HEADER.size : offset + length]
        offset += max(_aligned(length), _HEADER.size)


def assigned_in(payload: bytes) -> Iterator[Assigned]:
    """The address of an ifaddrmsg: on a point-to-point link IFA_LOCAL is the node's own and IFA_ADDRESS the peer's."""
    family, _, _, _, index = _ADDRESS.unpack_from(payload)
    attributes = dict(_attributes(payload[_ADDRESS.size :]))
    raw = attributes.get(_IFA_LOCAL, attributes.get(_IFA_ADDRESS))
    if raw is None or family not in (socket.AF_INET, socket.AF_INET6):
        return
    try:
        name = socket.if_indextoname(index)
    except OSError:  # the interface has just gone
        return
    yield Assigned(socket.inet_ntop(family, raw), name)


def _attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    offset = 0
    while offset + _ATTRIBUTE.size <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, offset)
        yield kind, data[offset + _ATTRIBUTE.size : offset + length]
        offset += max(_aligned(length), _ATTRIBUTE.size)


def _aligned(length: int) -> int:
    return (length + 3) & ~3
