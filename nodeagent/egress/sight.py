"""A gateway beside its rows: what it asks for, what is missing, what is wrong. Pure.

Invariant: every object has a sight; one that asks for what cannot be has problems and no plan, so that its rows are
left as they are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import combinations

from nodeagent.changes.ovn import Transaction
from nodeagent.egress import assignment, bfdport, placement
from nodeagent.egress.allocation import addressed
from nodeagent.egress.demand import FAMILIES, Demand, Instance, demand, reported
from nodeagent.egress.difference import difference, foreign
from nodeagent.egress.findings import UP, Finding, findings, sessions
from nodeagent.egress.gateway import Gateway
from nodeagent.egress.inventory import Inventory, Read
from nodeagent.egress.rows import DROP, KUBE_OVN, NODEAGENT, rows
from nodeagent.egress.site import family
from nodeagent.errors import Problem, Rejected
from nodeagent.observed.northbound import FAMILY, POLICY, ROUTER, ROUTER_PORT, SWITCH, Northbound


@dataclass(frozen=True)
class Sight:
    """`plan` would make the rows what they should be; `sessions` has the state of each by nexthop.

    `problems` are told with their fields, and `asked` is None where there are any that leave nothing to ask for.
    """

    key: str
    read: Read
    problems: tuple[Problem, ...] = ()
    instances: tuple[Instance, ...] = ()
    asked: Demand | None = None
    plan: Transaction = field(default_factory=lambda: Transaction(""))
    findings: tuple[Finding, ...] = ()
    sessions: Mapping[str, str] = field(default_factory=dict)

    @property
    def gateway(self) -> Gateway | None:
        return self.read.gateway

    @property
    def up(self) -> int:
        """Sessions that the router has up."""
        return sum(state == UP for state in self.sessions.values())

    @property
    def well(self) -> bool:
        return not (self.problems or self.findings)

    def facts(self) -> dict[str, object]:
        gateway = self.gateway
        return {
            "gateway": self.key,
            "kind": self.read.kind,
            "vpc": gateway.vpc if gateway else "",
            "instances": [vars(each) for each in self.instances],
            "sessions": dict(self.sessions),
            "withdrawn": sorted(standing(self.read)),
            "problems": [vars(each) for each in self.problems],
            "findings": [each.facts() for each in self.findings],
        }


def sights(found: Inventory, seen: Northbound) -> tuple[Sight, ...]:
    """All objects, sorted: those of Kube-OVN as its controller programs them, those that we program as we do."""
    shared = _shared(found)
    told = [_sight(each, found, seen, shared.get(key, ())) for key, each in found.objects.items()]
    told += [_clash(each) for each in found.clashing]
    return tuple(sorted(told, key=lambda each: (each.key, each.read.kind)))


def standing(read: Read) -> Mapping[str, str]:
    """The nexthops that are withdrawn, with the reason, by what the object's status says."""
    entries = read.status.get("sessions") or ()
    return {each["nexthop"]: each.get("reason", "") for each in entries if each.get("withdrawn")}


def planned(asked: Demand, seen: Northbound, withdrawn: frozenset[str]) -> Transaction:
    """The edits of a gateway that we program."""
    wanted = rows(asked, NODEAGENT, seen, withdrawn, _guarded(asked, seen))
    return difference(asked.gateway.key, NODEAGENT, wanted, seen)


def _clash(read: Read) -> Sight:
    advice = "give it another name: rows are known by it"
    return Sight(read.key, read, (Problem(f"{read.kind} {read.key}", "$.metadata.name", "is taken", advice),))


