"""What the cluster wants of this node: the rendered config that its annotation names, and the disruption policy.

The config is immutable and named after its contents, so it is fetched once and kept; from the verified copy the agent
works through an API server that is away, restarts and reboots included.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Protocol

from nodeagent.errors import Problem, Rejected
from nodeagent.machineconfig.job import Intent
from nodeagent.observed import nodes
from nodeagent.observed.nodes import NodeView

COPY = "assignment.json"
_FORMAT = 1


class Cache(Protocol):
    """The agent's private directory on the node."""

    def read(self, name: str) -> bytes | None: ...

    def write(self, name: str, data: bytes) -> None: ...


class Cluster(Protocol):
    """What is known of the cluster. `node` and `policy` answer from memory, `rendered` asks the API server."""

    def node(self) -> NodeView | None:
        """This node; None as long as it has never been seen."""
        ...

    def policy(self) -> Mapping[str, Any] | None:
        """The MachineConfiguration object, {} where there is none; None as long as that is not known."""
        ...

    def rendered(self, name: str) -> Mapping[str, Any] | None:
        """The MachineConfig `name`, None if there is none; Transient if the API server does not answer."""
        ...


class Assignment:
    """The node's assignment, from the cluster or, where the cluster does not answer, as it was last."""

    def __init__(self, cluster: Cluster, cache: Cache) -> None:
        self._cluster = cluster
        self._cache = cache

    def load(self) -> Intent | None:
        """What to apply; None while nothing is assigned. Rejected if it cannot be used, Transient if out of reach."""
        node, policy = self._cluster.node(), self._cluster.policy()
        copy = self._read()
        if node is None:
            return _intent(copy) if copy else None
        desired = node.said(nodes.DESIRED_CONFIG)
        if not desired:
            return None
        current = {"name": desired, "rendered": copy.get("rendered"), "policy": copy.get("policy")}
        if copy.get("name") != desired:
            current["rendered"] = self._fetched(desired)
        if policy is not None:
            current["policy"] = _heeded(policy)
        if current != copy:
            self._keep(current)
        return _intent(current)

    def _fetched(self, name: str) -> dict[str, Any]:
        found = self._cluster.rendered(name)
        if found is None:
            advice = "the controller of the pools has to publish it, or to name another"
            where = f"{nodes.DESIRED_CONFIG}={name}"
            raise Rejected([Problem("Node", where, "names a MachineConfig that does not exist", advice)])
        metadata = found.get("metadata") or {}
        kept = {key: metadata[key] for key in ("name", "labels", "annotations") if key in metadata}
        return {"metadata": kept, "spec": found.get("spec") or {}}

    # -- the copy -----------------------------------------------------------------------------------------------------

    def _read(self) -> dict[str, Any]:
        """The copy that an earlier run kept; a damaged one counts for nothing and is fetched again."""
        try:
            kept = json.loads(self._cache.read(COPY) or b"{}")
            whole = kept.get("format") == _FORMAT and kept.get("sha256") == _digest(kept.get("copy"))
            return dict(kept["copy"]) if whole else {}
        except (ValueError, AttributeError):
            return {}

    def _keep(self, copy: dict[str, Any]) -> None:
        document = {"format": _FORMAT, "sha256": _digest(copy), "copy": copy}
        self._cache.write(COPY, json.dumps(document, separators=(",", ":")).encode())


def _intent(copy: Mapping[str, Any]) -> Intent:
    from nodeagent.machineconfig import policydocument, provenance  # noqa: PLC0415 - the Ignition model, by need
    from nodeagent.machineconfig.api import MachineConfig  # noqa: PLC0415
    from nodeagent.machineconfig.ignition import validation  # noqa: PLC0415
    from nodeagent.machineconfig.render import Rendered  # noqa: PLC0415

    rendered = Rendered.from_document(copy["rendered"])
    # Whoever has rendered it: what is hazardous goes no further.
    problems, _ = validation.validate(rendered.config, object=f"MachineConfig {rendered.name}", at="$.spec.config")
    if problems:
        raise Rejected(problems)
    origin = provenance.published(copy["rendered"]["metadata"].get("annotations") or {})
    whole = MachineConfig(
        rendered.name, rendered.pool, config=rendered.config, kernel_arguments=rendered.kernel_arguments
    )
    named = replace(rendered, provenance=origin or provenance.trace([whole]))
    return Intent(named, policydocument.effective(copy["policy"]))


def _heeded(policy: Mapping[str, Any]) -> dict[str, Any]:
    """The parts of a MachineConfiguration that the agent heeds."""
    status = (policy.get("status") or {}).get("nodeDisruptionPolicyStatus")
    return {"spec": policy.get("spec") or {}, "status": {"nodeDisruptionPolicyStatus": status}}


def _digest(copy: object) -> str:
    return hashlib.sha256(json.dumps(copy, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
