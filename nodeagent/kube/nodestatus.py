"""The one writer of what the agent says on its own Node.

Invariant: only the writer's own loop patches, only what differs from the Node last seen, and it always tells what was
published last: nothing queues up while the API server is away. Annotations and conditions that others write are never
touched, so there is nothing to conflict with.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, Final

from nodeagent.engine.controller import Backoff, Controller, Watcher
from nodeagent.errors import Transient
from nodeagent.kube.conditions import node_patch
from nodeagent.kube.connection import Connection, Patch
from nodeagent.observed import nodes
from nodeagent.observed.nodes import Condition

MANAGER: Final = "nodeagent"  # in metadata.managedFields
WRITTEN: Final = (
    nodes.CURRENT_CONFIG,
    nodes.STATE,
    nodes.REASON,
    nodes.DESIRED_DRAIN,
    nodes.POST_CONFIG_ACTION,
    nodes.REPORT,
    nodes.EGRESS_DRAIN,
    nodes.EGRESS_SESSIONS,
)  # annotations that an agent writes
_LOOK: Final = 300.0  # seconds between two looks when nothing wakes the loop

Node = dict[str, Any]


class NodeWriter:
    """Keeps the Node `name` saying what is wanted. `seen` gives the Node as last watched, None where it is unknown.

    `wake` is to be called when the watched Node changes. `now` is the wall clock, which conditions show.
    """

    def __init__(
        self,
        connection: Connection,
        name: str,
        seen: Callable[[], Node | None],
        now: Callable[[], datetime],
        watcher: Watcher,
        chance: random.Random,
    ) -> None:
        self._connection = connection
        self._name = name
        self._seen = seen
        self._now = now
        self._lock = threading.Lock()
        self._annotations: dict[str, str | None] = {}
        self._conditions: dict[str, Condition] = {}
        self._base: Node | None = None  # the Node that was last patched, and what it became
        self._became: Node | None = None
        backoff = Backoff(shortest=1.0, longest=60.0)
        self._controller = Controller("node-status", self._tick, watcher, chance, backoff)
        self.start = self._controller.start
        self.wake = self._controller.wake
        self.stop = self._controller.stop

    def publish(self, annotations: Mapping[str, str | None], conditions: Iterable[Condition]) -> None:
        """Have the Node say this too, soon: of each annotation and each type of condition the last word counts.

        An annotation of None is to be absent. Never blocks and never fails; values are cut to their bounds.
        """
        with self._lock:
            self._annotations.update(annotations)
            self._conditions.update({each.type: each for each in conditions})
        self._controller.wake()

    def settled(self) -> bool:
        """The Node says all that was published, as far as was seen."""
        node = self._latest()
        return node is not None and not self._patch(node)

    @property
    def _path(self) -> str:
        return f"/api/v1/nodes/{self._name}"

    def _tick(self) -> float:
        node = self._latest()
        if node is None:
            raise Transient(f"node {self._name}: not seen on the API server yet, so its status cannot be told there")
        if patch := self._patch(node):
            base, became = self._seen(), self._send(patch)
            with self._lock:
                self._base, self._became = base, became
        return _LOOK

    def _latest(self) -> Node | None:
        """The Node as watched, or as our last patch left it while the watch has not told of anything since."""
        watched = self._seen()
        with self._lock:
            return self._became if watched is not None and watched is self._base else watched

    def _patch(self, node: Node) -> dict[str, Any]:
        with self._lock:
            annotations, conditions = dict(self._annotations), tuple(self._conditions.values())
        return node_patch(node, annotations, conditions, self._now())

    def _send(self, patch: dict[str, Any]) -> Node:
        query = {"fieldManager": MANAGER}
        answer: Node = self._connection.patch(f"{self._path}/status", patch, Patch.STRATEGIC, query)
        return answer
