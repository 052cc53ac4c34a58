"""The running node as the VIP's job looks at it: keepalived's files and processes, its answers, addresses, the link."""

from __future__ import annotations

import fcntl
import socket
import struct

from nodeagent.host import addresses, adverts, arp, neighbours, vrrpdump
from nodeagent.host.keepalived import KeepalivedHost
from nodeagent.observed.vrrp import Advert, Assigned, Daemon, Reported

_SIOCGIFHWADDR = 0x8927
_IFREQ = struct.Struct("16s24s")  # ifr_name, ifr_hwaddr: family and bytes
_ANSWER = 1.0  # seconds; keepalived takes about one millisecond
_PROBE = 0.3  # seconds; a neighbour takes well under a millisecond, and one probe may be lost


class VrrpHost(KeepalivedHost):
    """All sources of truth. Each call ends by a deadline of its own."""

    def ask(self, daemon: Daemon) -> tuple[Reported, ...] | None:
        """keepalived's own account; None if it does not answer. Transient if it has ended."""
        return vrrpdump.dump(daemon, _ANSWER, self._proc)

    def assigned(self) -> frozenset[Assigned]:
        """The addresses that the kernel has."""
        return addresses.assigned()

    def owners(self, interface: str, address: str) -> frozenset[str] | None:
        """MAC addresses of others that claim `address`; None where the link cannot be asked."""
        asked = neighbours.owners if ":" in address else arp.owners
        try:
            return asked(interface, address, _PROBE)
        except OSError:  # no such interface, it is down, or we may not
            return None

    def adverts(self, seconds: float) -> frozenset[Advert]:
        """Adverts of other routers that arrive within `seconds`."""
        return adverts.heard(seconds, frozenset(each.address for each in self.assigned()))

    def mac(self, interface: str) -> str:
        """The hardware address of an interface of this network namespace, "" if there is none (netdevice(7))."""
        request = _IFREQ.pack(interface.encode()[:15], b"")
        try:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as link:
                answer = fcntl.ioctl(link, _SIOCGIFHWADDR, request)
        except OSError:
            return ""
        return answer[18:24].hex(":")
