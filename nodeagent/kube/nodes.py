"""What a coordinator writes on other nodes.

Invariant: each step of a rollout on a node is one request that holds for the Node as it was seen, or not at all: a Node
that changed meanwhile answers Conflict, and the coordinator looks again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final

from nodeagent.kube.conditions import bounded, node_patch
from nodeagent.kube.connection import Connection, Patch
from nodeagent.observed.nodes import Condition, NodeView

_MANAGER: Final = {"fieldManager": "nodeagent-coordinator"}


class Nodes:
    """Patches Nodes of the cluster that `connection` leads to."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def change(
        self, node: NodeView, annotations: Mapping[str, str | None], unschedulable: bool | None = None
    ) -> NodeView:
        """Set annotations (None removes one) and, unless None, whether the node takes new pods; the Node after it.

        Raises Conflict where the Node is not `node` any more, Missing where it is gone.
        """
        metadata: dict[str, Any] = {"resourceVersion": node.resource_version, "uid": node.uid}
        if annotations:
            metadata["annotations"] = {name: bounded(name, value) for name, value in annotations.items()}
        patch: dict[str, Any] = {"metadata": metadata}
        if unschedulable is not None:
            patch["spec"] = {"unschedulable": unschedulable or None}  # absent, as `kubectl uncordon` leaves it
        return NodeView.of(self._connection.patch(_path(node.name), patch, Patch.MERGE, _MANAGER))

    def tell(self, name: str, conditions: Iterable[Condition], now: datetime) -> bool:
        """Set conditions in place of an agent that is gone; False if the Node says so already."""
        path = _path(name)
        patch = node_patch(self._connection.get(path), {}, conditions, now)
        if patch:
            self._connection.patch(f"{path}/status", patch, Patch.STRATEGIC, _MANAGER)
        return bool(patch)


def _path(name: str) -> str:
    return f"/api/v1/nodes/{name}"
