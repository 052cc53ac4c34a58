"""What the commands of `nodeagent egress` do; loaded when one of them runs."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from nodeagent.agent.northbound import objects, opened
from nodeagent.changes.ovn import Transaction
from nodeagent.cli import show
from nodeagent.cli.codes import OK, PENDING
from nodeagent.cli.machineconfig import settings_of
from nodeagent.egress import bfdport
from nodeagent.egress.findings import Finding, orphans
from nodeagent.egress.inventory import inventory, kinds
from nodeagent.egress.node.keeper import Parts
from nodeagent.egress.programming import departures
from nodeagent.egress.rows import KUBE_OVN
from nodeagent.egress.sight import Sight, sights
from nodeagent.errors import Problem, Rejected
from nodeagent.machineconfig.yamldocuments import parse_yaml
from nodeagent.observed.northbound import Row


def list_command(arguments: argparse.Namespace) -> int:
    """A line a gateway."""
    found = _seen(arguments).told
    if arguments.output == "json":
        show.emit({"gateways": [each.facts() for each in found]})
    else:
        print("\n".join(map(_line, found)) or "there are no egress gateways")
    return OK


def show_command(arguments: argparse.Namespace) -> int:
    """Everything of one gateway."""
    seen = _seen(arguments)
    (sight,) = _chosen(seen.told, arguments.gateway)
    rows = seen.rows.get(sight.key, ())
    if arguments.output == "json":
        show.emit({**sight.facts(), "rows": [_row(each) for each in rows]})
    else:
        print("\n".join(_lines(sight, rows)))
    return OK


def plan_command(arguments: argparse.Namespace) -> int:
    """The edits that would make the rows what the objects ask for; 3 if there are any."""
    seen = _seen(arguments)
    found = _chosen(seen.told, arguments.gateway)
    concerned = {each.key for each in found} | {each.gateway.vpc for each in found if each.gateway}
    shared = [each for each in seen.shared if not arguments.gateway or each.owner in concerned]
    going = {each.owner for each in shared}
    plans = [plan for plan in (*shared, *(each.plan for each in found if each.key not in going)) if plan]
    if arguments.output == "json":
        edits = [
            {"gateway" if "/" in plan.owner else "vpc": plan.owner, "edits": [edit.describe() for edit in plan.edits]}
            for plan in plans
        ]
        show.emit({"plans": edits, "problems": [vars(problem) for each in found for problem in each.problems]})
    else:
        show.warn(problem for each in found for problem in each.problems)
        print("\n".join(plan.describe() for plan in plans) or "nothing to do")
    return PENDING if plans else OK


def diff_command(arguments: argparse.Namespace) -> int:
    """What is wrong; 3 if anything is."""
    seen = _seen(arguments)
    found = _chosen(seen.told, arguments.gateway)
    told = [*(finding for each in found for finding in each.findings), *(() if arguments.gateway else seen.lost)]
    problems = [problem for each in found for problem in each.problems]
    if arguments.output == "json":
        show.emit({"findings": [each.facts() for each in told], "problems": [vars(each) for each in problems]})
    else:
        show.warn(problems)
        print("\n".join(map(str, told)) or "nothing is wrong with the rows")
    return PENDING if told or problems else OK


@dataclass(frozen=True)
class Seen:
    """All gateways beside their rows, and the rows by gateway.

    `shared` are edits to what serves several, and to what is left of those that are gone; `lost` tells of rows of
    others whose gateways do not exist.
    """

    told: tuple[Sight, ...]
    rows: Mapping[str, tuple[Row, ...]]
    shared: tuple[Transaction, ...]
    lost: tuple[Finding, ...]


def _seen(arguments: argparse.Namespace) -> Seen:
    settings = settings_of(arguments)
    documents = _documents(arguments.objects) if arguments.objects else objects(settings)
    found = inventory(documents, kinds(settings.egress.mode))
    with opened(settings, arguments.nb or settings.egress.northbound) as link, link.view() as seen:
        told = sights(found, seen)
        known = frozenset(each.key for each in told)
        return Seen(
            told,
            {each.key: seen.owned(each.key) for each in told},
            (*departures(found, seen), *bfdport.plans(found, seen)) if found.programmed else (),
            orphans(known, KUBE_OVN, seen),
        )


def _documents(paths: Iterable[str]) -> Iterator[Mapping[str, Any]]:
    """The objects of files; a List gives its items."""
    for path in paths:
        with open(path, encoding="utf-8") as file:
            text = file.read()
        for index, document in enumerate(parse_yaml(text)):
            if not isinstance(document, dict):
                raise Rejected([Problem(path, f"document {index + 1}", "is not an object")])
            yield from document.get("items") or (document,)


def node_command(arguments: argparse.Namespace) -> int:
    """What this node's gateways lack; 3 if anything, or if a part cannot be used."""
    from nodeagent.agent.gateways import parts, planes  # noqa: PLC0415 - netlink, by this command alone
    from nodeagent.egress.node.keeper import lacking  # noqa: PLC0415

    settings = settings_of(arguments)
    found = parts(settings.gateways.parts) if settings.gateways.parts else Parts()
    missing = lacking(found, *planes(settings))
    described = [each.describe() for each in missing.changes]
    if arguments.output == "json":
        owners = [part.owner for part in found.parts]
        show.emit({"gateways": owners, "changes": described, "problems": list(found.problems)})
    else:
        lines = [*found.problems, *described]
        print("\n".join(lines) or f"{show.counted(len(found.parts), 'gateway')} in place")
    return PENDING if described or found.problems else OK


def _chosen(found: tuple[Sight, ...], key: str | None) -> tuple[Sight, ...]:
    chosen = tuple(each for each in found if key in (None, each.key))
    if key and not chosen:
        known = ", ".join(each.key for each in found) or "none"
        raise Rejected([Problem(key, "", "there is no such egress gateway", f"known are: {known}")])
    return chosen


def _line(sight: Sight) -> str:
    gateway = sight.gateway
    state = "refused" if sight.problems else "ok" if sight.well else f"{len(sight.findings)} findings"
    bfd = f"{sight.up}/{len(sight.sessions)} up" if gateway and gateway.bfd else "no BFD"
    nodes = ",".join(each.node for each in sight.instances) or "-"
    return f"{sight.key:<40} {gateway.vpc if gateway else '-':<16} {nodes:<24} {bfd:<10} {state}"


def _lines(sight: Sight, rows: Iterable[Row]) -> Iterator[str]:
    yield _line(sight)
    for each in sight.instances:
        yield f"  instance on {each.node}: {', '.join(each.internal)} inside, {', '.join(each.external)} outside"
    yield from (f"  session {address}: {state}" for address, state in sorted(sight.sessions.items()))
    yield from (f"  row {row.table} {row.uuid} {_text(row)}" for row in rows)
    yield from (f"  {problem}" for problem in sight.problems)
    yield from (f"  {finding.code}: {finding.message}" for finding in sight.findings)


def _row(row: Row) -> dict[str, Any]:
    columns = {name: sorted(value) if isinstance(value, frozenset) else value for name, value in row.columns.items()}
    return {"table": row.table, "uuid": row.uuid, "columns": columns}


def _text(row: Row) -> str:
    return " ".join(f"{name}={value}" for name, value in _row(row)["columns"].items() if value not in (None, [], {}))
