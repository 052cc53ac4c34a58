"""What a Node object says, and the words in which agent and coordinator talk to each other on it.

The annotations are Alauda's, the same model as the machine-config-operator's: the controller writes `desiredConfig` and
`lastAppliedDrain`, the node's agent writes the rest. A drain is asked for as `drain-<config>` and given back as
`uncordon-<config>`; it is done when `lastAppliedDrain` equals `desiredDrain`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

PREFIX: Final = "machineconfiguration.alauda.io/"
CURRENT_CONFIG: Final = PREFIX + "currentConfig"
DESIRED_CONFIG: Final = PREFIX + "desiredConfig"
STATE: Final = PREFIX + "state"
REASON: Final = PREFIX + "reason"
DESIRED_DRAIN: Final = PREFIX + "desiredDrain"
LAST_APPLIED_DRAIN: Final = PREFIX + "lastAppliedDrain"
POST_CONFIG_ACTION: Final = PREFIX + "post-config-action"
REBOOTING: Final = "Rebooting"

REPORT: Final = "nodeagent.io/report"  # JSON: the agent's version, how it runs, what its jobs last said
CORDONED_FOR: Final = "nodeagent.io/cordoned-for"  # JSON: the drain for which the coordinator cordoned this node
EGRESS_DRAIN: Final = "nodeagent.io/egress-drain"  # this node's gateways take no new traffic:
DRAIN, FORCE = "drain", "force"  # as long as others are left, or in any case
EGRESS_SESSIONS: Final = "nodeagent.io/egress-sessions"  # JSON: state of BFD by a gateway's address inside

MACHINE_CONFIG_DEGRADED: Final = "MachineConfigDegraded"
CERTIFICATES_DEGRADED: Final = "CertificatesDegraded"
EGRESS_GATEWAY_DEGRADED: Final = "EgressGatewayDegraded"
VIP_DEGRADED: Final = "VIPDegraded"
CONDITIONS: Final = (MACHINE_CONFIG_DEGRADED, CERTIFICATES_DEGRADED, EGRESS_GATEWAY_DEGRADED, VIP_DEGRADED)

_ZONE: Final = "topology.kubernetes.io/zone"


def drain_of(config: str) -> str:
    """What `desiredDrain` says to have the node drained for `config`."""
    return f"drain-{config}"


def uncordon_of(config: str) -> str:
    """What `desiredDrain` says to have the node take workloads again after `config`."""
    return f"uncordon-{config}"


@dataclass(frozen=True)
class Condition:
    """A condition of a Node (core/v1 NodeCondition): `status` is True, False or Unknown, `reason` a CamelCase word."""

    type: str
    status: str
    reason: str
    message: str


@dataclass(frozen=True)
class NodeView:
    """The parts of a Node (core/v1) that the agent and the coordinator read.

    `created` is RFC 3339, which sorts by age; `conditions` is status by type.
    """

    name: str
    uid: str = ""
    resource_version: str = ""
    created: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    unschedulable: bool = False
    conditions: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, node: Mapping[str, Any]) -> NodeView:
        """The view of a Node as the API gives it; fields that are missing are empty."""
        metadata = node.get("metadata") or {}
        conditions = (node.get("status") or {}).get("conditions") or ()
        return cls(
            name=metadata.get("name", ""),
            uid=metadata.get("uid", ""),
            resource_version=metadata.get("resourceVersion", ""),
            created=metadata.get("creationTimestamp") or "",
            labels=metadata.get("labels") or {},
            annotations=metadata.get("annotations") or {},
            unschedulable=bool((node.get("spec") or {}).get("unschedulable")),
            conditions={each["type"]: each.get("status", "Unknown") for each in conditions},
        )

    def said(self, annotation: str) -> str:
        """The value of an annotation, "" where there is none."""
        return self.annotations.get(annotation, "")

    @property
    def ready(self) -> bool:
        return self.conditions.get("Ready") == "True"

    @property
    def zone(self) -> str:
        return self.labels.get(_ZONE, "")
