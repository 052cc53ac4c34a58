"""What the status of a gateway says that we program. Pure.

Invariant: a status is a function of what was seen and of the status before, whose times stay while what they date does;
the same again is no change. Source: the CRD vpc-egress-gateways.kubeovn.io v1; `sessions` and `parts` are our own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from nodeagent.egress.assignment import assignments
from nodeagent.egress.demand import FAMILIES
from nodeagent.egress.findings import SESSIONS, UNWATCHED, UP
from nodeagent.egress.sight import Sight
from nodeagent.egress.site import Site
from nodeagent.egress.withdrawal import Withdrawal
from nodeagent.errors import Problem

VALIDATED: Final = "Validated"
PROGRAMMED: Final = "Programmed"
READY: Final = "Ready"
DEGRADED: Final = "Degraded"

_LONGEST: Final = 2000  # characters of a message
_WORKLOAD: Final = {"apiVersion": "nodeagent.io/v1alpha1", "kind": "EgressGateway"}

Status = Mapping[str, Any]


@dataclass(frozen=True)
class Outcome:
    """What came of a round: why rows were not written ("" where they were), addresses waited for, what is withdrawn."""

    failure: str = ""
    waiting: tuple[str, ...] = ()
    withdrawal: Withdrawal = field(default_factory=Withdrawal)


@dataclass(frozen=True)
class _Said:
    """A condition without its times."""

    type: str
    holds: bool
    reason: str
    message: str = ""


def refused(sight: Sight, now: str) -> Status:
    """The status of one that asks for what cannot be: what it had stays, with what is wrong; `now` is RFC 3339."""
    told = _told(sight.problems)
    said = [_Said(VALIDATED, False, "Invalid", told), _Said(READY, False, "Invalid", "see Validated")]
    kept = {key: value for key, value in sight.read.status.items() if key != "conditions"}
    return {"phase": "Pending", "ready": False, **kept, "conditions": _conditions(sight, said, now)}


def status(sight: Sight, site: Site, outcome: Outcome, now: str) -> Status:
    """The status of one that has no problems; `now` is RFC 3339."""
    assert sight.asked is not None  # noqa: S101 - what has no problems was asked for
    gateway, instances = sight.asked.gateway, sight.instances
    said = tuple(_said(sight, outcome))
    ready = next(each.holds for each in said if each.type == READY)
    whole = ready and not next(each.holds for each in said if each.type == DEGRADED)
    return {
        "phase": "Completed" if whole else "Processing" if instances else "Pending",
        "ready": ready,
        "replicas": gateway.replicas,
        "internalIPs": [",".join(each.internal) for each in instances],
        "externalIPs": [",".join(each.external) for each in instances],
        "workload": {**_WORKLOAD, "name": gateway.name, "nodes": [each.node for each in instances]},
        "sessions": _sessions(sight, outcome.withdrawal),
        "parts": [dict(each) for each in assignments(sight.asked, site)],
        "conditions": _conditions(sight, said, now),
    }


def _said(sight: Sight, outcome: Outcome) -> Iterable[_Said]:
    yield _Said(VALIDATED, True, "Valid")
    done = not outcome.failure
    yield _Said(PROGRAMMED, done, "Programmed" if done else "NotWritten", outcome.failure)
    served = _served(sight, outcome.withdrawal)
    yield _Said(READY, done and not served, "NoNexthop" if served else "Serving" if done else "NotWritten", served)
    missing = "; ".join(_missing(sight, outcome))
    yield _Said(DEGRADED, bool(missing), "Incomplete" if missing else "Complete", missing)


def _served(sight: Sight, withdrawal: Withdrawal) -> str:
    """What keeps traffic from leaving: a version of IP without any nexthop that works; "" if nothing does."""
    asked = sight.asked
    if asked is None or not any(asked.nexthops(version) for version in FAMILIES):
        return "no node carries it"
    dead = []
    for version in FAMILIES:
        addresses = asked.nexthops(version).values()
        works = [each for each in addresses if sight.sessions.get(each, UP) == UP and each not in withdrawal.taken]
        if addresses and not works:
            dead.append(f"IPv{version}")
    return f"no nexthop of {' and '.join(dead)} works" if dead else ""


def _missing(sight: Sight, outcome: Outcome) -> Iterable[str]:
    """What is less than was asked for."""
    assert sight.asked is not None  # noqa: S101 - as above
    wanted = sight.asked.gateway.replicas
    if outcome.waiting:
        yield f"waits for the addresses of {', '.join(outcome.waiting)}"
    elif len(sight.instances) < wanted:
        yield f"{len(sight.instances)} of {wanted} instances have a node"
    for address, reason in sorted(outcome.withdrawal.taken.items()):
        yield f"{address} is withdrawn: {reason}"
    for address, reason in sorted(outcome.withdrawal.refused.items()):
        yield f"{address} should be withdrawn ({reason}), but it is the last that works"
    yield from (each.message for each in sight.findings if each.code in SESSIONS)  # rows are written as this is said


def _sessions(sight: Sight, withdrawal: Withdrawal) -> list[dict[str, Any]]:
    """One a nexthop, by address."""
    hosts = {address: each.node for each in sight.instances for address in each.internal}
    found = []
    for address, node in sorted(hosts.items()):
        reason = withdrawal.taken.get(address) or withdrawal.refused.get(address)
        found.append(
            {
                "nexthop": address,
                "node": node,
                "state": sight.sessions.get(address, UNWATCHED),
                "withdrawn": address in withdrawal.taken,
                **({"reason": str(reason)} if reason else {}),
            }
        )
    return found


def _told(problems: Iterable[Problem]) -> str:
    found = (f"{each.path}: {each.message}" + (f"; {each.advice}" if each.advice else "") for each in problems)
    return "\n".join(sorted(set(found)))


def _conditions(sight: Sight, said: Iterable[_Said], now: str) -> list[dict[str, Any]]:
    """The conditions with their times, and those of other types as they are."""
    before = {each.get("type"): each for each in sight.read.status.get("conditions") or ()}
    found = {each.type: _dated(each, before.get(each.type, {}), sight.read.generation, now) for each in said}
    return [*found.values(), *(each for kind, each in sorted(before.items(), key=str) if kind not in found)]


def _dated(said: _Said, before: Mapping[str, Any], generation: int, now: str) -> dict[str, Any]:
    wanted = {
        "type": said.type,
        "status": str(said.holds),
        "reason": said.reason,
        "message": said.message[:_LONGEST],
        "observedGeneration": generation,
    }
    moved = before.get("status") != wanted["status"]
    changed = moved or any(before.get(key) != value for key, value in wanted.items())
    return wanted | {
        "lastTransitionTime": now if moved else before["lastTransitionTime"],
        "lastUpdateTime": now if changed else before["lastUpdateTime"],
    }
