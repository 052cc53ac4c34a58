"""Hears from the kernel which addresses come and go, and who took them away (rtnetlink(7), netlink(7)).

Invariant: what is told is of the network namespace of the thread that opened it. Messages can be lost when many come at
once, which is told as well: whoever listens looks afresh. The kernel stamps a message with the port of the socket that
asked for the change; a port that is the number of a process names that process while it lives. A process in another pid
namespace, as in a container, has a number there that is another's here, so who takes its own address away is no other.
"""

from __future__ import annotations

import errno
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass

from nodeagent.host.addresses import ADDRESS_KINDS, DEL_ADDRESS, assigned_in, messages
from nodeagent.host.keepalived import PROGRAM
from nodeagent.host.listener import Listener
from nodeagent.observed.vrrp import Assigned, Removal

_GROUPS = 0x10 | 0x100  # RTMGRP_IPV4_IFADDR, RTMGRP_IPV6_IFADDR
_CHUNK = 1 << 16
_MOST = 1000  # messages a wake-up, and addresses whose maker is known


@dataclass(frozen=True)
class AddressChange:
    """Addresses that came or went at once, and the removals among that; `lost` if some of it was not told."""

    addresses: frozenset[str]
    removals: tuple[Removal, ...] = ()
    lost: bool = False


class AddressEvents:
    """Calls `changed` on a thread of its own."""

    def __init__(self, changed: Callable[[AddressChange], None], proc: str = "/proc") -> None:
        self._changed = changed
        self._proc = proc
        self._makers: dict[Assigned, int] = {}
        kind = socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
        self._link = socket.socket(socket.AF_NETLINK, kind, socket.NETLINK_ROUTE)
        self._link.bind((0, _GROUPS))
        self._listener = Listener("vip-addresses", self._link.fileno(), self._readable)

    def start(self) -> None:
        self._listener.start()

    def close(self) -> None:
        """End the thread; a socket that it still reads stays open."""
        if self._listener.close():
            self._link.close()

    def _readable(self) -> None:
        found, lost = self._received()
        told = [
            (kind, port, each)
            for data in found
            for kind, port, payload in messages(data)
            if kind in ADDRESS_KINDS
            for each in assigned_in(payload)
        ]
        now = time.time()
        removals = tuple(
            Removal(each.address, each.interface, self._program(port), now)
            for kind, port, each in told
            if self._taken(kind, port, each)
        )
        self._changed(AddressChange(frozenset(each.address for _, _, each in told), removals, lost))

    def _taken(self, kind: int, port: int, address: Assigned) -> bool:
        """Whether this takes an address from another than the one at `port`, which may have been made unseen."""
        if kind == DEL_ADDRESS:
            return self._makers.pop(address, None) != port
        if port and len(self._makers) < _MOST:
            self._makers.setdefault(address, port)  # the kernel tells again when an address changes, without a maker
        return False

    def _received(self) -> tuple[list[bytes], bool]:
        """What waits to be read, and whether the kernel had to drop some of it."""
        found, lost = list[bytes](), False
        while len(found) < _MOST:
            try:
                found.append(self._link.recv(_CHUNK))
            except BlockingIOError:
                break
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                lost = True
        return found, lost

    def _program(self, port: int) -> str:
        """Who asked for it; "" for keepalived, for the kernel, and where the port is no process (a second socket)."""
        try:
            with open(f"{self._proc}/{port}/comm") as file:
                name = file.read().strip()
        except OSError:
            return ""
        return "" if name == PROGRAM else f"{name} (process {port})"
