"""The coordinator's role `pools`: wires pools, rendering and rollouts to the API server."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final

from nodeagent.agent import rendering
from nodeagent.agent.roles import Duty, Office
from nodeagent.changes.cluster import Announce, ChangeNode, Create, Disown, Evict, Remove, Step, WriteStatus
from nodeagent.host import memory
from nodeagent.kube.collection import Collection
from nodeagent.kube.connection import Connection, Patch
from nodeagent.kube.errors import Missing
from nodeagent.kube.events import announcement
from nodeagent.kube.eviction import Blocked, Evictions
from nodeagent.kube.nodes import Nodes
from nodeagent.kube.reflector import Scope
from nodeagent.kube.watch import ObjectWatch
from nodeagent.observed import nodes
from nodeagent.observed.nodes import Condition, NodeView
from nodeagent.pools.controller import Coordinator
from nodeagent.pools.plan import Rules
from nodeagent.pools.pool import CONFIGS, CONFIGURATIONS, POOLS, Object, Pool, is_rendered
from nodeagent.pools.rollout import Pace
from nodeagent.pools.series import COLUMNS, series
from nodeagent.settings import Settings
from nodeagent.telemetry.metrics.tables import Tables, rows

_GROUP: Final = "/apis/machineconfiguration.alauda.io/v1alpha1"
_AGENTS: Final = "app.kubernetes.io/name=nodeagent,app.kubernetes.io/component=agent"
_OURS: Final = (nodes.PREFIX, "nodeagent.io/")  # annotations of a Node that are kept
_PUBLISH: Final = 60.0  # seconds that publishing a rendered config may take


class KubeCluster:
    """The cluster, from memory but for pods; `wake` is called when something has changed."""

    def __init__(self, connection: Connection, namespace: str, wake: Callable[[], None]) -> None:
        chance = random.Random()  # noqa: S311 - jitter, no secret
        self._connection = connection
        self._written = Nodes(connection)
        self._evictions = Evictions(connection)
        self._nodes = Collection(connection, Scope("/api/v1/nodes"), _node, wake, chance)
        self._pools = Collection(connection, Scope(f"{_GROUP}/{POOLS}"), Pool.of, wake, chance)
        self._configs = Collection(connection, Scope(f"{_GROUP}/{CONFIGS}"), _config, wake, chance)
        self._configuration = ObjectWatch(connection, f"{_GROUP}/{CONFIGURATIONS}", "cluster", wake, chance)
        agents = Scope(f"/api/v1/namespaces/{namespace}/pods", {"labelSelector": _AGENTS})
        self._agents = Collection(connection, agents, _agent, wake, chance)
        self.follows = (self._nodes, self._pools, self._configs, self._configuration, self._agents)

    # -- seeing -------------------------------------------------------------------------------------------------------

    def nodes(self) -> Mapping[str, NodeView]:
        return {name: node for (_, name), node in self._nodes.snapshot().items()}

    def pools(self) -> Mapping[str, Pool]:
        return {name: pool for (_, name), pool in self._pools.snapshot().items()}

    def configs(self) -> Mapping[str, Object]:
        return {name: config for (_, name), config in self._configs.snapshot().items()}

    def configuration(self) -> Object | None:
        return self._configuration.current()

    def absent(self) -> frozenset[str]:
        """Nodes that the control plane has lost, and those whose agent ran in a pod that is not Ready any more."""
        present = {node for node, ready in self._agents.snapshot().values() if ready}
        return frozenset(
            name
            for name, node in self.nodes().items()
            if node.conditions.get("Ready") == "Unknown" or (_in_pod(node) and name not in present)
        )

    def pods(self, node: str) -> Sequence[Mapping[str, Any]]:
        return self._evictions.pods(node)

    # -- doing --------------------------------------------------------------------------------------------------------

    def make(self, step: Step) -> Any:
        """Make a step; what it yields is told by the protocol."""
        match step:
            case ChangeNode(node, annotations, unschedulable):
                return _kept(self._written.change(node, annotations, unschedulable))
            case Evict(_, pod):
                return self._evict(pod)
            case Create(resource, document):
                self._connection.create(f"{_GROUP}/{resource}", document, deadline=_PUBLISH)
            case Remove(resource, name):
                self._remove(f"{_GROUP}/{resource}/{name}")
            case WriteStatus(resource, name, status):
                self._connection.patch(f"{_GROUP}/{resource}/{name}/status", {"status": status}, Patch.MERGE)
            case Disown(node, types, message):
                gone = [Condition(kind, "Unknown", "AgentGone", message) for kind in types]
                self._written.tell(node, gone, datetime.now(UTC))
            case Announce(subject, name, kind, reason, message):
                announcement(self._connection, subject, name, (kind, reason, message), datetime.now(UTC))
        return None

    def _evict(self, pod: Mapping[str, Any]) -> str:
        match self._evictions.evict(pod):
            case Blocked(budgets, message):
                return ", ".join(f"PodDisruptionBudget {budget}" for budget in budgets) or message
            case _:
                return ""

    def _remove(self, path: str) -> None:
        try:
            self._connection.delete(path)
        except Missing:
            return


def pools(office: Office) -> Duty:
    """The role of the pools."""
    cluster = KubeCluster(office.connection, office.settings.coordinator.namespace, office.changed)
    coordinator = Coordinator(
        cluster,
        rendering.rendering,
        rendering.policy,
        _rules(office.settings),
        office.leading,
        time.time,
    )

    tables = Tables(office.registry, COLUMNS)

    def tick() -> float:
        wanted = coordinator.tick()
        tables.show(rows(series(cluster.pools().values() if office.leading() else ())))
        memory.give_back()
        return wanted

    return Duty(cluster.follows, tick)


def _rules(settings: Settings) -> Rules:
    wanted = settings.coordinator
    return Rules(
        Pace(wanted.canaries, wanted.max_failures), wanted.drain_timeout, wanted.keep_rendered, wanted.agent_grace
    )


def _node(node: dict[str, Any]) -> NodeView:
    return _kept(NodeView.of(node))


def _kept(view: NodeView) -> NodeView:
    """The view without other programs' annotations, which can be large."""
    ours = {key: value for key, value in view.annotations.items() if key.startswith(_OURS)}
    return replace(view, annotations=ours)


def _config(config: dict[str, Any]) -> Object:
    """A source whole; of a rendered config, which only nodes read, the metadata without its provenance."""
    if not is_rendered(config):
        return config
    kept = ("name", "labels", "creationTimestamp")
    return {"metadata": {key: value for key, value in config["metadata"].items() if key in kept}}


def _agent(pod: dict[str, Any]) -> tuple[str, bool]:
    """The node that an agent's pod runs on, and whether it is Ready."""
    conditions = (pod.get("status") or {}).get("conditions") or ()
    ready = any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)
    return (pod.get("spec") or {}).get("nodeName", ""), ready


def _in_pod(node: NodeView) -> bool:
    return '"pod":"' in node.said(nodes.REPORT) and '"pod":""' not in node.said(nodes.REPORT)
