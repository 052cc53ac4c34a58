"""What the nodes of a cluster say of their VIPs together: two that hold one address, peers that are set up differently.

Pure. Invariant: nothing follows from one node's word alone, and nothing from a state that has just begun: during a
fail-over two may both say that they hold the address. A node that is not Ready cannot take back what it said.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from nodeagent.observed import nodes
from nodeagent.observed.nodes import NodeView

SETTLED: Final = 15.0  # seconds: a fail-over, and the time that its report takes to the API server
_MOST: Final = 64  # instances of one node, addresses of one instance


class Reason(StrEnum):
    """What is wrong, as the reason of an Event."""

    DUPLICATE = "VIPDuplicateHolder"
    SILENT = "VIPHolderSilent"
    UNEQUAL = "VIPConfigurationUnequal"


@dataclass(frozen=True, order=True)
class Claim:
    """What one node says of one address. `since` is in seconds since the epoch, `alike` a digest of the set-up."""

    address: str
    node: str
    ready: bool
    instance: str
    held: bool
    since: float
    mac: str
    alike: str


@dataclass(frozen=True, order=True)
class Conflict:
    """Something that is wrong with `address` between `nodes`."""

    address: str
    reason: Reason
    nodes: tuple[str, ...]
    message: str


def claims(view: NodeView) -> tuple[Claim, ...]:
    """What the report of a node's agent says; nothing for one that is missing or damaged."""
    try:
        found = json.loads(view.said(nodes.REPORT) or "{}")
        instances = found.get("jobs", {}).get("vip", {}).get("instances", [])[:_MOST]
        return tuple(each for instance in instances for each in _claims(view, instance))
    except (ValueError, TypeError, KeyError, AttributeError):
        return ()


def _claims(view: NodeView, instance: Mapping[str, Any]) -> Iterator[Claim]:
    held = frozenset(instance["held"])
    for address in instance["vips"][:_MOST]:
        yield Claim(
            str(address),
            view.name,
            view.ready,
            str(instance["name"]),
            address in held,
            float(instance["since"]),
            str(instance["mac"]),
            str(instance["alike"]),
        )


def by_address(views: Iterable[NodeView]) -> Mapping[str, tuple[Claim, ...]]:
    """All claims by address, by node."""
    found = defaultdict[str, list[Claim]](list)
    for view in views:
        for each in claims(view):
            found[each.address].append(each)
    return {address: tuple(sorted(each)) for address, each in sorted(found.items())}


def conflicts(views: Iterable[NodeView], now: float) -> tuple[Conflict, ...]:
    """Everything that is wrong at `now` (seconds since the epoch), by address."""
    return tuple(sorted(each for address, said in by_address(views).items() for each in _conflicts(address, said, now)))


def unsettled(views: Iterable[NodeView], now: float) -> bool:
    """Whether a claim is so young that the next look may find something else."""
    return any(now - each.since < SETTLED for said in by_address(views).values() for each in said)


def _conflicts(address: str, said: tuple[Claim, ...], now: float) -> Iterator[Conflict]:
    holders = tuple(each for each in said if each.held)
    if len(holders) > 1 and now - max(each.since for each in holders) >= SETTLED:
        yield _held_twice(address, holders)
    if len({each.alike for each in said}) > 1:
        groups = defaultdict[str, list[str]](list)
        for each in said:
            groups[each.alike].append(each.node)
        named = " | ".join(", ".join(group) for group in sorted(groups.values()))
        advice = "VRID, version, advert interval and addresses must be the same on all"
        message = f"nodes that share {address} are set up differently ({named}): {advice}"
        yield Conflict(address, Reason.UNEQUAL, tuple(each.node for each in said), message)


def _held_twice(address: str, holders: tuple[Claim, ...]) -> Conflict:
    named = ", ".join(f"{each.node} ({each.mac or 'no MAC'})" for each in holders)
    silent = [each.node for each in holders if not each.ready]
    where = tuple(each.node for each in holders)
    if len(holders) - len(silent) > 1:
        message = f"{address} is held by {named} at once: see whether their adverts reach each other"
        return Conflict(address, Reason.DUPLICATE, where, message)
    message = (
        f"{address} is held by {named}, of which {', '.join(silent)} cannot be heard: if that node still runs, "
        "the link between them is cut and clients may reach either"
    )
    return Conflict(address, Reason.SILENT, where, message)
