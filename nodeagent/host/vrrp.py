"""The running node as the VIP's job looks at it: keepalived's files and processes, its answers, addresses, the link."""

from __future__ import annotations

from nodeagent.host import addresses, adverts, arp, vrrpdump
from nodeagent.host.keepalived import KeepalivedHost
from nodeagent.observed.vrrp import Advert, Assigned, Daemon, Reported

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
        """MAC addresses of others that claim `address`; None for IPv6, and where the link cannot be asked."""
        if ":" in address:
            return None
        try:
            return arp.owners(interface, address, _PROBE)
        except OSError:  # no such interface, it is down, or we may not
            return None

    def adverts(self, seconds: float) -> frozenset[Advert]:
        """Adverts of other routers that arrive within `seconds`; over IPv4 alone."""
        return adverts.heard(seconds, frozenset(each.address for each in self.assigned()))

    def mac(self, interface: str) -> str:
        """The hardware address of an interface, "" if it has none."""
        try:
            with open(f"/sys/class/net/{interface}/address") as file:
                return file.read().strip()
        except OSError:
            return ""
