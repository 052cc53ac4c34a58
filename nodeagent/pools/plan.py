"""One round of the coordinator: from what the cluster says to the steps that follow. Pure, total, sorted.

The same observation at the same time gives the same steps; a round in which nothing has to be done has none.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from nodeagent.changes.cluster import Announce, ChangeNode, Create, Disown, Remove, Step, WriteStatus
from nodeagent.observed import nodes
from nodeagent.observed.nodes import NodeView
from nodeagent.pools.drains import Limits, Pod, drains
from nodeagent.pools.pool import (
    CONFIGS,
    CONFIGURATIONS,
    MASTER,
    POOLS,
    ROLE,
    VERSION,
    WORKER,
    Membership,
    Object,
    Pool,
    is_rendered,
    membership,
)
from nodeagent.pools.rollout import Pace, Rollout, rollout
from nodeagent.pools.status import Target, status

_CONTROL_PLANE: Final = "node-role.kubernetes.io/control-plane"


@dataclass(frozen=True)
class Rules:
    """What the settings say. Times in seconds."""

    pace: Pace
    drain_timeout: float
    keep_rendered: int
    agent_grace: float


@dataclass(frozen=True)
class Observed:
    """What the cluster says. `targets` are what the pools' sources render to, `documents` those of them to publish.

    `silent` are nodes whose agent has not been there for so many seconds; `policy` is what the status of the
    MachineConfiguration should say, None where there is no such object or nothing to say.
    """

    nodes: Mapping[str, NodeView]
    pools: Mapping[str, Pool]
    configs: Mapping[str, Object]
    targets: Mapping[str, Target]
    documents: Mapping[str, Object] = field(default_factory=dict)
    pods: Mapping[str, Sequence[Pod]] = field(default_factory=dict)
    blockers: Mapping[str, str] = field(default_factory=dict)
    silent: Mapping[str, float] = field(default_factory=dict)
    configuration: Object | None = None
    policy: Mapping[str, Any] | None = None


def plan(observed: Observed, rules: Rules, now: float) -> tuple[Step, ...]:
    """The steps of one round, in the order in which they are made; `now` is in seconds since the epoch."""
    belonging = membership(observed.nodes.values(), observed.pools.values())
    steps: list[Step] = [*_missing(observed), *_publications(observed)]
    for name, members in sorted(belonging.members.items()):
        steps += _of_pool(observed, observed.pools[name], members, belonging, rules, now)
    steps += _policy(observed)
    steps += _gone(observed, rules)
    steps += _expired(observed, rules)
    return tuple(steps)


def _missing(observed: Observed) -> Iterator[Step]:
    """The pools and empty configs that every cluster has; a custom pool inherits from worker."""
    for name, operator in ((MASTER, "Exists"), (WORKER, "DoesNotExist")):
        if f"00-{name}" not in observed.configs:
            config = {"ignition": {"version": "3.4.0"}}
            yield Create(CONFIGS, _object("MachineConfig", f"00-{name}", {ROLE: name}, {"config": config}))
        if name not in observed.pools:
            spec = {
                "machineConfigSelector": {"matchLabels": {ROLE: name}},
                "nodeSelector": {"matchExpressions": [{"key": _CONTROL_PLANE, "operator": operator}]},
            }
            yield Create(POOLS, _object("MachineConfigPool", name, {}, spec))


def _object(kind: str, name: str, labels: Mapping[str, str], spec: Mapping[str, Any]) -> dict[str, Any]:
    return {"apiVersion": VERSION, "kind": kind, "metadata": {"name": name, "labels": dict(labels)}, "spec": dict(spec)}


def _publications(observed: Observed) -> Iterator[Step]:
    for name, document in sorted(observed.documents.items()):
        if name not in observed.configs:
            yield Create(CONFIGS, document)


def _of_pool(
    observed: Observed, pool: Pool, members: Sequence[NodeView], belonging: Membership, rules: Rules, now: float
) -> Iterator[Step]:
    target = observed.targets.get(pool.name, Target())
    published = target.name if target.name in observed.configs else ""
    found = rollout(pool, members, published, rules.pace)
    for node in found.assign:
        yield ChangeNode(node, {nodes.DESIRED_CONFIG: published})
    yield from _halt(pool, found)
    limits = Limits(pool.max_unavailable(len(members)), rules.drain_timeout, len(observed.nodes) == 1)
    assigned = {node.name for node in found.assign}
    still = [node for node in members if node.name not in assigned]  # one change of a Node a round
    yield from drains(still, observed.pods, observed.blockers, limits, now)
    contested = {name: claiming for name, claiming in belonging.contested.items() if pool.name in claiming}
    when = datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    wanted = status(pool, members, target, found, contested, when)
    if wanted != pool.status:
        yield WriteStatus(POOLS, pool.name, wanted)


def _halt(pool: Pool, found: Rollout) -> Iterator[Step]:
    """Tell it when it happens: while the status does not say so yet."""
    told = {each["type"]: each for each in pool.status.get("conditions") or ()}.get("RolloutHalted", {})
    if found.halted and (told.get("status"), told.get("message")) != ("True", found.message):
        yield Announce("MachineConfigPool", pool.name, "Warning", found.halted, found.message)


def _policy(observed: Observed) -> Iterator[Step]:
    """Write the disruption policy that holds where agents of any make look for it."""
    if observed.configuration is None or observed.policy is None:
        return
    before = observed.configuration.get("status") or {}
    wanted = {
        **before,
        "observedGeneration": observed.configuration["metadata"].get("generation", 0),
        "nodeDisruptionPolicyStatus": {"clusterPolicies": observed.policy},
    }
    if wanted != before:
        yield WriteStatus(CONFIGURATIONS, observed.configuration["metadata"]["name"], wanted)


def _gone(observed: Observed, rules: Rules) -> Iterator[Step]:
    """Nobody answers for the conditions of an agent that is gone."""
    for name, seconds in sorted(observed.silent.items()):
        node = observed.nodes.get(name)
        if node is None or seconds <= rules.agent_grace:
            continue
        stale = tuple(kind for kind in nodes.CONDITIONS if node.conditions.get(kind, "Unknown") != "Unknown")
        if stale:
            yield Disown(name, stale, "the agent of this node is gone, or cannot be reached")


def _expired(observed: Observed, rules: Rules) -> Iterator[Step]:
    """Rendered configs that no node and no pool needs, but the newest of each pool."""
    said = (node.said(key) for node in observed.nodes.values() for key in (nodes.CURRENT_CONFIG, nodes.DESIRED_CONFIG))
    listed = ((pool.status.get("configuration") or {}).get("name", "") for pool in observed.pools.values())
    needed = {*said, *listed, *(target.name for target in observed.targets.values())}
    idle = [one for name, one in observed.configs.items() if is_rendered(one) and name not in needed]
    by_pool: dict[str, list[Object]] = {}
    for one in sorted(idle, key=_newest_last, reverse=True):
        by_pool.setdefault((one["metadata"].get("labels") or {}).get(ROLE, ""), []).append(one)
    for _, found in sorted(by_pool.items()):
        yield from (Remove(CONFIGS, one["metadata"]["name"]) for one in found[rules.keep_rendered :])


def _newest_last(one: Object) -> tuple[str, str]:
    return one["metadata"].get("creationTimestamp") or "", one["metadata"]["name"]
