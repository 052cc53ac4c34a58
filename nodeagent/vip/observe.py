"""Looks at the sources of truth about the VIP.

Invariant: looking changes nothing but a line in keepalived's log, and ends: each source has a deadline of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from nodeagent.errors import Transient
from nodeagent.observed.vrrp import Advert, Assigned, Daemon, Reported
from nodeagent.vip.inventory import Host, Installation, installations
from nodeagent.vip.truth import Sight


class Live(Host, Protocol):
    """A running node, whose state can be asked for."""

    def ask(self, daemon: Daemon) -> tuple[Reported, ...] | None:
        """keepalived's own account; None if it does not answer. Transient if it has ended."""
        ...

    def assigned(self) -> frozenset[Assigned]:
        """The addresses that the kernel has."""
        ...

    def owners(self, interface: str, address: str) -> frozenset[str] | None:
        """MAC addresses of others on the link that claim `address`; None if that cannot be asked."""
        ...

    def adverts(self, seconds: float) -> frozenset[Advert]:
        """Adverts of other routers that arrive within `seconds`."""
        ...


def observe(host: Live, now: float, *, probe: bool) -> tuple[Sight, ...]:
    """What is seen of each installation at `now`; with `probe` the link is asked who else has the addresses."""
    return tuple(sight(host, each, now, probe=probe) for each in installations(host))


def sight(host: Live, installation: Installation, now: float, *, probe: bool) -> Sight:
    """What is seen of one installation: keepalived is asked, and with `probe` the link."""
    owners = _owners(host, installation) if probe else {}
    adverts = host.adverts(_listening(installation)) if probe else frozenset[Advert]()
    answers, hung = _asked(host, installation.daemon)
    return Sight(installation, now, host.assigned(), answers, hung, owners=owners, adverts=adverts)


def _listening(installation: Installation) -> float:
    """Seconds in which a router that is MASTER is heard, within reason."""
    advert = max((each.advert_interval for each in installation.configuration.instances), default=0.0)
    return min(1.2 * advert, 2.0)


def _asked(host: Live, daemon: Daemon | None) -> tuple[tuple[Reported, ...] | None, bool]:
    """keepalived's account, and whether it hangs."""
    if daemon is None or not daemon.dumps:
        return None, False
    try:
        answers = host.ask(daemon)
    except Transient:  # it has just ended: the next look finds none, or another
        return None, False
    return answers, answers is None


def _owners(host: Live, installation: Installation) -> Mapping[str, frozenset[str]]:
    asked = {
        vip.address: host.owners(vip.interface, vip.address)
        for instance in installation.configuration.instances
        for vip in instance.vips
    }
    return {address: others for address, others in asked.items() if others is not None}
