"""What a coordinator changes in the cluster, as data.

None of it is journalled: each step follows from the API's objects, so a coordinator that comes later plans whatever its
predecessor left undone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from nodeagent.observed.nodes import NodeView


@dataclass(frozen=True)
class Create:
    """Make an object that is missing; `resource` is the plural of its kind ("machineconfigs")."""

    resource: str
    document: Mapping[str, Any]

    def describe(self) -> str:
        return f"create {self.resource} {self.document['metadata']['name']}"


@dataclass(frozen=True)
class Remove:
    """Remove a rendered config that nobody needs any more."""

    resource: str
    name: str

    def describe(self) -> str:
        return f"remove {self.resource} {self.name}"


@dataclass(frozen=True)
class WriteStatus:
    """Replace the status of an object."""

    resource: str
    name: str
    status: Mapping[str, Any]

    def describe(self) -> str:
        return f"write the status of {self.resource} {self.name}"


@dataclass(frozen=True)
class ChangeNode:
    """Set annotations of a Node (None removes one) and whether it takes new pods, if the Node still is `node`."""

    node: NodeView
    annotations: Mapping[str, str | None] = field(default_factory=dict)
    unschedulable: bool | None = None

    def describe(self) -> str:
        cordon = {None: "", True: "cordon, ", False: "uncordon, "}[self.unschedulable]
        said = ", ".join(f"{name.rpartition('/')[2]}={value}" for name, value in sorted(self.annotations.items()))
        return f"node {self.node.name}: {cordon}{said}"


@dataclass(frozen=True)
class Evict:
    """Ask for a pod (core/v1) to leave a node that is drained."""

    node: str
    pod: Mapping[str, Any]

    def describe(self) -> str:
        metadata = self.pod["metadata"]
        return f"node {self.node}: evict {metadata['namespace']}/{metadata['name']}"


@dataclass(frozen=True)
class Disown:
    """Set the conditions of a node whose agent is gone to Unknown."""

    node: str
    types: tuple[str, ...]
    message: str

    def describe(self) -> str:
        return f"node {self.node}: {', '.join(self.types)} are Unknown: {self.message}"


@dataclass(frozen=True)
class Announce:
    """Write an Event about a node or a pool; `kind` is Normal or Warning."""

    subject: str  # Node or MachineConfigPool
    name: str
    kind: str
    reason: str
    message: str

    def describe(self) -> str:
        return f"{self.subject} {self.name}: {self.reason}: {self.message}"


Step = Create | Remove | WriteStatus | ChangeNode | Evict | Disown | Announce
