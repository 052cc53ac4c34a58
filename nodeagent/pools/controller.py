"""The coordinator's loop: look at the cluster, plan, make each step, look again.

Invariants: no step is made without leading; a Node is changed only as it was seen, and what was just written counts as
seen until the watch tells of it, so a stale view never spends room twice. A step that fails leaves the others a turn.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from nodeagent.changes.cluster import Announce, ChangeNode, Evict, Step
from nodeagent.errors import NodeAgentError, Rejected
from nodeagent.observed.nodes import NodeView
from nodeagent.pools.drains import Pod, is_draining
from nodeagent.pools.plan import Observed, Rules, plan
from nodeagent.pools.pool import Object, Pool
from nodeagent.pools.status import Target

NAME = "pools"

_log = logging.getLogger(__name__)

_BUSY, _IDLE = 5.0, 60.0  # seconds between two rounds while a node is drained, and otherwise


@dataclass(frozen=True)
class Rendering:
    """A pool's rendered config: its name, the object to publish."""

    name: str
    document: Object


class Cluster(Protocol):
    """The cluster as the coordinator sees it, from memory but for pods, and how it changes it."""

    def nodes(self) -> Mapping[str, NodeView]: ...

    def pools(self) -> Mapping[str, Pool]: ...

    def configs(self) -> Mapping[str, Object]:
        """All MachineConfigs by name; of rendered ones the metadata may be all there is."""
        ...

    def configuration(self) -> Object | None:
        """The MachineConfiguration of the cluster."""
        ...

    def absent(self) -> frozenset[str]:
        """Nodes whose agent is not there."""
        ...

    def pods(self, node: str) -> Sequence[Pod]: ...

    def make(self, step: Step) -> Any:
        """Make a step. Of ChangeNode the Node after it, of Evict what holds the pod up ("" for nothing)."""
        ...


class Coordinator:
    """Works while `leading` says so. `render` gets a pool's name and sources; `policy` a MachineConfiguration."""

    def __init__(
        self,
        cluster: Cluster,
        render: Callable[[str, Sequence[Object]], Rendering],
        policy: Callable[[Object], Mapping[str, Any] | None],
        rules: Rules,
        leading: Callable[[], bool],
        clock: Callable[[], float],
    ) -> None:
        self._cluster = cluster
        self._render = render
        self._policy = policy
        self._rules = rules
        self._leading = leading
        self._clock = clock
        self._written: dict[str, tuple[str, NodeView]] = {}  # by node: the version that was changed, and what it became
        self._blockers: dict[str, dict[str, str]] = {}  # by node and pod: what holds it up
        self._announced: dict[tuple[str, str, str], str] = {}  # by subject and reason: what was said last
        self._absent_since: dict[str, float] = {}
        self._rendered: dict[str, tuple[object, Target, Object | None]] = {}  # by pool: what from, and the outcome

    def tick(self) -> float:
        """One round; the seconds to the next."""
        if not self._leading():
            self._written.clear()
            return _IDLE
        now = self._clock()
        observed = self._observe(now)
        failures = [error for step in plan(observed, self._rules, now) if (error := self._make(step)) is not None]
        if failures:
            raise failures[0]
        awaited = any(seconds <= self._rules.agent_grace for seconds in observed.silent.values())
        return _BUSY if observed.pods or awaited else _IDLE

    # -- seeing -------------------------------------------------------------------------------------------------------

    def _observe(self, now: float) -> Observed:
        nodes, pools, configs = self._nodes(), self._cluster.pools(), self._cluster.configs()
        outcomes = [self._target(pool, configs) for pool in pools.values()]
        draining = sorted(node.name for node in nodes.values() if is_draining(node))
        self._blockers = {name: self._blockers.get(name, {}) for name in draining}
        configuration = self._cluster.configuration()
        return Observed(
            nodes=nodes,
            pools=pools,
            configs=configs,
            targets={name: target for name, (_, target, _) in self._rendered.items() if name in pools},
            documents={target.name: document for _, target, document in outcomes if document is not None},
            pods={name: self._cluster.pods(name) for name in draining},
            blockers={name: _told(found) for name, found in self._blockers.items() if found},
            silent=self._silent(now),
            configuration=configuration,
            policy=self._policy(configuration) if configuration is not None else None,
        )

    def _nodes(self) -> dict[str, NodeView]:
        """The Nodes as watched, or as we left them where the watch has not told of it yet."""
        found = dict(self._cluster.nodes())
        for name, (version, became) in list(self._written.items()):
            if name in found and found[name].resource_version == version:
                found[name] = became
            else:
                del self._written[name]
        return found

    def _silent(self, now: float) -> dict[str, float]:
        absent = self._cluster.absent()
        self._absent_since = {name: self._absent_since.get(name, now) for name in sorted(absent)}
        return {name: now - since for name, since in self._absent_since.items()}

    def _target(self, pool: Pool, configs: Mapping[str, Object]) -> tuple[object, Target, Object | None]:
        """What the pool's sources render to; rendered again only when they have changed."""
        sources = [one for _, one in sorted(configs.items()) if pool.wants(one)]
        key = tuple((one["metadata"]["name"], one["metadata"].get("resourceVersion")) for one in sources)
        before, target, document = self._rendered.get(pool.name, (None, Target(), None))
        removed = target.name and target.name not in configs and document is None
        if before != key or removed:
            target, document = self._rendering(pool.name, sources)
        if target.name in configs:
            document = None  # as large as all its contents, and kept by the API server now
        self._rendered[pool.name] = key, target, document
        return self._rendered[pool.name]

    def _rendering(self, pool: str, sources: Sequence[Object]) -> tuple[Target, Object | None]:
        try:
            rendering = self._render(pool, sources)
        except Rejected as error:
            return Target(problem=str(error)), None
        return Target(rendering.name, tuple(one["metadata"]["name"] for one in sources)), rendering.document

    # -- doing --------------------------------------------------------------------------------------------------------

    def _make(self, step: Step) -> NodeAgentError | None:
        """Make one step, if we still lead; what went wrong with it."""
        if not self._leading() or self._was_said(step):
            return None
        try:
            outcome = self._cluster.make(step)
        except NodeAgentError as error:
            _log.warning("a step failed", extra={"step": step.describe(), "reason": str(error)})
            return error
        _log.info("%s", step.describe())
        if isinstance(step, ChangeNode):
            self._written[step.node.name] = step.node.resource_version, outcome
        elif isinstance(step, Evict):
            self._note(step, outcome)
        return None

    def _was_said(self, step: Step) -> bool:
        """Whether an announcement would only repeat the last one."""
        if not isinstance(step, Announce):
            return False
        key = step.subject, step.name, step.reason
        before, self._announced[key] = self._announced.get(key), step.message
        return before == step.message

    def _note(self, step: Evict, blocker: str) -> None:
        metadata = step.pod["metadata"]
        pod, found = f"{metadata['namespace']}/{metadata['name']}", self._blockers.setdefault(step.node, {})
        found.pop(pod, None)
        if blocker:
            found[pod] = blocker


def _told(found: Mapping[str, str]) -> str:
    """What holds a drain up: each pod with what does not let it go."""
    return "the drain waits for " + "; ".join(f"pod {pod}, held by {blocker}" for pod, blocker in sorted(found.items()))
