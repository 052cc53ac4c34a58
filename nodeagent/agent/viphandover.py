"""Hands the VIP over before planned work on this node: one node at a time, if an API server says whose turn it is.

Invariant: what decides is local. Without an API server the peers are asked themselves, and planned work goes on; two
nodes that take each other for the healthy peer are what the Lease is against.
"""

from __future__ import annotations

import logging
from contextlib import closing
from typing import Final

from nodeagent.agent.announcer import Events, NoEvents
from nodeagent.agent.turn import Turn
from nodeagent.host.fitness import unanswered
from nodeagent.host.livez import HealthServer
from nodeagent.host.trackfile import HANDOVER, TRACK, TrackFile
from nodeagent.host.vrrp import VrrpHost
from nodeagent.settings import Settings
from nodeagent.vip.handover import VipHandover
from nodeagent.vip.inventory import installations

_log = logging.getLogger(__name__)

LEASE: Final = "nodeagent-vip-handover"
_TURN: Final = 10.0  # seconds that a node waits for its turn
_PEER: Final = 2.0  # seconds that a peer may take to answer


def by_hand(settings: Settings) -> PlannedWork:
    """The participant of a command, which belongs to no cluster: whose turn it is, the person knows who types it."""
    return PlannedWork(settings, Turn(None, "", LEASE, settings.node_name, ""), NoEvents())


class PlannedWork:
    """The participant of the engine's hand-over."""

    name = "vip"

    def __init__(self, settings: Settings, turn: Turn, events: Events) -> None:
        self._settings = settings
        self._turn = turn
        self._events = events
        self._drain = TrackFile(settings.run_dir, HANDOVER)

    def prepare(self, reason: str, deadline: float) -> None:
        """Return once no VIP is here that could be elsewhere; Transient if that cannot be had within `deadline`."""
        with VrrpHost(self._settings.root) as host:
            if not (host.live() and installations(host)):
                return
            if unsaid := self._turn.take(min(_TURN, deadline / 2)):
                _log.warning("the VIP is handed over without a Lease", extra={"reason": unsaid})
            track = f"{self._settings.run_dir}/{TRACK}"
            handover = VipHandover(host, self._drain, track, lambda peer: self._well(host, peer), waived=self._waive)
            handover.prepare(reason, deadline / 2)
            self._events.record("Normal", "VIPHandedOver", f"no VIP is here during {reason}")

    @property
    def interrupted(self) -> bool:
        """Work was prepared for, in this boot, and nobody has come back from it."""
        return self._drain.begun

    def resume(self) -> None:
        """Stand for election again, as far as this node is well."""
        self._drain.end_drain()
        self._turn.give_back()

    def _waive(self, sentence: str) -> None:
        _log.warning("a VIP cannot be handed over", extra={"reason": sentence})
        self._events.record("Warning", "VIPNotHandedOver", sentence)

    def _well(self, host: VrrpHost, peer: str) -> bool:
        """Whether the peer could carry the traffic: what is behind the VIP answers there."""
        vip = self._settings.vip
        if vip.endpoint is not None:
            with closing(HealthServer(peer, vip.endpoint.port, _PEER)) as server:
                return not server.complaint("/readyz")
        if vip.balancer is not None:
            return not unanswered(peer, vip.balancer.port, _PEER)
        interfaces = {one.interface for each in installations(host) for one in each.configuration.instances}
        return any(host.owners(interface, peer) for interface in sorted(interfaces))
