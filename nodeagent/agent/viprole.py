"""The coordinator's role `vip`: compares what the nodes say of their VIPs, and tells where it does not fit together."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

from nodeagent.agent.roles import Duty, Office
from nodeagent.kube.collection import Collection
from nodeagent.kube.events import announcement
from nodeagent.kube.reflector import Scope
from nodeagent.observed import nodes
from nodeagent.observed.nodes import NodeView
from nodeagent.telemetry.metrics.tables import Row, Tables
from nodeagent.vip.fleet import Conflict, Reason, by_address, conflicts, unsettled

_log = logging.getLogger(__name__)

_BUSY: Final = 5.0  # seconds between two rounds while somebody has just become MASTER
_IDLE: Final = 60.0
COLUMNS: Final[Mapping[str, tuple[str, tuple[str, ...]]]] = {
    "nodeagent_vip_holders": ("Nodes that say they have an address", ("address",)),
    "nodeagent_vip_conflicts": (
        "1 while what the nodes say of an address does not fit together",
        ("address", "reason"),
    ),
}


class Referee:
    """Tells of each conflict once, on every node that it is between. `tell` writes an Event on a Node."""

    def __init__(
        self,
        views: Callable[[], Iterable[NodeView]],
        tell: Callable[[str, tuple[str, str, str]], None],
        show: Callable[[Mapping[str, list[Row]]], None],
        leading: Callable[[], bool],
        clock: Callable[[], float],
    ) -> None:
        self._views = views
        self._tell = tell
        self._show = show
        self._leading = leading
        self._clock = clock
        self._open: frozenset[Conflict] = frozenset()

    def tick(self) -> float:
        """One round; the seconds to the next."""
        if not self._leading():
            self._show({})
            return _IDLE
        now, views = self._clock(), tuple(self._views())
        found = conflicts(views, now)
        self._show(_rows(views, found))
        self._announce(frozenset(found))
        return _BUSY if unsettled(views, now) else _IDLE

    def _announce(self, found: frozenset[Conflict]) -> None:
        for each in sorted(found - self._open):
            _log.warning("conflict about a VIP", extra={"address": each.address, "reason": each.message})
            for node in each.nodes:
                self._tell(node, ("Warning", str(each.reason), each.message))
        for each in sorted(self._open - found):
            for node in each.nodes:
                self._tell(node, ("Normal", "VIPConflictGone", f"no longer: {each.message}"))
        self._open = found


def _rows(views: tuple[NodeView, ...], found: tuple[Conflict, ...]) -> Mapping[str, list[Row]]:
    said, open_now = by_address(views), {(each.address, each.reason) for each in found}
    return {
        "nodeagent_vip_holders": [
            Row((address,), float(sum(each.held for each in every))) for address, every in said.items()
        ],
        "nodeagent_vip_conflicts": [
            Row((address, str(reason)), float((address, reason) in open_now)) for address in said for reason in Reason
        ],
    }


def referee(office: Office) -> Duty:
    """The role of the VIPs."""
    chance = random.Random()  # noqa: S311 - jitter, no secret
    seen = Collection(office.connection, Scope("/api/v1/nodes"), _view, office.changed, chance)
    tables = Tables(office.registry, COLUMNS)

    def tell(node: str, said: tuple[str, str, str]) -> None:
        announcement(office.connection, "Node", node, said, datetime.now(UTC))

    return Duty((seen,), Referee(lambda: seen.snapshot().values(), tell, tables.show, office.leading, time.time).tick)


def _view(node: dict[str, object]) -> NodeView:
    """The view with nothing but the agent's report."""
    view = NodeView.of(node)
    return replace(view, labels={}, annotations={nodes.REPORT: view.said(nodes.REPORT)})
