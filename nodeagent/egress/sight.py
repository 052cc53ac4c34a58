"""A gateway beside its rows: what it asks for, what is missing, what is wrong. Pure.

Invariant: every gateway has a sight; one that asks for what cannot be has problems and no plan, so that its rows are
left as they are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import combinations

from nodeagent.changes.ovn import Transaction
from nodeagent.egress.demand import Instance, demand, reported
from nodeagent.egress.difference import difference, foreign
from nodeagent.egress.findings import Finding, findings, sessions
from nodeagent.egress.gateway import Gateway
from nodeagent.egress.inventory import Inventory
from nodeagent.egress.rows import KUBE_OVN, rows
from nodeagent.egress.site import Site
from nodeagent.errors import Problem, Rejected
from nodeagent.observed.northbound import Northbound


@dataclass(frozen=True)
class Sight:
    """`plan` would make the rows what they should be; `sessions` has the state of each by nexthop."""

    key: str
    gateway: Gateway | None = None
    problems: tuple[Problem, ...] = ()
    instances: tuple[Instance, ...] = ()
    plan: Transaction = field(default_factory=lambda: Transaction(""))
    findings: tuple[Finding, ...] = ()
    sessions: Mapping[str, str] = field(default_factory=dict)

    @property
    def up(self) -> int:
        """Sessions that the router has up."""
        return sum(state == "up" for state in self.sessions.values())

    @property
    def well(self) -> bool:
        return not (self.problems or self.findings)

    def facts(self) -> dict[str, object]:
        gateway = self.gateway
        return {
            "gateway": self.key,
            "kind": gateway.kind if gateway else "",
            "vpc": gateway.vpc if gateway else "",
            "instances": [vars(each) for each in self.instances],
            "sessions": dict(self.sessions),
            "problems": [vars(each) for each in self.problems],
            "findings": [each.facts() for each in self.findings],
        }


def sights(found: Inventory, seen: Northbound) -> tuple[Sight, ...]:
    """All gateways as Kube-OVN's controller programs them, sorted."""
    shared = _shared(found)
    told = [sight(each, found.site, seen, shared.get(key, ())) for key, each in found.gateways.items()]
    told += [Sight(key, problems=problems) for key, problems in found.refused.items()]
    return tuple(sorted(told, key=lambda each: each.key))


def sight(gateway: Gateway, site: Site, seen: Northbound, problems: tuple[Problem, ...] = ()) -> Sight:
    """One gateway that Kube-OVN's controller programs; `problems` are those that it has with others."""
    instances = reported(gateway)
    try:
        asked = demand(gateway, site, instances)
    except Rejected as error:
        return Sight(gateway.key, gateway, (*error.problems, *problems), instances)
    wanted = rows(asked, KUBE_OVN, seen)
    plan = difference(gateway.key, KUBE_OVN, wanted, seen)
    return Sight(
        key=gateway.key,
        gateway=gateway,
        problems=(*problems, *foreign(gateway.key, KUBE_OVN, wanted, seen)),
        instances=instances,
        plan=plan,
        findings=findings(asked, plan, seen),
        sessions=sessions(asked, seen),
    )


def _shared(found: Inventory) -> Mapping[str, tuple[Problem, ...]]:
    """Addresses that two gateways want, told at both of them."""
    wanted: dict[tuple[str, str], list[tuple[Gateway, str]]] = {}
    for each in found.gateways.values():
        for place, path in _wanted(each):
            wanted.setdefault(place, []).append((each, path))
    problems: dict[str, list[Problem]] = {}
    for (_, address), claims in wanted.items():
        for (one, one_path), (other, other_path) in combinations(claims, 2):
            for mine, path, theirs in ((one, one_path, other), (other, other_path, one)):
                message = f"{address} is also asked for by {theirs.title}"
                problems.setdefault(mine.key, []).append(Problem(mine.title, path, message, "give another address"))
    return {key: tuple(each) for key, each in problems.items()}


def _wanted(gateway: Gateway) -> Iterator[tuple[tuple[str, str], str]]:
    """Each address that is given, with its subnet, and the field that gives it."""
    inside = gateway.internal_subnet or f"default of {gateway.vpc}"
    for side, subnet, entries in (
        ("internal", inside, gateway.internal_ips),
        ("external", gateway.external_subnet, gateway.external_ips),
    ):
        for index, entry in enumerate(entries):
            for address in entry.split(","):
                yield (subnet, address), f"$.spec.{side}IPs[{index}]"
