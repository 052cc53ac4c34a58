"""What is wrong with the rows of a gateway that somebody else programs, and with its sessions. Pure.

Invariant: rows that are as the object asks for them give no finding; each finding names the gateway and the row, and
says what a person would see.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from nodeagent.changes.ovn import Delete, Edit, Insert, New, Transaction, Update, titled
from nodeagent.egress.demand import FAMILIES, Demand
from nodeagent.egress.rows import DROP
from nodeagent.observed.northbound import ADDRESS_SET, BFD, GROUP, POLICY, Northbound, endpoints

UP: Final = "up"  # of a session, in the words of OVN, and of BIRD in lower case
UNWATCHED: Final = "unwatched"  # in ours: there is no session


class Code(StrEnum):
    """What can be wrong."""

    MISSING_ROW = "MissingRow"
    MISSING_POLICY = "MissingPolicy"
    MISSING_DROP = "MissingDropPolicy"
    MISSING_SESSION = "MissingSession"
    EXTRA_ROW = "ExtraRow"
    LEAKED_POLICY = "LeakedPolicy"
    WRONG_MATCH = "WrongMatch"
    WRONG_NEXTHOPS = "WrongNexthops"
    WRONG_SESSIONS = "WrongSessions"
    WRONG_TIMERS = "WrongTimers"
    WRONG_MEMBERS = "WrongMembers"
    WRONG_ROW = "WrongRow"
    DANGLING_SET = "DanglingAddressSet"
    ORPHAN = "OrphanRow"
    SESSION_DOWN = "SessionDown"
    ALL_DOWN = "AllSessionsDown"
    STALE_UP = "StaleSession"
    REFUSED = "GatewayRefused"


SESSIONS: Final = frozenset({Code.SESSION_DOWN, Code.ALL_DOWN, Code.STALE_UP})  # what no edit of a row mends


@dataclass(frozen=True, order=True)
class Finding:
    gateway: str
    code: Code
    message: str

    def __str__(self) -> str:
        return f"{self.gateway}: {self.code}: {self.message}"

    def facts(self) -> dict[str, str]:
        return {"gateway": self.gateway, "code": str(self.code), "message": self.message}


def findings(
    asked: Demand,
    missing: Transaction,
    seen: Northbound,
    local: Mapping[str, str] | None = None,
    resting: Container[str] = (),
) -> tuple[Finding, ...]:
    """Findings about one gateway: from the edits that would mend it, and from its sessions.

    `local` has the state of each session as the gateway's own end tells it, by the address inside; `resting` are the
    addresses of withdrawn nexthops, whose sessions OVN puts to rest.
    """
    key = asked.gateway.key
    told = [_edited(edit, asked) for edit in missing.edits]
    told += _dangling(key, seen)
    told += _sessions(asked, seen, local or {}, resting)
    return tuple(sorted({Finding(key, code, message) for code, message in told}))


def orphans(known: frozenset[str], vendor: str, seen: Northbound) -> tuple[Finding, ...]:
    """Rows of gateways for which there is no object."""
    return tuple(
        Finding(owner, Code.ORPHAN, f"{row.table} {titled(row)} belongs to a gateway that does not exist")
        for owner in sorted(seen.owners() - known)
        for row in seen.owned(owner)
        if row.said("vendor") == vendor
    )


def sessions(asked: Demand, seen: Northbound) -> dict[str, str]:
    """State of the router's end of each session, by nexthop: as OVN has it, or "missing"."""
    found = {}
    for version in FAMILIES:
        if asked.watched(version):
            for address in asked.nexthops(version).values():
                row = seen.named(BFD, endpoints({"logical_port": asked.bfd_port, "dst_ip": address}))
                found[address] = (row.columns.get("status") or "down") if row else "missing"
    return found


Told = tuple[Code, str]


def _edited(edit: Edit, asked: Demand) -> Told:
    match edit:
        case Insert():
            return _absent(edit, asked)
        case Delete():
            return _extra(edit, asked)
        case Update():
            return _changed(edit)


