"""Which nexthops of a gateway take no new traffic, and why. Pure.

Invariant: what is withdrawn leaves another nexthop of its family that works, unless an administrator forces it; the
same nexthops stay withdrawn while their reasons last, so that two nodes that ask at once get their turns one by one.
A withdrawn nexthop keeps its row; but OVN puts a session to rest that no policy names, so what it says meanwhile counts
for nothing, and a return takes as long as a session takes to come up.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from nodeagent.egress.demand import FAMILIES, Demand
from nodeagent.egress.findings import UP
from nodeagent.egress.site import Node
from nodeagent.observed.nodes import FORCE

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
class Heard:
    """Of one nexthop: `state` is the router's end, `local` the gateway's own ("" for unknown)."""

    state: str
    local: str = ""
    withdrawn: bool = False


@dataclass(frozen=True)
class Record:
    """What is remembered of a nexthop: seconds by the monotonic clock, `contradicted` since when, None if it is not.

    While it is `suppressed`, `cause` says for what.
    """

    state: str = ""
    penalty: float = 0.0
    at: float = 0.0
    suppressed: bool = False
    cause: Reason = Reason.FLAPPING
    contradicted: float | None = None

    def after(self, heard: Heard, now: float, detection: float) -> Record:
        """The record after one more look. A contradiction that lasts for longer than `detection` suppresses at once."""
        penalty = self.penalty * 0.5 ** ((now - self.at) / _HALF_LIFE)
        penalty += self.state == UP != heard.state and not heard.withdrawn
        against = heard.state == UP and heard.local not in ("", UP)
        since = (now if self.contradicted is None else self.contradicted) if against else None
        overdue = since is not None and now - since > detection
        penalty = max(penalty, _SUPPRESSED) if overdue else penalty
        suppressed = penalty >= (_REUSED if self.suppressed else _SUPPRESSED)
        stays = self.cause if self.suppressed else Reason.FLAPPING
        cause = Reason.CONTRADICTED if overdue else stays
        return Record(heard.state, penalty, now, suppressed, cause, since)


@dataclass(frozen=True)
class Withdrawal:
    """What is withdrawn, and what should be but is the last nexthop of its family: reasons by address inside."""

    taken: Mapping[str, str] = field(default_factory=dict)
    refused: Mapping[str, str] = field(default_factory=dict)


def remembered(
    asked: Demand, heard: Mapping[str, Heard], before: Mapping[str, Record], now: float
) -> dict[str, Record]:
    """The records of the nexthops that the gateway has now; those that are gone are forgotten."""
    detection = asked.gateway.bfd.detection if asked.gateway.bfd else 0.0
    return {address: before.get(address, Record(at=now)).after(each, now, detection) for address, each in heard.items()}


def heard(
    asked: Demand, sessions: Mapping[str, str], nodes: Mapping[str, Node], standing: Container[str]
) -> dict[str, Heard]:
    """What both ends say of each session; `standing` are the addresses that are withdrawn."""
    told = asked.told(nodes)
    return {address: Heard(state, told[address], address in standing) for address, state in sessions.items()}


def withdrawal(
    asked: Demand,
    nodes: Mapping[str, Node],
    records: Mapping[str, Record],
    standing: Container[str],
) -> Withdrawal:
    """What is withdrawn now; `standing` are the addresses that are so already."""
    found = Withdrawal()
    for version in FAMILIES:
        addresses = frozenset(asked.nexthops(version).values())
        usable = {each for each in addresses if records[each].state == UP} if asked.watched(version) else addresses
        reasons = _reasons(asked, version, nodes, records)
        taken, refused = _shared_out(reasons, frozenset(usable), standing)
        found = Withdrawal({**found.taken, **taken}, {**found.refused, **refused})
    return found


def _shared_out(
    reasons: Mapping[str, Reason], usable: frozenset[str], standing: Container[str]
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
    asked: Demand, version: int, nodes: Mapping[str, Node], records: Mapping[str, Record]
) -> dict[str, Reason]:
    found = {
        address: _reason(nodes.get(node), records.get(address, Record()))
        for node, address in asked.nexthops(version).items()
    }
    return {address: reason for address, reason in found.items() if reason}


def _reason(node: Node | None, record: Record) -> Reason | None:
    if node and node.drain == FORCE:
        return Reason.FORCED
    if node and node.drain:
        return Reason.DRAINED
    return record.cause if record.suppressed else None