def _sight(read: Read, found: Inventory, seen: Northbound, shared: tuple[Problem, ...]) -> Sight:
    """One object; `shared` are the problems that it has with others."""
    gateway = read.gateway
    if gateway is None:
        return Sight(read.key, read, read.problems)
    if read.kind in found.programmed:
        return _ours(read, addressed(gateway, found.site), found, seen, shared)
    instances = reported(gateway)
    try:
        asked = demand(gateway, found.site, instances)
    except Rejected as error:
        return Sight(read.key, read, (*error.problems, *shared), instances)
    wanted = rows(asked, KUBE_OVN, seen)
    plan = difference(read.key, KUBE_OVN, wanted, seen)
    return Sight(
        key=read.key,
        read=read,
        problems=(*shared, *foreign(read.key, KUBE_OVN, wanted, seen)),
        instances=instances,
        asked=asked,
        plan=plan,
        findings=findings(asked, plan, seen),
        sessions=sessions(asked, seen),
    )


def _ours(read: Read, gateway: Gateway, found: Inventory, seen: Northbound, shared: tuple[Problem, ...]) -> Sight:
    """A gateway that we program, with the nexthops withdrawn that its status says are."""
    site = found.site
    problems = (*shared, *placement.problems(gateway))
    instances = () if problems else placement.placement(gateway, site.nodes)
    try:
        asked = demand(gateway, site, instances)
    except Rejected as error:
        return Sight(read.key, read, (*error.problems, *problems), instances)
    problems += (*assignment.problems(asked, site), *_unfounded(asked, found, seen))
    withdrawn = frozenset(standing(read))
    problems += foreign(read.key, NODEAGENT, rows(asked, NODEAGENT, seen, withdrawn), seen)
    if problems:
        return Sight(read.key, read, problems, instances, sessions=sessions(asked, seen))
    plan = planned(asked, seen, withdrawn)
    local = {address: state for address, state in asked.told(site.nodes).items() if state}
    told = findings(asked, plan, seen, local, withdrawn)
    return Sight(read.key, read, (), instances, asked, plan, told, sessions(asked, seen))


def _unfounded(asked: Demand, found: Inventory, seen: Northbound) -> Iterator[Problem]:
    """What the rows would hang from, and is not in the database, nor about to be."""
    watched = any(map(asked.watched, FAMILIES))
    vpc = found.site.vpcs[asked.gateway.vpc]
    ours = watched and bfdport.ours(vpc, found, seen)
    if ours and seen.named(ROUTER_PORT, asked.bfd_port) is None and (why := bfdport.lacking(vpc, found.site.nodes)):
        yield Problem(asked.gateway.title, "$.spec.bfd.enabled", why, "let a node be one that can take the BFD port")
    for path, table, name in (
        ("vpc", ROUTER, asked.router),
        ("internalSubnet", SWITCH, asked.switch),
        *([("bfd.enabled", ROUTER_PORT, asked.bfd_port)] if watched and not ours else []),
    ):
        if seen.named(table, name) is None:
            wrong, advice = f"there is no {table} {name} in the northbound database", "wait for Kube-OVN, or make it"
            yield Problem(asked.gateway.title, f"$.spec.{path}", wrong, advice)


def _guarded(asked: Demand, seen: Northbound) -> frozenset[int]:
    """The versions of IP whose traffic may be dropped while no gateway is up: a session was up once.

    Before, the drop would cut traffic that no gateway can take yet.
    """
    up = {family(address) for address, state in sessions(asked, seen).items() if state == UP}
    dropped = {
        row.said(FAMILY)
        for row in seen.owned(asked.gateway.key)
        if row.table == POLICY and row.columns["priority"] == DROP and _on(asked.router, row.uuid, seen)
    }
    return frozenset(version for version in FAMILIES if version in up or str(version) in dropped)


def _on(router: str, policy: str, seen: Northbound) -> bool:
    holder = seen.holder_of(policy)
    return holder is not None and holder.name == router


def _shared(found: Inventory) -> Mapping[str, tuple[Problem, ...]]:
    """Addresses that two gateways want, told at both of them."""
    wanted: dict[tuple[str, str], list[tuple[Gateway, str]]] = {}
    gateways = (each.gateway for each in found.objects.values() if each.gateway)
    for each in gateways:
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
