"""Moves the traffic of this node's egress gateways to those of others, and takes it back.

Invariant: `prepare` returns only once no traffic comes through any more that could go elsewhere; if that does not come
about in time, all is as it was before. Forwarding goes on all the time, so what is on its way arrives.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Final, Protocol

from nodeagent.errors import Transient

_PAUSE: Final = 0.1  # seconds between two looks
_QUIET: Final = 3  # looks in a row without a packet
_PATIENCE: Final = 3.0  # seconds for which old connections may still send: they will break, and are counted


class Road(Protocol):
    """How traffic is moved: by the coordinator's rows, or by silencing BFD."""

    def leave(self, namespaces: Collection[str], *, force: bool) -> None:
        """Ask for it, on behalf of the gateways in these namespaces."""
        ...

    def left(self, namespaces: Collection[str]) -> str:
        """ "" once no router sends new traffic there, or what is still to come. Transient if it will not be."""
        ...

    def come_back(self) -> None: ...

    def returned(self, namespaces: Collection[str]) -> str:
        """ "" once routers send traffic there again, or whenever they are not to; else what is still to come."""
        ...


class Traffic(Protocol):
    """What goes through a gateway's namespace: packets forwarded so far, and connections that are tracked."""

    @property
    def forwarded(self) -> int: ...

    @property
    def connections(self) -> int: ...


@dataclass(frozen=True)
class Moved:
    """How many connections were tracked when the traffic had moved: those with a translated source break."""

    connections: int


@dataclass
class GatewayHandover:
    """`counters` has what goes through the gateway in a namespace."""

    road: Road
    counters: Callable[[str], Traffic]
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep

    def prepare(self, namespaces: Collection[str], deadline: float, *, force: bool = False) -> Moved:
        """Move the traffic of the gateways in `namespaces` within `deadline` seconds.

        Transient, with nothing changed, if it has not moved then.
        """
        if not namespaces:
            return Moved(0)
        until = self.clock() + deadline
        try:
            self.road.leave(namespaces, force=force)
            self._await_departure(namespaces, until)
            return self._quiet(namespaces, min(until, self.clock() + _PATIENCE))
        except BaseException:
            self.road.come_back()
            raise

    def resume(self, namespaces: Collection[str], deadline: float) -> str:
        """Take traffic again; what is still to come after `deadline` seconds, "" once all is as before."""
        self.road.come_back()
        return self._wait(lambda: self.road.returned(namespaces), self.clock() + deadline) if namespaces else ""

    def _await_departure(self, namespaces: Collection[str], until: float) -> None:
        if waiting := self._wait(lambda: self.road.left(namespaces), until):
            raise Transient(f"egress traffic has not moved in time: {waiting}")

    def _wait(self, waiting: Callable[[], str], until: float) -> str:
        """What is still to come at that time, "" once nothing is."""
        while (still := waiting()) and self.clock() < until:
            self.sleep(_PAUSE)
        return still

    def _quiet(self, namespaces: Collection[str], until: float) -> Moved:
        """Until no packet is forwarded any more, or only old connections still send."""
        before, quiet = [self.counters(each) for each in namespaces], 0
        while quiet < _QUIET and self.clock() < until:
            self.sleep(_PAUSE)
            now = [self.counters(each) for each in namespaces]
            same = [each.forwarded for each in now] == [each.forwarded for each in before]
            quiet = quiet + 1 if same else 0
            before = now
        return Moved(sum(each.connections for each in before))
