"""The coordinator: many of them may run, one works, by Lease. Wires the pools to the API server."""

from __future__ import annotations

import logging
import os
import random
import secrets
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final

from nodeagent import __version__
from nodeagent.agent import rendering
from nodeagent.agent.daemon import ending_on_crash
from nodeagent.changes.cluster import Announce, ChangeNode, Create, Disown, Evict, Remove, Step, WriteStatus
from nodeagent.engine.controller import Controller
from nodeagent.errors import Broken
from nodeagent.host import memory
from nodeagent.kube.collection import Collection
from nodeagent.kube.connection import Connection, Patch, connect
from nodeagent.kube.errors import Missing
from nodeagent.kube.events import announcement
from nodeagent.kube.eviction import Blocked, Evictions
from nodeagent.kube.leases import Election, Seat
from nodeagent.kube.nodes import Nodes
from nodeagent.kube.reflector import Scope
from nodeagent.kube.watch import ObjectWatch
from nodeagent.observed import nodes
from nodeagent.observed.nodes import Condition, NodeView
from nodeagent.pools.controller import NAME, Coordinator
from nodeagent.pools.plan import Rules
from nodeagent.pools.pool import CONFIGS, CONFIGURATIONS, POOLS, Object, Pool, is_rendered
from nodeagent.pools.rollout import Pace
from nodeagent.settings import Settings
from nodeagent.telemetry.health import Beats

_log = logging.getLogger(__name__)

_GROUP: Final = "/apis/machineconfiguration.alauda.io/v1alpha1"
_AGENTS: Final = "app.kubernetes.io/name=nodeagent,app.kubernetes.io/component=agent"
_OURS: Final = (nodes.PREFIX, "nodeagent.io/")  # annotations of a Node that are kept
_SHUTDOWN: Final = 20.0  # seconds that a round may take to end
_BURST: Final = 0.1  # seconds in which changes count as one
_WORK: Final = 900.0  # seconds that one round may take, its wait included: requests have deadlines of their own
_GLANCE: Final = 15.0  # seconds between two looks at the loop
_PUBLISH: Final = 60.0  # seconds that publishing a rendered config may take


class KubeCluster:
    """The cluster, from memory but for pods; `changed` wakes the loop."""

    def __init__(self, connection: Connection, namespace: str) -> None:
        chance = random.Random()  # noqa: S311 - jitter, no secret
        self._connection = connection
        self._written = Nodes(connection)
        self._evictions = Evictions(connection)
        self.changed = threading.Event()
        wake = self.changed.set
        self._nodes = Collection(connection, Scope("/api/v1/nodes"), _node, wake, chance)
        self._pools = Collection(connection, Scope(f"{_GROUP}/{POOLS}"), Pool.of, wake, chance)
        self._configs = Collection(connection, Scope(f"{_GROUP}/{CONFIGS}"), _config, wake, chance)
        self._configuration = ObjectWatch(connection, f"{_GROUP}/{CONFIGURATIONS}", "cluster", wake, chance)
        agents = Scope(f"/api/v1/namespaces/{namespace}/pods", {"labelSelector": _AGENTS})
        self._agents = Collection(connection, agents, _agent, wake, chance)
        self._watches = (self._nodes, self._pools, self._configs, self._configuration, self._agents)

    def start(self) -> None:
        for watch in self._watches:
            watch.start()

    def close(self) -> None:
        for watch in self._watches:
            watch.close()

    @property
    def synced(self) -> bool:
        """Everything was listed once: before, what is missing cannot be told from what was not seen yet."""
        return all(watch.synced for watch in self._watches)

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


def run(settings: Settings, stop: threading.Event) -> None:
    """Coordinate pools until `stop` is set. Broken if a thread crashes or a round does not end."""
    connection = connect(settings.cluster.kubeconfig, f"nodeagent-coordinator/{__version__}")
    namespace = settings.coordinator.namespace
    identity = f"{os.uname().nodename}_{secrets.token_hex(4)}"
    with ExitStack() as stack:
        stack.enter_context(ending_on_crash(stop))
        cluster = KubeCluster(connection, namespace)
        wake = cluster.changed.set
        seat = Seat(namespace, f"nodeagent-{NAME}", identity)
        election = Election(connection, seat, wake, wake, random.Random())  # noqa: S311 - jitter, no secret
        coordinator = Coordinator(
            cluster,
            rendering.rendering,
            rendering.policy,
            _rules(settings),
            lambda: election.leading and cluster.synced,
            time.time,
        )

        def tick() -> float:
            wanted = coordinator.tick()
            memory.give_back()
            return wanted

        beats = Beats()
        beats.expect(NAME, _WORK)
        loop = Controller(NAME, tick, _Log(beats), random.Random())  # noqa: S311 - jitter, no secret
        for name, work in (
            ("wake", lambda: _relay(cluster.changed, loop, stop)),
            ("watchdog", lambda: _guard(beats, stop)),
        ):
            threading.Thread(target=work, name=name, daemon=True).start()
        cluster.start()
        stack.callback(cluster.close)
        stack.callback(election.close)  # after the loop has ended: another may lead at once
        election.start()
        loop.start()
        _log.info("started", extra={"version": __version__, "role": NAME, "identity": identity})
        stop.wait()
        if not loop.stop(_SHUTDOWN):
            raise Broken(f"the loop {NAME} did not end within {_SHUTDOWN:g} s")


def _relay(changed: threading.Event, loop: Controller, stop: threading.Event) -> None:
    """Wake the loop for what has changed, a burst of changes once."""
    while not stop.is_set():
        changed.wait()
        stop.wait(_BURST)
        changed.clear()
        loop.wake()


def _guard(beats: Beats, stop: threading.Event) -> None:
    """End the process when the loop is stuck: it would hold the Lease for ever."""
    while not stop.wait(_GLANCE):
        if stuck := beats.stuck():
            raise Broken(f"the loop {', '.join(stuck)} has not turned for {_WORK:g} s")


class _Log:
    """Tells how the loop fares."""

    def __init__(self, beats: Beats) -> None:
        self._beats = beats

    def beat(self, name: str) -> None:
        self._beats.beat(name)

    def succeeded(self, name: str) -> None: ...

    def failed(self, name: str, error: Exception, failures: int, delay: float) -> None:
        extra = {"loop": name, "reason": str(error), "failures": failures, "retry_seconds": round(delay, 1)}
        _log.warning("a round failed and will be tried again", extra=extra)


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
