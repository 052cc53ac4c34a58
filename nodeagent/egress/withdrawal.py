"""Which nexthops of a gateway take no new traffic, and why. Pure.

Invariant: what is withdrawn leaves another nexthop of its family that works, unless an administrator forces it; the
same nexthops stay withdrawn while their reasons last, so that two nodes that ask at once get their turns one by one.
A withdrawn nexthop keeps its session: it can be watched, and come back at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final

from nodeagent.egress.demand import FAMILIES, Demand
from nodeagent.egress.site import Node

UP: Final = "up"
FORCE: Final = "force"  # what a node asks with; any other word is a plain drain
_HALF_LIFE: Final = 60.0  # seconds in which half of a penalty is forgotten
_SUPPRESSED: Final = 3.0  # at this penalty a nexthop goes, as with three failures in a minute
_REUSED: Final = 0.75  # and below this one it comes back; for both see RFC 2439, section 4.2


class Reason(StrEnum):
    """Why, in the order in which it counts."""

    FORCED = "Forced"
    DRAINED = "Drained"
    CONTRADICTED = "SessionContradicted"
    FLAPPING = "Flapping"


_ORDER: Final = {each: place for place, each in enumerate(Reason)}


@dataclass(frozen=True)
class Record:
    """What is remembered of a nexthop: seconds by the monotonic clock, `contradicted` since when, None if it is not."""

    state: str = ""
    penalty: float = 0.0
    at: float = 0.0
    suppressed: bool = False
    contradicted: float | None = None

    def after(self, state: str, local: str, now: float) -> Record:
        """The record once the router's end is `state` and the gateway's own end `local` ("" for unknown)."""
        penalty = self.penalty * 0.5 ** ((now - self.at) / _HALF_LIFE)
        penalty += self.state == UP != state
        against = state == UP and local not in ("", UP)
        return replace(
            self,
            state=state,
            penalty=penalty,
            at=now,
            suppressed=penalty >= (_REUSED if self.suppressed else _SUPPRESSED),
            contradicted=(now if self.contradicted is None else self.contradicted) if against else None,
        )


@dataclass(frozen=True)
class Withdrawal:
    """What is withdrawn, and what should be but is the last nexthop of its family: reasons by address inside."""

    taken: Mapping[str, str] = field(default_factory=dict)
    refused: Mapping[str, str] = field(default_factory=dict)


def remembered(
    asked: Demand, sessions: Mapping[str, str], nodes: Mapping[str, Node], before: Mapping[str, Record], now: float
) -> dict[str, Record]:
    """The records of the nexthops that the gateway has now; those that are gone are forgotten."""
    hosts = _hosts(asked)
    return {
        address: before.get(address, Record(at=now)).after(state, _local(address, nodes.get(hosts[address])), now)
        for address, state in sessions.items()
    }


def withdrawal(
    asked: Demand,
    nodes: Mapping[str, Node],
    records: Mapping[str, Record],
    standing: frozenset[str],
    now: float,
) -> Withdrawal:
    """What is withdrawn now; `standing` are the addresses that are so already."""
    found = Withdrawal({}, {})
    for version in FAMILIES:
        addresses = frozenset(asked.nexthops(version).values())
        usable = {each for each in addresses if records[each].state == UP} if asked.watched(version) else addresses
        reasons = _reasons(asked, version, nodes, records, now)
        taken, refused = _shared_out(reasons, frozenset(usable), standing)
        found = Withdrawal({**found.taken, **taken}, {**found.refused, **refused})
    return found


def _shared_out(
    reasons: Mapping[str, Reason], usable: frozenset[str], standing: frozenset[str]
) -> tuple[dict[str, Reason], dict[str, Reason]]:
    """Those that may go, and those that may not, in turn."""
    taken: dict[str, Reason] = {}
    refused: dict[str, Reason] = {}
    for address in sorted(reasons, key=lambda each: (each not in standing, _ORDER[reasons[each]], each)):
        forced = reasons[address] is Reason.FORCED
        left = usable - taken.keys() - {address}
        (taken if forced or left else refused)[address] = reasons[address]
    return taken, refused


def _reasons(
    asked: Demand, version: int, nodes: Mapping[str, Node], records: Mapping[str, Record], now: float
) -> dict[str, Reason]:
    detection = asked.gateway.bfd.detection if asked.gateway.bfd else 0.0
    found = {
        address: _reason(nodes.get(node), records.get(address, Record()), detection, now)
        for node, address in asked.nexthops(version).items()
    }
    return {address: reason for address, reason in found.items() if reason}


def _reason(node: Node | None, record: Record, detection: float, now: float) -> Reason | None:
    if node and node.drain == FORCE:
        return Reason.FORCED
    if node and node.drain:
        return Reason.DRAINED
    if record.contradicted is not None and now - record.contradicted > detection:
        return Reason.CONTRADICTED
    return Reason.FLAPPING if record.suppressed else None


def _local(address: str, node: Node | None) -> str:
    return node.sessions.get(address, "") if node else ""


def _hosts(asked: Demand) -> dict[str, str]:
    """The node of each address inside."""
    return {address: each.node for each in asked.instances for address in each.internal}
