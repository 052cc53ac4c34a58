"""Egress gateways as a job of the daemon: those whose parts lie in a directory of this node, or are assigned to it.

Loops of their own, so that none waits for another: one builds gateways, one keeps their speakers of BFD, one asks for
their routers outside, one looks whether they forward what comes.
"""

from __future__ import annotations

import os
import random
from collections.abc import Container, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Final

from nodeagent.agent.certificates import read_yaml
from nodeagent.agent.gatewayhandover import LEASE, PlannedWork, silenced, withdrawn
from nodeagent.agent.jobs import Context, Loop
from nodeagent.agent.turn import Turn
from nodeagent.agent.workplace import opened
from nodeagent.egress.inventory import kinds
from nodeagent.egress.node.handover import Road
from nodeagent.egress.node.keeper import NAME, DataPlane, Keeper, Parts, lacking
from nodeagent.egress.node.part import PREFIX, GatewayPart, Leg
from nodeagent.egress.node.partfile import part_of
from nodeagent.egress.node.passage import Passage
from nodeagent.egress.node.series import COLUMNS, series
from nodeagent.egress.node.speech import LOUD, Quiet, Speaking, Speech
from nodeagent.egress.node.upstream import Upstream
from nodeagent.engine.controller import Controller
from nodeagent.engine.report import Report, State
from nodeagent.errors import Problem, Rejected
from nodeagent.host import arp, namespaces, neighbours, silence
from nodeagent.host.drainfile import WORK, DrainFiles
from nodeagent.host.gatewaycounters import counters, passing
from nodeagent.host.speakers import Speakers
from nodeagent.observed import nodes
from nodeagent.observed.kernel import Port
from nodeagent.settings import Settings
from nodeagent.telemetry.metrics.tables import Tables, rows

if TYPE_CHECKING:  # the API's client, only in a cluster
    from nodeagent.agent.assigned import Assigned

_SPEAKERS: Final = "bfd"  # directory below that of run files
_LOOK: Final = 1.0  # seconds between two looks at sessions, and at routers outside
_PATIENCE: Final = 0.3  # seconds in which a router answers
_SUFFIXES: Final = (".yaml", ".yml", ".json")
_LIMIT: Final = 1 << 20  # bytes of a file
_ALLOWANCE: Final = 300.0  # seconds that a turn may take, its wait included: some thousand changes of milliseconds


@contextmanager
def gateways(context: Context) -> Iterator[Sequence[Loop]]:
    """The loops, where this node has a directory of parts or is assigned some; planned work asks it in any case."""
    settings = context.place.settings
    with ExitStack() as stack:
        assigned = _assigned(context, stack)
        work = _road(context, assigned)
        turn = Turn.of(context, LEASE, "is handing its egress traffic over")
        context.handover.register(PlannedWork(settings, work, turn, context.events))
        if not (settings.gateways.parts or assigned):
            said = {nodes.EGRESS_SESSIONS: None, nodes.EGRESS_DRAIN: None}
            context.reporter.publish(
                Report(NAME, State.DONE, "", "NoGateways", {"enabled": False}, {}, said, rest="off")
            )
            yield ()
            return
        yield _Job(context, assigned).loops


def _road(context: Context, assigned: Assigned | None) -> Road:
    settings = context.place.settings
    connection = context.membership.connection if context.membership else None
    if assigned and connection:
        return withdrawn(settings, assigned.words, connection, WORK)
    return silenced(settings, connection, WORK)


def _assigned(context: Context, stack: ExitStack) -> Assigned | None:
    """What the coordinator assigns, followed; None where it programs nothing or there is no cluster."""
    settings, member = context.place.settings, context.membership
    programmed = kinds(settings.egress.mode)
    if not (programmed and member):
        return None
    from nodeagent.agent.assigned import Assigned  # noqa: PLC0415 - the API's client, only in a cluster

    place = stack.enter_context(opened(settings))  # a thread of its own has its own descriptors
    found = Assigned(member.connection, programmed, settings.node_name, place.store)
    member.expect_watches(found.ages)
    found.start()
    stack.callback(found.close)
    return found