_ABSENT: Final = {BFD: Code.MISSING_SESSION, POLICY: Code.MISSING_POLICY}


def _absent(edit: Insert, asked: Demand) -> Told:
    code = Code.MISSING_DROP if edit.columns.get("priority") == DROP else _ABSENT.get(edit.table, Code.MISSING_ROW)
    where = f" on router {asked.router}" if edit.table == POLICY else ""
    return code, f"{edit.table} {edit.label}{where} is missing"


def _extra(edit: Delete, asked: Demand) -> Told:
    row = edit.row
    if row.table == POLICY and (edit.holder is None or edit.holder.name != asked.router):
        where = f"router {edit.holder.name}" if edit.holder else "no router"
        return Code.LEAKED_POLICY, f"{row.table} {titled(row)} is on {where}; the gateway belongs to {asked.router}"
    return Code.EXTRA_ROW, f"{row.table} {titled(row)} is not asked for"


_CHANGED: Final = {
    "match": Code.WRONG_MATCH,
    "nexthops": Code.WRONG_NEXTHOPS,
    "bfd_sessions": Code.WRONG_SESSIONS,
    "min_rx": Code.WRONG_TIMERS,
    "min_tx": Code.WRONG_TIMERS,
    "detect_mult": Code.WRONG_TIMERS,
    "ports": Code.WRONG_MEMBERS,
    "addresses": Code.WRONG_MEMBERS,
}


def _changed(edit: Update) -> Told:
    codes = [code for name, code in _CHANGED.items() if name in edit.columns]
    told = "; ".join(
        f"{name} {_compared(edit.row.columns.get(name), value)}" for name, value in sorted(edit.columns.items())
    )
    return (codes or [Code.WRONG_ROW])[0], f"{edit.row.table} {titled(edit.row)}: {told}"


def _compared(has: Any, wanted: Any) -> str:
    """What differs: of sets, what is missing and what is too much."""
    if not isinstance(wanted, frozenset):
        return f"is {has!r}, should be {wanted!r}"
    before = has or frozenset()
    parts = [("lacks", wanted - before), ("has also", before - wanted)]
    return " and ".join(f"{word} {_listed(members)}" for word, members in parts if members)


def _listed(members: frozenset[Any]) -> str:
    return ", ".join(sorted(each.label if isinstance(each, New) else str(each) for each in members))


_SET: Final = re.compile(r"\$([A-Za-z_.][A-Za-z_.0-9]*)")


def _dangling(key: str, seen: Northbound) -> Iterator[Told]:
    """A policy that names an address set that is not there makes OVN compute everything again, for ever."""
    for row in seen.owned(key):
        if row.table == POLICY:
            for name in sorted(set(_SET.findall(row.columns["match"]))):
                if not _there(name, seen):
                    yield Code.DANGLING_SET, f"{row.table} {titled(row)} names ${name}, which does not exist"


def _there(name: str, seen: Northbound) -> bool:
    """Whether there is such an address set, or a port group from which OVN derives it."""
    group = name.removesuffix("_ip4").removesuffix("_ip6")
    return bool(seen.named(ADDRESS_SET, name) or (group != name and seen.named(GROUP, group)))


def _sessions(asked: Demand, seen: Northbound, local: Mapping[str, str], resting: Container[str]) -> Iterator[Told]:
    states = {address: state for address, state in sessions(asked, seen).items() if address not in resting}
    for address, state in sorted(states.items()):
        if state == UP and local.get(address, UP) != UP:
            yield Code.STALE_UP, f"OVN has the session with {address} up, the gateway has it {local[address]}"
        elif state not in (UP, "missing"):
            yield Code.SESSION_DOWN, f"the session with {address} is {state}"
    if states and UP not in states.values():
        yield Code.ALL_DOWN, "no session is up: nothing leaves through this gateway"
