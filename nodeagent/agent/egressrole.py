"""The coordinator's role `egress`: verifies the rows of each egress gateway, and tells where they are not as asked for.

Invariant: in the mode `observe` it writes nothing into the northbound database; Kube-OVN's controller owns the rows. In
the others it programs the gateways that are ours. What is wrong is told once, when it has stood for a while: that
controller makes its rows one by one, and what is half done is not wrong.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from typing import Any, Final

from nodeagent.agent.egressprogram import Programmer
from nodeagent.agent.nexthops import NexthopWriter
from nodeagent.agent.northbound import link
from nodeagent.agent.roles import Duty, Office
from nodeagent.egress.findings import Code, Finding, orphans
from nodeagent.egress.gateway import OURS, THEIRS
from nodeagent.egress.inventory import (
    BESIDE,
    FINALIZER,
    PATHS,
    PROGRAM_PATHS,
    STATUS,
    Inventory,
    devices,
    gathered,
    kinds,
    readable,
)
from nodeagent.egress.rows import KUBE_OVN
from nodeagent.egress.sight import Sight, sights
from nodeagent.egress.site import Attachment, Ip, Node, Pod, Site, Subnet, Vpc
from nodeagent.kube.collection import Collection
from nodeagent.kube.connection import Connection
from nodeagent.kube.events import announcement
from nodeagent.kube.gateways import GatewayApi
from nodeagent.kube.reflector import Scope
from nodeagent.observed.northbound import Northbound
from nodeagent.telemetry.metrics.tables import Row, Tables

_log = logging.getLogger(__name__)

_PATHS: Final = {**PATHS, **PROGRAM_PATHS}
GRACE: Final = 10.0  # seconds that something is wrong before it is told
_BUSY: Final = 2.0  # seconds between two rounds while something has just become wrong
_IDLE: Final = 60.0
COLUMNS: Final[Mapping[str, tuple[str, tuple[str, ...]]]] = {
    "nodeagent_egress_nexthops": ("Nexthops that a gateway should have", ("gateway",)),
    "nodeagent_egress_session_up": ("1 while the router has the BFD session up", ("gateway", "nexthop")),
    "nodeagent_egress_findings": ("What is wrong with the rows and sessions of a gateway", ("gateway", "code")),
    "nodeagent_egress_refused": ("1 while a gateway asks for what cannot be", ("gateway",)),
}

Told = tuple[str, str, str]  # kind, reason and message of an Event


class Verifier:
    """Compares all gateways with their rows. `tell` writes an Event on a gateway, by its kind and key.

    `work` does what else there is to do with them, and returns the seconds to the next round.
    """

    def __init__(
        self,
        inventory: Callable[[], Inventory],
        view: Callable[[], AbstractContextManager[Northbound]],
        tell: Callable[[str, str, Told], None],
        show: Callable[[Mapping[str, list[Row]]], None],
        leading: Callable[[], bool],
        clock: Callable[[], float],
        work: Callable[[Inventory, Sequence[Sight]], float] = lambda _found, _told: _IDLE,
    ) -> None:
        """`clock` has monotonic seconds."""
        self._inventory = inventory
        self._view = view
        self._tell = tell
        self._show = show
        self._leading = leading
        self._clock = clock
        self._work = work
        self._kinds: Mapping[str, str] = {}
        self._since: dict[Finding, float] = {}
        self._open: frozenset[Finding] = frozenset()

    def tick(self) -> float:
        """One round; the seconds to the next."""
        if not self._leading():
            self._show({})
            return _IDLE
        found = self._inventory()
        with self._view() as seen:
            told = sights(found, seen)
            lost = orphans(frozenset(each.key for each in told), KUBE_OVN, seen)
        self._show(_rows(told))
        self._kinds = {each.key: each.read.kind for each in told}
        pause = self._announce({*lost, *(_wrong(told))})
        return min(pause, self._work(found, told))

    def _announce(self, found: set[Finding]) -> float:
        """Tell what has been wrong for a while, and what is so no more."""
        now = self._clock()
        self._since = {each: self._since.get(each, now) for each in found}
        settled = frozenset(each for each, since in self._since.items() if now - since >= GRACE)
        for each in sorted(settled - self._open):
            _log.warning("egress gateway", extra={"gateway": each.gateway, "reason": f"{each.code}: {each.message}"})
            self._tell(self._kind(each), each.gateway, ("Warning", str(each.code), each.message))
        for each in sorted(self._open - found):
            self._tell(self._kind(each), each.gateway, ("Normal", "EgressGatewayMended", f"no longer: {each.message}"))
        self._open = settled
        return _BUSY if settled != found else _IDLE

    def _kind(self, found: Finding) -> str:
        """Of the object that it is about; rows without an object were Kube-OVN's."""
        return self._kinds.get(found.gateway, THEIRS)


