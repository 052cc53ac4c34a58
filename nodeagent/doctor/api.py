"""Whether the API server answers, knows this node, and lets the agent do its work."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final, Protocol

from nodeagent.doctor.check import Check, Finding, failure, judged, warning
from nodeagent.observed.vitals import Permission

NAME: Final = "api"

_GROUP: Final = "machineconfiguration.alauda.io"
_LEASES: Final = "coordination.k8s.io"


class Api(Protocol):
    """The cluster, asked with the agent's own identity. All methods raise NodeAgentError."""

    def knows_node(self, name: str) -> bool: ...

    def serves(self, group: str) -> bool:
        """Whether there is an API group of this name."""
        ...

    def allows(self, permission: Permission) -> bool: ...


def permissions(report_namespace: str, lease_namespace: str) -> Mapping[Permission, str]:
    """What an agent asks of the API server, and what suffers where that is refused; as deploy/rbac.yaml grants it."""
    needed = {
        Permission("watch", "nodes"): "it does not hear which config is assigned",
        Permission("patch", "nodes/status"): "the cluster does not learn how the node is",
        Permission("get", "machineconfigs", _GROUP): "no config can be fetched",
        Permission("watch", "machineconfigurations", _GROUP, name="cluster"): "the disruption policy is not followed",
        Permission("create", "events", namespace="default"): "there are no Events",
        Permission("create", "leases", _LEASES, lease_namespace): "nodes do not take turns",
    }
    if report_namespace:
        report = Permission("create", "configmaps", namespace=report_namespace)
        needed[report] = "the inventory of certificates is not published"
    return needed


_VITAL: Final = frozenset({"nodes", "nodes/status", "machineconfigs", "machineconfigurations"})


def api(cluster: Api, node: str, needed: Mapping[Permission, str]) -> Check:
    """Raises what `cluster` raises where it does not answer."""
    fine = f"it knows node {node} and allows all {len(needed)} kinds of request"
    return judged(NAME, _findings(cluster, node, needed), fine)


def _findings(cluster: Api, node: str, needed: Mapping[Permission, str]) -> Iterator[Finding]:
    if not cluster.knows_node(node):
        yield failure(f"there is no Node {node}", "set node_name to the name by which the kubelet registers this node")
    if not cluster.serves(_GROUP):
        yield failure(f"the API group {_GROUP} is missing", "install the custom resources: kubectl apply -k deploy")
    for permission, suffers in needed.items():
        if not cluster.allows(permission):
            found = failure if permission.resource in _VITAL else warning
            yield found(f"it may not {permission}: {suffers}", "apply deploy/rbac.yaml")
