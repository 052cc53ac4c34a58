"""The agent in its pod, as the cluster sees it.

Invariant: a config is assigned as any controller of pools assigns it, by an annotation on the Node.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from nodeagent.machineconfig import provenance
from nodeagent.machineconfig.render import render
from nodeagent.machineconfig.source import load
from nodeagent.observed import nodes
from tests.kubeadm.node import KubeadmNode

Object = dict[str, Any]
_VERSION = "machineconfiguration.alauda.io/v1alpha1"
_COMPONENT = "app.kubernetes.io/component=agent"


def machine_config(name: str, **config: Any) -> Object:
    """A MachineConfig of `storage`, `systemd`, `passwd` as Ignition has them."""
    return {
        "apiVersion": _VERSION,
        "kind": "MachineConfig",
        "metadata": {"name": name, "labels": {"machineconfiguration.alauda.io/role": "master"}},
        "spec": {"config": {"ignition": {"version": "3.4.0"}, **config}},
    }


class AgentPod:
    """The one pod of DaemonSet `agent`, on the one node."""

    def __init__(self, node: KubeadmNode) -> None:
        self.node = node

    # -- the pod ------------------------------------------------------------------------------------------------------

    def pods(self) -> list[Object]:
        """The agent's pods that are not on their way out."""
        found = self.node.get("-n", "nodeagent", "pods", "-l", _COMPONENT).get("items", [])
        return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]

    def name(self) -> str:
        (pod,) = self.pods()
        return str(pod["metadata"]["name"])

    def container(self) -> Object:
        """Status of the pod's container: its id, restarts, and whether it is ready."""
        (pod,) = self.pods()
        (status,) = pod["status"]["containerStatuses"]
        return dict(status)

    def is_ready(self) -> bool:
        """Whether there is one pod of the agent, and it is ready."""
        conditions = [each for pod in self.pods() for each in pod["status"].get("conditions", [])]
        return [each["status"] for each in conditions if each["type"] == "Ready"] == ["True"]

    def until_ready(self) -> None:
        self.node.until(self.is_ready, "the agent's pod is ready")

    # -- the node protocol --------------------------------------------------------------------------------------------

    def assign(self, *configs: Object) -> str:
        """Render `configs`, publish that and assign it to the node; its name."""
        encoded = [(f"{number}.json", json.dumps(config).encode()) for number, config in enumerate(configs)]
        rendered = render(load(encoded).machine_configs, "master")
        document = rendered.document()
        document["metadata"]["annotations"] |= provenance.publishable(rendered.provenance)
        self.node.apply(document)
        self.annotate(nodes.DESIRED_CONFIG, rendered.name)
        return rendered.name

    def has(self, *configs: Object) -> str:
        """Assign `configs` and wait until the node has them; the name of what was rendered."""
        name = self.assign(*configs)
        self.until_done(name)
        return name

    def annotate(self, annotation: str, value: str) -> None:
        self.node.kubectl("annotate", "--overwrite", "node", self.node.name, f"{annotation}={value}")

    def policy(self, policy: Mapping[str, Any]) -> None:
        """Set the disruption policy of the cluster."""
        head = {"apiVersion": _VERSION, "kind": "MachineConfiguration", "metadata": {"name": "cluster"}}
        self.node.apply({**head, "spec": {"nodeDisruptionPolicy": policy}})

    def said(self, annotation: str) -> str:
        return str(self._node().get("metadata", {}).get("annotations", {}).get(annotation, ""))

    def condition(self, kind: str = nodes.MACHINE_CONFIG_DEGRADED) -> Object:
        conditions = self._node().get("status", {}).get("conditions", [])
        return next((each for each in conditions if each["type"] == kind), {})

    def until_done(self, config: str) -> None:
        """Wait until the node says that it has `config`, and that all is well."""

        def done() -> bool:
            seen = (self.said(nodes.CURRENT_CONFIG), self.said(nodes.STATE), self.condition().get("status"))
            return seen == (config, "Done", "False")

        self.node.until(done, f"{config} is Done")

    def _node(self) -> Object:
        return self.node.get("node", self.node.name)
