"""The node's membership in its cluster: what it is assigned, what it says of itself, who drains it.

Two watches of one object each only wake the loops; what they hold is read when it is needed. Nothing is written before
the Node has been seen and belongs to no other agent.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from typing import Any, Final

from nodeagent import __version__
from nodeagent.agent.announcer import Announcer
from nodeagent.agent.chronicle import Chronicle
from nodeagent.agent.configuration import Declared
from nodeagent.agent.workplace import Workplace
from nodeagent.errors import Broken
from nodeagent.host.rivals import rivals
from nodeagent.kube.connection import Connection, connect
from nodeagent.kube.errors import Missing
from nodeagent.kube.events import EventRecorder
from nodeagent.kube.nodestatus import MANAGER, NodeWriter
from nodeagent.kube.ownership import rival
from nodeagent.kube.watch import ObjectWatch
from nodeagent.machineconfig.assignment import Assignment
from nodeagent.machineconfig.protocol import DrainRequest
from nodeagent.observed import nodes
from nodeagent.observed.nodes import NodeView

_GROUP: Final = "/apis/machineconfiguration.alauda.io/v1alpha1"
_HEEDED: Final = (nodes.DESIRED_CONFIG, nodes.DESIRED_DRAIN, nodes.LAST_APPLIED_DRAIN)
_FIRST_SIGHT: Final = 10.0  # seconds that a start waits for the API server, before it goes on with what it knows
_FETCH: Final = 60.0  # seconds that fetching a rendered config may take
_SHUTDOWN: Final = 5.0  # seconds that a writer may take to end
_GLANCE: Final = 0.05  # seconds between two looks for the first sight


_LOOPS: Final = {"node-status": 900.0, "events": 7500.0}  # with the longest time between two beats, in seconds


class Cluster:
    """What is known of the cluster, from memory; the API server is asked for nothing but rendered configs.

    `seen` is called after each event of the Node, on a watch's thread and only to wake.
    """

    def __init__(self, connection: Connection, node: str, seen: Callable[[], None]) -> None:
        chance = random.Random()  # noqa: S311 - jitter, no secret
        self._connection = connection
        self._seen = seen
        self._heeded: object = None
        self._changed: Callable[[], None] = _nobody
        self._node = ObjectWatch(connection, "/api/v1/nodes", node, self._node_changed, chance)
        self._policy = ObjectWatch(connection, f"{_GROUP}/machineconfigurations", "cluster", self._compare, chance)

    def heed(self, changed: Callable[[], None]) -> None:
        """Have `changed` called, on a watch's thread, when what the agent heeds has changed."""
        self._changed = changed

    def start(self) -> None:
        self._node.start()
        self._policy.start()

    def close(self) -> None:
        self._node.close()
        self._policy.close()

    @property
    def ages(self) -> Mapping[str, Callable[[], float]]:
        """By watch, how to ask for the seconds since the API server was last heard of."""
        return {"node": self._node.age, "machineconfiguration": self._policy.age}

    @property
    def synced(self) -> bool:
        """Both objects have been seen, or seen not to exist."""
        return self._node.synced and self._policy.synced

    def raw_node(self) -> dict[str, Any] | None:
        """This node as the API has it."""
        return self._node.current()

    def node(self) -> NodeView | None:
        """This node; None as long as it has never been seen, or does not exist."""
        found = self._node.current()
        return NodeView.of(found) if found is not None else None

    def policy(self) -> Mapping[str, Any] | None:
        """The MachineConfiguration, {} where there is none; None as long as that is not known."""
        return (self._policy.current() or {}) if self._policy.synced else None

    def rendered(self, name: str) -> Mapping[str, Any] | None:
        """A rendered MachineConfig: from the server's memory, and from its store if it seems not to exist there."""
        path = f"{_GROUP}/machineconfigs/{name}"
        for query in ({"resourceVersion": "0"}, {}):
            try:
                found: Mapping[str, Any] = self._connection.get(path, query, _FETCH)
            except Missing:
                continue
            return found
        return None

    def problems(self) -> tuple[str, ...]:
        """What keeps the agent from hearing of the cluster."""
        return (*self._node.problems(), *self._policy.problems())

    def _node_changed(self) -> None:
        self._seen()
        self._compare()

    def _compare(self) -> None:
        """Tell of what is heeded: a Node changes with each report of the kubelet."""
        node, policy = self.node(), self._policy.current() or {}
        said = {key: node.said(key) for key in _HEEDED} if node is not None else None
        heeded = said, policy.get("spec"), policy.get("status")
        if heeded != self._heeded:
            self._heeded = heeded
            self._changed()


