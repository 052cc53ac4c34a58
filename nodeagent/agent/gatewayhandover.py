"""Hands this node's egress traffic over before planned work: one node at a time, by a Lease where there is an API."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Final

from nodeagent.agent.announcer import Events
from nodeagent.agent.turn import Turn
from nodeagent.egress.node.handover import GatewayHandover, Road
from nodeagent.egress.node.part import PREFIX
from nodeagent.egress.node.roads import Both, Router, Silence, Withdrawn, Word
from nodeagent.errors import Broken
from nodeagent.host import bfdears, namespaces, silence
from nodeagent.host.drainfile import COMMAND, WORK, DrainFiles
from nodeagent.host.gatewaycounters import counters
from nodeagent.settings import Settings

if TYPE_CHECKING:  # the API's client, only in a cluster
    from nodeagent.kube.connection import Connection

_log = logging.getLogger(__name__)

LEASE: Final = "nodeagent-egress-handover"
_TURN: Final = 10.0  # seconds that a node waits for its turn
_RETURN: Final = 15.0  # seconds that others wait for this node's traffic to be back, before they may go


def carried() -> tuple[str, ...]:
    """Namespaces of this node's gateways: ours, and Kube-OVN's, in which somebody speaks BFD."""
    from nodeagent.host.gatewaykernel import carries  # noqa: PLC0415 - netlink, by need

    theirs = (name for name in silence.speaking() if carries(name))
    return tuple(sorted({*namespaces.names(PREFIX), *theirs}))


class PlannedWork:
    """The participant of the engine's hand-over."""

    name = "egress"

    def __init__(self, settings: Settings, road: Road, turn: Turn, events: Events) -> None:
        self._files = DrainFiles(settings.run_dir)
        self._handover = GatewayHandover(road, counters)
        self._turn = turn
        self._events = events

    @property
    def interrupted(self) -> bool:
        """Work was prepared for, in this boot, and nobody has come back from it."""
        return self._files.begun(WORK)

    def prepare(self, reason: str, deadline: float) -> None:
        """Return once no traffic comes through this node's gateways; Transient if that cannot be had."""
        gateways = carried()
        if not gateways:
            return
        if unsaid := self._turn.take(min(_TURN, deadline / 2)):
            _log.warning("egress traffic is handed over without a Lease", extra={"reason": unsaid})
        try:
            moved = self._handover.prepare(gateways, deadline / 2)
        except Broken as error:  # this node never can, which is no reason to keep its work waiting for ever
            _log.warning("egress traffic cannot be handed over", extra={"reason": str(error)})
            self._events.record("Warning", "EgressNotHandedOver", str(error))
            return
        lost = f"; {moved.connections} tracked connections may break" if moved.connections else ""
        self._events.record("Normal", "EgressHandedOver", f"no egress traffic comes here during {reason}{lost}")

    def resume(self) -> None:
        """Take traffic again, unless a command drains the node; another node may go once it has come."""
        ours = self._turn.ours()
        if waiting := self._handover.resume(carried() if ours else (), _RETURN):
            _log.warning("not all egress traffic is back", extra={"reason": waiting})
        if ours:
            self._turn.give_back()


class _Quiet:
    """The namespaces of this node."""

    def silence(self, namespace: str) -> None:
        silence.silence(namespace)

    def unsilence(self, namespace: str) -> None:
        silence.unsilence(namespace)

    def silent(self) -> Collection[str]:
        return silence.silent()

    def heard(self, names: Collection[str], seconds: float) -> Mapping[Router, str]:
        return bfdears.heard(names, seconds)


def withdrawn(
    settings: Settings, said: Callable[[], Mapping[str, Word]], connection: Connection, name: str = COMMAND
) -> Road:
    """The roads of a node whose gateways a coordinator programs; those of Kube-OVN, if there are any, go silent."""
    ours = Withdrawn(DrainFiles(settings.run_dir), said, name)
    return Both(ours, silenced(settings, connection, name), lambda namespace: namespace.startswith(PREFIX))


def silenced(settings: Settings, connection: Connection | None, name: str = COMMAND) -> Silence:
    """The road of any other node; the API server says whether other nexthops are left, if there is one."""

    def last(gateways: Collection[str]) -> Collection[str]:
        if connection is None:
            return ()
        from nodeagent.agent.nexthops import last_nexthops  # noqa: PLC0415 - the API's client, only in a cluster
        from nodeagent.host.gatewaykernel import hosts  # noqa: PLC0415 - netlink, by need

        own = frozenset[str]().union(*map(hosts, gateways))
        return last_nexthops(connection, settings.coordinator.namespace, own)

    return Silence(DrainFiles(settings.run_dir), _Quiet(), name, settings.gateways.detection, last)