class _Job:
    """The loops of a node with gateways: what they are built of, their speakers, their routers outside."""

    def __init__(self, context: Context, assigned: Assigned | None) -> None:
        settings = context.place.settings
        self._directory, self._assigned = settings.gateways.parts, assigned
        self._files = DrainFiles(settings.run_dir)
        self._tables = Tables(context.registry, COLUMNS)
        self._keeper = Keeper(
            self._parts, *planes(settings), context.reporter, settings.gateways.interval, self._speech, self._files.word
        )
        upstream = Upstream(lambda: self._keeper.found.parts, _answers, self._wake, _LOOK)
        self._upstream = upstream if settings.gateways.upstream else None
        chance = random.Random()  # noqa: S311 - jitter, no secret
        passage = Passage(lambda: self._keeper.found.parts, passing, self._wake, _LOOK, chance)
        self._passage = passage if settings.gateways.passage else None
        speakers = Speakers(f"{settings.run_dir}/{_SPEAKERS}")
        self._speaking = Speaking(self._found, speakers, silence, self._reason, self._wake, _LOOK, chance)
        turns = {NAME: self._keep, "egress-bfd": self._speaking.tick}
        if self._upstream:
            turns["egress-upstream"] = self._upstream.tick
        if self._passage:
            turns["egress-passage"] = self._passage.tick
        self._loops = {name: Controller(name, tick, context.watcher, chance) for name, tick in turns.items()}
        if assigned:
            assigned.heed(self._wake)
        self.loops = [Loop(each, settings.gateways.interval + _ALLOWANCE) for each in self._loops.values()]

    def _wake(self) -> None:
        self._loops[NAME].wake()

    def _keep(self) -> float:
        pause = self._keeper.tick()
        parts = self._keeper.found.parts
        counted = {each.owner: counters(each.namespace) for each in parts}
        self._tables.show(rows(series(parts, self._speaking.heard, counted)))
        return pause

    def _parts(self) -> Parts:
        """What the files and the coordinator say; two parts for one port are a problem of the later."""
        found = parts(self._directory) if self._directory else Parts()
        if self._assigned is None:
            return found
        given = self._assigned.parts()
        taken = {part.port for part in found.parts}
        twice = [part for part in given.parts if part.port in taken]
        doubled = [f"gateway {part.owner}: the port {part.port} is in a file too" for part in twice]
        ours = (part for part in given.parts if part not in twice)
        return Parts((*found.parts, *ours), (*found.problems, *given.problems, *doubled))

    def _found(self) -> tuple[Sequence[GatewayPart], bool]:
        found = self._keeper.found
        return found.parts, self._keeper.looked and not found.problems

    def _speech(self) -> Speech:
        return self._speaking.heard

    def _reason(self, part: GatewayPart) -> Quiet | None:
        """Why a gateway is to be silent, None while nobody knows whether it is.

        A drain that the coordinator heeds is no reason: it takes the nexthop out.
        """
        dead = self._upstream.dead(part.namespace) if self._upstream else ""
        if dead:
            return Quiet("UpstreamDead", f"nobody answers for {dead} outside")
        if self._passage and (stuck := self._passage.stuck(part.namespace)):
            return Quiet("NothingForwarded", stuck)
        if self._assigned is None and self._files.word():
            return Quiet("Drained", "the node is drained")
        return None if dead is None else LOUD


def _answers(part: GatewayPart, link: str, leg: Leg) -> bool:
    """Whether a router outside answers for its address."""
    ask = neighbours.owners if leg.version == 6 else arp.owners
    try:
        return bool(namespaces.within(part.namespace, lambda: ask(link, leg.router, _PATIENCE)))
    except OSError:
        return False


def remove(settings: Settings, namespace: str) -> None:
    """Take one gateway of this node away, with its speaker and its port."""
    Speakers(f"{settings.run_dir}/{_SPEAKERS}").end(namespace)
    kernel, switch = planes(settings)
    for change in lacking(Parts(), kernel, switch).changes:
        if change.fact.namespace == namespace:
            (switch if isinstance(change.fact, Port) else kernel).carry_out(change)


def planes(settings: Settings) -> tuple[DataPlane, DataPlane]:
    """The kernel and the switch of this node."""
    from nodeagent.host.gatewaykernel import GatewayKernel  # noqa: PLC0415 - netlink, where there are gateways
    from nodeagent.ovn.switch import Switch  # noqa: PLC0415 - OVSDB, likewise

    return GatewayKernel(PREFIX), Switch(settings.gateways.switch, settings.gateways.bridge)


def parts(directory: str) -> Parts:
    """What the files of the directory say, by name; what cannot be used is a problem, two files for one port too."""
    found: dict[str, GatewayPart] = {}
    problems: list[str] = []
    try:
        names = sorted(name for name in os.listdir(directory) if name.endswith(_SUFFIXES))
    except OSError as error:
        return Parts((), (f"{directory}: {error.strerror}",))
    for name in names:
        try:
            part = _part(f"{directory}/{name}", found)
        except Rejected as error:
            problems.append(str(error))
        else:
            found[part.port] = part
    return Parts(tuple(found.values()), tuple(problems))


def _part(path: str, others: Container[str]) -> GatewayPart:
    """The part in a file, whose port is not among `others`."""
    try:
        with open(path, "rb") as file:
            data = file.read(_LIMIT + 1)
        if len(data) > _LIMIT:
            raise _refused(path, "", f"is larger than {_LIMIT} bytes")
        part = part_of(read_yaml(data), path)
    except OSError as error:
        raise _refused(path, "", error.strerror or "cannot be read") from None
    except ValueError as error:
        raise _refused(path, "", str(error)) from None
    if part.port in others:
        raise _refused(path, "$.port", f"{part.port} is another gateway's too")
    return part


def _refused(path: str, field: str, message: str) -> Rejected:
    return Rejected([Problem(path, field, message)])
