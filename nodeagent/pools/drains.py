"""Drains that agents ask for, step by step. Pure.

Invariants: a node is cordoned before its pods go, and what was done for it is written on the Node together with the
cordon, so that whoever coordinates next neither drains twice nor forgets to uncordon; only what the coordinator itself
has cordoned is uncordoned. No more nodes of a pool are drained at a time than may be unavailable.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from nodeagent.changes.cluster import Announce, ChangeNode, Evict, Step
from nodeagent.observed import nodes
from nodeagent.observed.nodes import NodeView

_PAUSE: Final = 600.0  # seconds before a drain that was given up begins again
_DRAIN: Final = nodes.drain_of("")
_FINISHED: Final = ("Succeeded", "Failed")
_MIRROR: Final = "kubernetes.io/config.mirror"

Pod = Mapping[str, Any]


@dataclass(frozen=True)
class Record:
    """What the Node says of its drain: for which request, since when, whether the cordon is ours, when it was given up.

    Times are in seconds since the epoch; `given_up` is 0 while the drain goes on.
    """

    request: str
    since: float
    ours: bool
    given_up: float = 0.0

    def encode(self) -> str:
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))

    @classmethod
    def of(cls, node: NodeView) -> Record | None:
        """The record that a Node carries; None where it carries none that can be read."""
        try:
            found = json.loads(node.said(nodes.CORDONED_FOR) or "null")
            return None if found is None else cls(**found)
        except (ValueError, TypeError):
            return None


@dataclass(frozen=True)
class Limits:
    """How many nodes of the pool may be drained at a time, how long one drain may take (seconds), one node clusters."""

    at_once: int
    timeout: float
    single: bool


def asks(node: NodeView) -> bool:
    """Whether a node's agent waits for an answer."""
    asked = node.said(nodes.DESIRED_DRAIN)
    return bool(asked) and asked != node.said(nodes.LAST_APPLIED_DRAIN)


def is_draining(node: NodeView) -> bool:
    """Whether pods of the node are to be looked at: it is cordoned for a drain that goes on."""
    record = Record.of(node)
    return asks(node) and record is not None and _is_for(record, node) and not record.given_up


def drains(
    members: Sequence[NodeView],
    pods: Mapping[str, Sequence[Pod]],
    blockers: Mapping[str, str],
    limits: Limits,
    now: float,
) -> Iterator[Step]:
    """What to do for the nodes of one pool. `pods` are those of draining nodes, `blockers` what held them up last."""
    taken = sum(map(_occupies, members))
    for node in sorted(members, key=lambda node: node.name):
        if not asks(node):
            continue
        if not node.said(nodes.DESIRED_DRAIN).startswith(_DRAIN) or limits.single:
            yield _answered(node)
        elif is_draining(node):
            if node.name in pods:
                yield from _continued(node, pods[node.name], blockers.get(node.name, ""), limits, now)
        elif _may_begin(node, now) and (_occupies(node) or taken < limits.at_once):
            taken += not _occupies(node)
            yield _begun(node, now)


def cordoned_by_us(node: NodeView) -> bool:
    """Whether a node takes no pods because of a drain, and nobody else had cordoned it."""
    record = Record.of(node)
    return node.unschedulable and record is not None and record.ours and not record.given_up


def _is_for(record: Record, node: NodeView) -> bool:
    return record.request == node.said(nodes.DESIRED_DRAIN)


def _occupies(node: NodeView) -> bool:
    """Whether a node is away for a drain, done or not."""
    record = Record.of(node)
    return record is not None and not record.given_up


def _may_begin(node: NodeView, now: float) -> bool:
    record = Record.of(node)
    return record is None or not _is_for(record, node) or now >= record.given_up + _PAUSE


def _begun(node: NodeView, now: float) -> ChangeNode:
    """Cordon, and say for what and whose cordon it is: one that was ours for an earlier request still is."""
    before = Record.of(node)
    ours = not node.unschedulable or (before is not None and before.ours and not before.given_up)
    record = Record(node.said(nodes.DESIRED_DRAIN), now, ours)
    return ChangeNode(node, {nodes.CORDONED_FOR: record.encode()}, True)


def _answered(node: NodeView) -> ChangeNode:
    """Say that what was asked for is done; an uncordon takes back our own cordon alone."""
    asked = node.said(nodes.DESIRED_DRAIN)
    answer: dict[str, str | None] = {nodes.LAST_APPLIED_DRAIN: asked}
    if asked.startswith(_DRAIN):
        return ChangeNode(node, answer)
    return _released(node, answer | {nodes.CORDONED_FOR: None})


def _released(node: NodeView, said: Mapping[str, str | None]) -> ChangeNode:
    return ChangeNode(node, said, False if cordoned_by_us(node) else None)


def _continued(node: NodeView, pods: Sequence[Pod], blocker: str, limits: Limits, now: float) -> Iterator[Step]:
    record = Record.of(node)
    assert record is not None, "only a node with a record is draining"  # noqa: S101 - told to the type checker
    staying = [pod for pod in pods if must_go(pod)]
    if not staying:
        yield _answered(node)
    elif now - record.since > limits.timeout:
        given_up = Record(record.request, record.since, record.ours, now).encode()
        yield _released(node, {nodes.CORDONED_FOR: given_up})
        yield Announce("Node", node.name, "Warning", "DrainGivenUp", _why(node, staying, blocker))
    else:
        if blocker:
            yield Announce("Node", node.name, "Warning", "DrainBlocked", blocker)
        for pod in sorted(staying, key=_name):
            if not pod["metadata"].get("deletionTimestamp"):
                yield Evict(node.name, pod)


def must_go(pod: Pod) -> bool:
    """Whether a drain waits for a pod: not for those of DaemonSets, static pods, and what has ended by itself."""
    metadata = pod["metadata"]
    owners = metadata.get("ownerReferences") or ()
    daemon = any(owner.get("kind") == "DaemonSet" and owner.get("controller") for owner in owners)
    mirror = _MIRROR in (metadata.get("annotations") or {})
    ended = (pod.get("status") or {}).get("phase") in _FINISHED
    return not (daemon or mirror or ended)


def _name(pod: Pod) -> str:
    return f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"


def _why(node: NodeView, staying: Sequence[Pod], blocker: str) -> str:
    named = ", ".join(sorted(map(_name, staying))[:5])
    said = f"{node.said(nodes.DESIRED_DRAIN)} took too long and is tried again later; still there: {named}"
    return f"{said}; {blocker}" if blocker else said