def _wrong(told: Iterable[Sight]) -> Iterable[Finding]:
    """Findings, and problems of the objects themselves, as findings."""
    for sight in told:
        yield from sight.findings
        for problem in sight.problems:
            yield Finding(sight.key, Code.REFUSED, f"{problem.path}: {problem.message}; {problem.advice}")


def _rows(told: Iterable[Sight]) -> Mapping[str, list[Row]]:
    rows: dict[str, list[Row]] = {name: [] for name in COLUMNS}
    for sight in told:
        codes = [str(each.code) for each in sight.findings]
        rows["nodeagent_egress_nexthops"].append(
            Row((sight.key,), float(sum(len(i.internal) for i in sight.instances)))
        )
        rows["nodeagent_egress_refused"].append(Row((sight.key,), float(bool(sight.problems))))
        rows["nodeagent_egress_findings"] += [
            Row((sight.key, code), float(codes.count(code))) for code in sorted(set(codes))
        ]
        rows["nodeagent_egress_session_up"] += [
            Row((sight.key, nexthop), float(state == "up")) for nexthop, state in sorted(sight.sessions.items())
        ]
    return rows


class Followed:
    """What gateways depend on, from memory. `programmed` are the kinds that we program."""

    def __init__(self, office: Office, programmed: frozenset[str]) -> None:
        chance = random.Random()  # noqa: S311 - jitter, no secret

        def collection(kind: str, project: Callable[[dict[str, Any]], Any]) -> Collection[Any]:
            return Collection(office.connection, Scope(_PATHS[kind]), project, office.changed, chance)

        self._programmed = programmed
        self._theirs = collection(THEIRS, lambda each: readable({**each, "kind": THEIRS}))
        self._vpcs = collection("Vpc", Vpc.of)
        self._subnets = collection("Subnet", Subnet.of)
        self._namespaces = collection("Namespace", lambda each: each["metadata"].get("labels") or {})
        self._pods = collection("Pod", Pod.of)
        self._nodes = collection("Node", Node.of)
        self._ours = collection(OURS, lambda each: readable({**each, "kind": OURS}))
        self._ips = collection("IP", Ip.of)
        self._attachments = collection("NetworkAttachmentDefinition", Attachment.of)
        self.follows = (
            *(self._theirs, self._vpcs, self._subnets, self._namespaces, self._pods, self._nodes),
            *((self._ours, self._ips, self._attachments) if programmed else ()),
        )

    def inventory(self) -> Inventory:
        site = Site(
            vpcs=_by_name(self._vpcs),
            subnets=_by_name(self._subnets),
            namespaces=_by_name(self._namespaces),
            pods=tuple(self._pods.snapshot().values()),
            nodes=_by_name(self._nodes),
            devices=devices(self._attachments.snapshot().values()),
            ips=_by_name(self._ips),
        )
        return gathered((*self._theirs.snapshot().values(), *self._ours.snapshot().values()), site, self._programmed)


def _by_name(collection: Collection[Any]) -> dict[str, Any]:
    return {name: each for (_, name), each in collection.snapshot().items()}


def egress(office: Office) -> Duty:
    """The role of the egress gateways. Rejected if no northbound database is set."""
    programmed = kinds(office.settings.egress.mode)
    followed, tables = Followed(office, programmed), Tables(office.registry, COLUMNS)
    northbound = link(office.settings, office.settings.egress.northbound, office.changed)

    def tell(kind: str, key: str, told: Told) -> None:
        namespace, _, name = key.partition("/")
        announcement(office.connection, kind, name, told, datetime.now(UTC), namespace=namespace)

    programmer = Programmer(_api(office.connection), northbound, time.monotonic, lambda: datetime.now(UTC))
    nexthops = NexthopWriter(office.connection, office.settings.coordinator.namespace)

    def work(found: Inventory, told: Sequence[Sight]) -> float:
        pause = programmer.work(found, told) if programmed else _IDLE
        nexthops.publish({each.key: each.sessions for each in told})
        return pause

    verifier = Verifier(
        followed.inventory,
        northbound.view,
        tell,
        tables.show,
        office.leading,
        time.monotonic,
        work,
    )
    return Duty((*followed.follows, northbound), verifier.tick)


def _api(connection: Connection) -> GatewayApi:
    return GatewayApi(connection, _PATHS, FINALIZER, (STATUS, BESIDE))
