"""Which nodes of a pool get its target next. Pure.

Invariant: assigning never makes more than maxUnavailable nodes unavailable: each new one needs room, and only a node
that is in the midst of another config already, and so is unavailable anyway, needs none. Everything follows from the
Nodes themselves, so a coordinator that starts anew goes on where another stopped. A node that drifts takes no config
before that is resolved: it gets none, and the others do not wait for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nodeagent.observed import nodes
from nodeagent.observed.nodes import NodeView
from nodeagent.pools.pool import Pool

_BAD = ("Degraded", "Unreconcilable")


@dataclass(frozen=True)
class Pace:
    """How a rollout is paced: nodes that must finish first, nodes that may fail."""

    canaries: int
    max_failures: int


@dataclass(frozen=True)
class Rollout:
    """The nodes to assign the target to now, in order; `halted` says why no other follows, in a word and for people."""

    assign: tuple[NodeView, ...] = ()
    halted: str = ""
    message: str = ""


def is_managed(node: NodeView) -> bool:
    """Whether an agent has ever spoken on this node."""
    return bool(node.said(nodes.STATE))


def is_degraded(node: NodeView) -> bool:
    """The node says that something is wrong with it."""
    return node.said(nodes.STATE) in _BAD


def is_updated(node: NodeView, target: str) -> bool:
    """The node has the target, is to have it, and is at rest; drift that was found later does not undo that."""
    current, desired, state = (node.said(key) for key in (nodes.CURRENT_CONFIG, nodes.DESIRED_CONFIG, nodes.STATE))
    return current == desired == target and state in ("Done", *_BAD)


def drifts(node: NodeView) -> bool:
    """Whether drift keeps new configs from the node until an administrator has resolved it.

    Agents of other makes say so only by being Degraded with the config that they are to have.
    """
    settled = node.said(nodes.CURRENT_CONFIG) == node.said(nodes.DESIRED_CONFIG)
    return node.said(nodes.STATE) == "Degraded" and (settled or '"cause":"Drift"' in node.said(nodes.REPORT))


def is_under_way(node: NodeView) -> bool:
    """The node is to have another config than it has, or works on it. One without an agent is not: nothing happens."""
    if not is_managed(node) or drifts(node):
        return False
    current, desired = node.said(nodes.CURRENT_CONFIG), node.said(nodes.DESIRED_CONFIG)
    return (bool(desired) and current != desired) or node.said(nodes.STATE) == "Working"


def has_failed(node: NodeView, target: str) -> bool:
    """The node could not take the target; a node that has it and drifts has not failed."""
    return (
        node.said(nodes.DESIRED_CONFIG) == target
        and node.said(nodes.CURRENT_CONFIG) != target
        and is_degraded(node)
        and not drifts(node)
    )


def is_unavailable(node: NodeView) -> bool:
    """Not Ready, cordoned by whomever, or in the midst of an update."""
    return not node.ready or node.unschedulable or is_under_way(node)


def rollout(pool: Pool, members: Sequence[NodeView], target: str, pace: Pace) -> Rollout:
    """Who is assigned `target` ("" while there is none) now."""
    waiting = [node for node in members if node.said(nodes.DESIRED_CONFIG) != target and not drifts(node)]
    if pool.paused or not target or not waiting:
        return Rollout()
    if halted := _halted(members, target, pace):
        return halted
    free = [node for node in waiting if not is_managed(node) or is_under_way(node)]
    queue = sorted((node for node in waiting if node not in free), key=_age)
    room = pool.max_unavailable(len(members)) - sum(map(is_unavailable, members))
    room = min(room, _room_for_canaries(members, target, pace))
    return Rollout((*sorted(free, key=_age), *_fitting(queue, room)))


def _fitting(queue: Sequence[NodeView], room: int) -> list[NodeView]:
    """The first of the queue that there is room for; one that is unavailable by itself takes none."""
    chosen = []
    for node in queue:
        room -= not is_unavailable(node)
        if room < 0:
            break
        chosen.append(node)
    return chosen


def _age(node: NodeView) -> tuple[str, str, str]:
    """Zone by zone, the oldest first."""
    return node.zone, node.created, node.name


def _halted(members: Sequence[NodeView], target: str, pace: Pace) -> Rollout | None:
    failed = [node.name for node in members if has_failed(node, target)]
    named = ", ".join(failed[:5]) + (f" and {len(failed) - 5} more" if len(failed) > 5 else "")
    if len(failed) > pace.max_failures:
        return Rollout((), "RolloutHalted", f"{len(failed)} nodes could not take {target}: {named}")
    finished = sum(is_updated(node, target) for node in members)
    if failed and finished < min(pace.canaries, len(members)):
        return Rollout((), "CanaryFailed", f"the first nodes could not take {target}: {named}")
    return None


def _room_for_canaries(members: Sequence[NodeView], target: str, pace: Pace) -> int:
    """How many more may begin while the canaries are not all done; as many as there are once they are."""
    finished = sum(is_updated(node, target) for node in members)
    if finished >= pace.canaries:
        return len(members)
    begun = sum(node.said(nodes.DESIRED_CONFIG) == target and is_managed(node) for node in members)
    return max(0, pace.canaries - begun)