class Membership:
    """The running parts of a node in its cluster: `reporter` and `events` are for all jobs, `declared` for one.

    The writers of the Node begin when the Node has been seen and belongs to no other agent; if it does, `stop` is set
    and `refusal` says why.
    """

    def __init__(self, place: Workplace, chronicle: Chronicle, stop: threading.Event) -> None:
        cluster, name = place.settings.cluster, place.settings.node_name
        self.connection = connection = connect(cluster.kubeconfig, f"{MANAGER}/{__version__}")
        chance = random.Random()  # noqa: S311 - jitter, no secret
        self._take_over = cluster.take_over
        self._chronicle = chronicle
        self._stop = stop
        self.admitted = False
        self.refusal = ""
        self.cluster = Cluster(connection, name, self._seen)
        for watch, age in self.cluster.ages.items():
            chronicle.expect_watch(watch, age)
        self._writer = NodeWriter(connection, name, self.cluster.raw_node, _now, chronicle, chance)
        self.events = EventRecorder(connection, name, cluster.events_per_hour, _now, chronicle, chance)
        self.reporter = Announcer(chronicle, self._writer, self.events, cluster.pod)
        self.declared = Declared(
            load=Assignment(self.cluster, place.store).load,
            workloads=DrainRequest(self.cluster.node, self._ask, cluster.drain_timeout, time.monotonic),
            problems=self.cluster.problems,
            heed=self.cluster.heed,
        )

    def start(self) -> None:
        """Begin to watch, and give the API server a moment to say what it wants."""
        if (found := rivals()) and not self._take_over:
            raise Broken(f"{found[0]} works on this node too: uninstall it, or this agent")
        self.cluster.start()
        end = time.monotonic() + _FIRST_SIGHT
        while not (self.cluster.synced or self._stop.is_set()) and time.monotonic() < end:
            self._stop.wait(_GLANCE)

    def close(self) -> None:
        """End everything that was begun. Broken if the Node belongs to another agent."""
        self.cluster.close()
        if self.admitted:
            self.events.stop(_SHUTDOWN)
            self._writer.stop(_SHUTDOWN)
        if self.refusal:
            raise Broken(self.refusal)

    def expect_watches(self, ages: Mapping[str, Callable[[], float]]) -> None:
        """A job follows more; each age is in seconds since the API server was last heard of."""
        for watch, age in ages.items():
            self._chronicle.expect_watch(watch, age)

    def _ask(self, drain: str) -> None:
        self._writer.publish({nodes.DESIRED_DRAIN: drain}, ())

    def _seen(self) -> None:
        if self.admitted:
            self._writer.wake()
        elif (node := self.cluster.raw_node()) is not None:
            self._admit(node)

    def _admit(self, node: Mapping[str, Any]) -> None:
        owner = rival(node, MANAGER)
        if owner and not self._take_over:
            self.refusal = (
                f"the annotations of node {node['metadata']['name']} are written by {owner}: two agents must not work "
                "on one node; uninstall it, then set cluster.take_over once"
            )
            self._stop.set()
            return
        self.admitted = True
        for name, allowance in _LOOPS.items():
            self._chronicle.expect(name, allowance)
        self._writer.start()
        self.events.start()


@contextmanager
def membership(place: Workplace, chronicle: Chronicle, stop: threading.Event) -> Iterator[Membership]:
    """A running membership; Broken at its end, or at once, if another agent owns the node."""
    joined = Membership(place, chronicle, stop)
    with ExitStack() as stack:
        stack.callback(joined.close)
        joined.start()
        yield joined


def _now() -> datetime:
    return datetime.now(UTC)


def _nobody() -> None:
    """Nobody listens yet."""
