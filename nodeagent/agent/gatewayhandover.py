"""Hands this node's egress traffic over before planned work: one node at a time, by a Lease where there is an API.

Two roads lead away. Where the coordinator programs gateways, it is asked by an annotation of the Node, and answers in
the status of the object. Elsewhere BFD falls silent in each gateway's namespace, Kube-OVN's own pods included, and the
routers' detection moves the traffic.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Final

from nodeagent.agent.announcer import Events
from nodeagent.agent.turn import Turn
from nodeagent.egress.node.handover import GatewayHandover, Road
from nodeagent.egress.node.part import PREFIX
from nodeagent.errors import Broken, Transient
from nodeagent.host import silence
from nodeagent.host.drainfile import COMMAND, DRAIN, FORCE, WORK, DrainFiles
from nodeagent.host.gatewaycounters import counters
from nodeagent.host.namespaces import names
from nodeagent.settings import Settings

_log = logging.getLogger(__name__)

LEASE: Final = "nodeagent-egress-handover"
_TURN: Final = 10.0  # seconds that a node waits for its turn
_DETECTION: Final = 3.0  # seconds that routers may take to miss a gateway, where nobody says how they watch it
_REFUSED: Final = 5.0  # seconds after which a word that it is the last nexthop is believed


def carried() -> tuple[str, ...]:
    """Namespaces of this node's gateways: ours, and Kube-OVN's, in which somebody speaks BFD."""
    from nodeagent.host.gatewaykernel import carries  # noqa: PLC0415 - netlink, by need

    return tuple(sorted({*names(PREFIX), *(name for name in silence.speaking() if carries(name))}))


@dataclass
class Silence:
    """The road where BFD alone tells routers: `detection` seconds after its last packet they send elsewhere."""

    files: DrainFiles
    name: str = WORK
    detection: float = _DETECTION
    clock: Callable[[], float] = time.monotonic
    _since: float | None = field(default=None, init=False)

    def leave(self, namespaces: Collection[str], *, force: bool) -> None:
        self.files.begin(self.name, FORCE if force else DRAIN)
        for namespace in namespaces:
            silence.silence(namespace)
        self._since = self.clock()

    def left(self) -> str:
        if self._since is None or self.clock() - self._since < self.detection:
            return "routers have not missed the gateways yet"
        return ""

    def come_back(self) -> None:
        self.files.end(self.name)
        if not self.files.word():
            for namespace in silence.silent():
                silence.unsilence(namespace)


@dataclass
class Withdrawn:
    """The road where the coordinator takes nexthops out: `said` has its word on each of this node's."""

    files: DrainFiles
    said: Callable[[], Mapping[str, tuple[bool, str]]]
    name: str = WORK
    clock: Callable[[], float] = time.monotonic
    _refused: float | None = field(default=None, init=False)

    def leave(self, _namespaces: Collection[str], *, force: bool) -> None:
        self.files.begin(self.name, FORCE if force else DRAIN)

    def left(self) -> str:
        said = self.said()
        refused = sorted(f"{address} ({reason})" for address, (gone, reason) in said.items() if reason and not gone)
        self._believe(refused)
        waiting = sorted(address for address, (gone, _) in said.items() if not gone)
        return f"the coordinator has not withdrawn {', '.join(waiting)}" if waiting else ""

    def _believe(self, refused: list[str]) -> None:
        """A nexthop may be the last one only until another node is back."""
        if not refused:
            self._refused = None
            return
        self._refused = self.clock() if self._refused is None else self._refused
        if self.clock() - self._refused > _REFUSED:
            raise Transient(f"{', '.join(refused)} is the last nexthop that works; --force takes it all the same")

    def come_back(self) -> None:
        self.files.end(self.name)


class PlannedWork:
    """The participant of the engine's hand-over."""

    name = "egress"

    def __init__(self, road: Road, turn: Turn, events: Events) -> None:
        self._handover = GatewayHandover(road, counters)
        self._road = road
        self._turn = turn
        self._events = events

    def prepare(self, reason: str, deadline: float) -> None:
        """Return once no traffic comes through this node's gateways; Transient if that cannot be had."""
        namespaces = carried()
        if not namespaces:
            return
        if unsaid := self._turn.take(min(_TURN, deadline / 2)):
            _log.warning("egress traffic is handed over without a Lease", extra={"reason": unsaid})
        try:
            moved = self._handover.prepare(namespaces, deadline / 2)
        except Broken as error:  # this node never can, which is no reason to keep its work waiting for ever
            _log.warning("egress traffic cannot be handed over", extra={"reason": str(error)})
            self._events.record("Warning", "EgressNotHandedOver", str(error))
            return
        lost = f"; {moved.connections} tracked connections may break" if moved.connections else ""
        self._events.record("Normal", "EgressHandedOver", f"no egress traffic comes here during {reason}{lost}")

    def resume(self) -> None:
        """Take traffic again, unless a command drains the node."""
        self._road.come_back()
        self._turn.give_back()


def road(settings: Settings, said: Callable[[], Mapping[str, tuple[bool, str]]] | None, name: str = COMMAND) -> Road:
    """The road of this node; `said` is None where no coordinator programs gateways."""
    files = DrainFiles(settings.run_dir)
    return Silence(files, name, settings.gateways.detection) if said is None else Withdrawn(files, said, name)
