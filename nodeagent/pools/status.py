"""What the status of a MachineConfigPool says: counters and conditions, as administrators know them. Pure.

A condition's time of transition changes with its status alone, and a status that says the same is not written again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from nodeagent.observed import nodes
from nodeagent.observed.nodes import NodeView
from nodeagent.pools.pool import VERSION, Pool
from nodeagent.pools.rollout import Rollout, is_degraded, is_unavailable, is_updated

_NAMED: Final = 5  # nodes that a message names


@dataclass(frozen=True)
class Target:
    """What a pool's nodes are to have: the rendered config's name and its sources, or why there is none."""

    name: str = ""
    sources: tuple[str, ...] = ()
    problem: str = ""


def status(
    pool: Pool,
    members: Sequence[NodeView],
    target: Target,
    rollout: Rollout,
    contested: Mapping[str, Sequence[str]],
    when: str,
) -> dict[str, Any]:
    """The whole status; `when` is now, in RFC 3339."""
    updated = [node for node in members if is_updated(node, target.name)]
    ready = [node for node in updated if node.ready and not node.unschedulable]
    degraded = [node for node in members if is_degraded(node)]
    complete = bool(target.name) and len(updated) == len(members)
    found: dict[str, Any] = {
        "observedGeneration": pool.generation,
        "machineCount": len(members),
        "updatedMachineCount": len(updated),
        "readyMachineCount": len(ready),
        "unavailableMachineCount": sum(map(is_unavailable, members)),
        "degradedMachineCount": len(degraded),
        "conditions": _conditions(pool, complete, degraded, target, rollout, contested, when),
    }
    configuration = _configuration(target) if complete else pool.status.get("configuration")
    return found | ({"configuration": configuration} if configuration else {})


def _configuration(target: Target) -> dict[str, Any]:
    reference = {"apiVersion": VERSION, "kind": "MachineConfig"}
    return {**reference, "name": target.name, "source": [{**reference, "name": name} for name in target.sources]}


def _conditions(
    pool: Pool,
    complete: bool,
    degraded: Sequence[NodeView],
    target: Target,
    rollout: Rollout,
    contested: Mapping[str, Sequence[str]],
    when: str,
) -> list[dict[str, str]]:
    troubled = _troubled(degraded, contested)
    moving = not complete and bool(target.name) and not pool.paused
    bad = troubled or target.problem or rollout.message
    told = {
        "Updated": (
            complete,
            "AllNodesUpdated" if complete else "",
            f"all nodes have {target.name}" if complete else "",
        ),
        "Updating": (moving, *_pace(pool, complete, moving, target)),
        "NodeDegraded": (bool(troubled), "NodesDegraded" if troubled else "", troubled),
        "RenderDegraded": (bool(target.problem), "RenderFailed" if target.problem else "", target.problem),
        "RolloutHalted": (bool(rollout.halted), rollout.halted, rollout.message),
        "Degraded": (bool(bad), "SeeOtherConditions" if bad else "", bad),
    }
    before = {each["type"]: each for each in pool.status.get("conditions") or ()}
    return [
        _condition(kind, holds, why, message, before.get(kind, {}), when)
        for kind, (holds, why, message) in told.items()
    ]


def _pace(pool: Pool, complete: bool, moving: bool, target: Target) -> tuple[str, str]:
    if moving:
        return "NodesBehind", f"nodes are on their way to {target.name}"
    return ("Paused", f"the pool is paused; {target.name} waits") if pool.paused and not complete else ("", "")


def _troubled(degraded: Sequence[NodeView], contested: Mapping[str, Sequence[str]]) -> str:
    told = [f"node {node.name}: {node.said(nodes.REASON) or node.said(nodes.STATE)}" for node in degraded[:_NAMED]]
    told += [
        f"node {name} is claimed by the pools {', '.join(claiming)}" for name, claiming in sorted(contested.items())
    ]
    more = len(degraded) - _NAMED
    return "; ".join(told + ([f"and {more} more"] if more > 0 else []))


def _condition(
    kind: str, holds: bool, reason: str, message: str, before: Mapping[str, str], when: str
) -> dict[str, str]:
    value = "True" if holds else "False"
    since = before.get("lastTransitionTime", when) if before.get("status") == value else when
    return {"type": kind, "status": value, "reason": reason, "message": message, "lastTransitionTime": since}
