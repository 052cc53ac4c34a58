"""Follows keepalived: wakes, looks at what the sources say, and tells what is true and what is wrong.

Invariants: keepalived is asked for its account only at the start and in doubt (something happened, or the time to probe
has come), never by the clock alone in between; what was last said is believed until something newer is heard. Nothing
here waits for the cluster, and a look that fails is made again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final, Protocol

from nodeagent.engine.report import Report, Reporter
from nodeagent.observed.vrrp import Removal, Transition, VrrpState
from nodeagent.vip.findings import Code, Finding
from nodeagent.vip.health import Health
from nodeagent.vip.inventory import Installation, installations
from nodeagent.vip.observe import Live, sight
from nodeagent.vip.report import report
from nodeagent.vip.truth import GRACE, Sight, belief, findings

NAME: Final = "vip"
IDLE: Final = 10.0  # seconds between two looks at which keepalived there is
_TOLD: Final = 10  # Events of one look
_OF_THE_LINK: Final = (Code.DUPLICATE_OWNER, Code.UNOWNED, Code.FOREIGN_VRID)
_SPACED: Final = 0.5  # seconds between two questions: each answer is a line in keepalived's log


class Ears(Protocol):
    """What is heard between two looks."""

    def heard(self) -> Mapping[str, Transition]:
        """The last transition of each instance."""
        ...

    def removals(self) -> tuple[Removal, ...]:
        """Addresses that another program has taken away."""
        ...


class Node(Live, Protocol):
    """The node, with the hardware addresses that others know it by."""

    def mac(self, interface: str) -> str:
        """The hardware address of an interface, "" if it has none."""
        ...


class Events(Protocol):
    """Writes Events on the Node; `kind` is Normal or Warning."""

    def record(self, kind: str, reason: str, message: str, /) -> None: ...


@dataclass(frozen=True)
class Fitness:
    """How fit this node is to hold the VIP: its health, the number that is tracked, what planned work takes from it."""

    health: Health
    value: int | None = None
    drained: int = 0


@dataclass(frozen=True)
class Look:
    """What was seen at once, and what of it is wrong."""

    sights: tuple[Sight, ...]
    findings: tuple[Finding, ...]
    fitness: Fitness


@dataclass(frozen=True)
class Audience:
    """Who is told: `looked` gets every look, for metrics and for the loops that only work beside a keepalived."""

    reporter: Reporter
    events: Events
    looked: Callable[[Look], None]


class VipController:
    """The loop's body. `clock` is the wall clock, `ticks` monotonic seconds, `probe_interval` seconds."""

    def __init__(
        self,
        node: Node,
        ears: Ears,
        fitness: Callable[[], Fitness],
        audience: Audience,
        probe_interval: float,
        clock: Callable[[], float],
        ticks: Callable[[], float],
    ) -> None:
        self._node = node
        self._ears = ears
        self._fitness = fitness
        self._audience = audience
        self._probe_interval = probe_interval
        self._clock = clock
        self._ticks = ticks
        self._last: tuple[Sight, ...] = ()
        self._asked = float("-inf")
        self._probed = float("-inf")
        self._woken = True
        self._open: frozenset[Finding] = frozenset()
        self._states: dict[str, VrrpState] = {}

    def woken(self) -> None:
        """Something has happened; called on any thread."""
        self._woken = True

    def tick(self) -> float:
        """Look once; returns the seconds until the next look."""
        now, started = self._clock(), self._ticks()
        sights = self._sights(now, started)
        self._last = sights
        found = tuple(each for one in sights for each in findings(one))
        look = Look(sights, found, self._fitness())
        self._audience.looked(look)
        self._audience.reporter.publish(self._report(look))
        self._tell(look)
        return self._pause(sights, now)

    # -- looking ------------------------------------------------------------------------------------------------------

    def _sights(self, now: float, started: float) -> tuple[Sight, ...]:
        present = installations(self._node)
        probe = started - self._probed >= self._probing()
        doubt = probe or self._doubted(present)
        if doubt and started - self._asked >= _SPACED:
            self._woken, self._asked = False, started
            self._probed = started if probe else self._probed
            sights = tuple(sight(self._node, each, now, probe=probe) for each in present)
            before = () if probe else self._last
        else:
            self._woken = doubt
            sights = tuple(Sight(each, now, self._node.assigned()) for each in present)
            before = self._last
        return tuple(self._completed(each, before) for each in sights)

    def _probing(self) -> float:
        """Seconds between two probes: what the link has said is checked soon where it was bad."""
        bad = any(each.code in _OF_THE_LINK for each in self._open)
        return min(IDLE, self._probe_interval) if bad else self._probe_interval

    def _doubted(self, present: tuple[Installation, ...]) -> bool:
        return self._woken or present != tuple(each.installation for each in self._last)

    def _completed(self, new: Sight, before: tuple[Sight, ...]) -> Sight:
        """The sight with what was heard, and with what the last one knew where nobody was asked again."""
        last = next((each for each in before if each.installation == new.installation), None)
        new = replace(new, heard=self._ears.heard(), removals=self._ears.removals())
        if last is None:
            return new
        if new.answers is None and not new.hung:
            new = replace(new, answers=last.answers, hung=last.hung)
        return replace(new, owners=_lasting(last, new), adverts=last.adverts)

    def _pause(self, sights: tuple[Sight, ...], now: float) -> float:
        """Soon where something has just moved, or was heard while keepalived had just been asked."""
        if self._woken:
            return _SPACED
        moving = [
            GRACE
            for each in sights
            for instance in each.installation.configuration.instances
            if not belief(instance, each).settled(now)
        ]
        if any(each.hung for each in sights):
            self._woken = True
        return min([IDLE, self._probe_interval, *moving])

    # -- telling ------------------------------------------------------------------------------------------------------

    def _report(self, look: Look) -> Report:
        return report(look.sights, look.findings, look.fitness.health, look.fitness.drained, self._node.mac)

    def _tell(self, look: Look) -> None:
        """Events: each transition, each finding that is new, and each that is gone."""
        self._tell_transitions(look.sights)
        found = frozenset(look.findings)
        for each in sorted(found - self._open)[:_TOLD]:
            self._audience.events.record("Warning", str(each.code), f"{each.subject}: {each.message}")
        for each in sorted(self._open - found)[:_TOLD]:
            self._audience.events.record("Normal", "VIPFindingGone", f"{each.subject}: no longer: {each.message}")
        self._open = found

    def _tell_transitions(self, sights: tuple[Sight, ...]) -> None:
        states = {
            instance.name: belief(instance, each).state
            for each in sights
            for instance in each.installation.configuration.instances
        }
        for name, state in states.items():
            before = self._states.get(name, VrrpState.UNKNOWN)
            if VrrpState.UNKNOWN not in (before, state) and before is not state:
                self._audience.events.record("Normal", "VIPTransition", f"{name} is {state}, and was {before}")
        self._states = states


def _lasting(last: Sight, new: Sight) -> Mapping[str, frozenset[str]]:
    """Owners that the link named: of an address that has moved since, nothing is known until it is asked for again."""
    here_before = {each.address for each in last.assigned or ()}
    here_now = {each.address for each in new.assigned or ()}
    return {
        address: owners for address, owners in last.owners.items() if (address in here_before) == (address in here_now)
    }
