"""What the agents and coordinators of a cluster leave in its API, and taking it away.

Invariants: what another program has written stays, as metadata.managedFields tells; nothing is taken away that was not
planned. Looking reads whole collections, page by page.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from nodeagent.changes.leavings import ClearNode, DeleteObject, DropFinalizers
from nodeagent.kube.conditions import removal
from nodeagent.kube.connection import Connection, Patch
from nodeagent.kube.errors import Missing
from nodeagent.kube.events import COORDINATOR
from nodeagent.kube.nodestatus import MANAGER, WRITTEN
from nodeagent.kube.ownership import annotations_of, managers, rival
from nodeagent.kube.pages import objects
from nodeagent.observed import nodes

OURS: Final = "nodeagent.io/"  # how the names of what nobody else uses begin
LEASES: Final = "nodeagent-"
_GROUPS: Final = (
    "/apis/machineconfiguration.alauda.io/v1alpha1",
    "/apis/nodeagent.io/v1alpha1",
    "/apis/kubeovn.io/v1",
)  # with finalizers of ours
_ASSIGNED: Final = (nodes.DESIRED_CONFIG, nodes.LAST_APPLIED_DRAIN)  # by the coordinator, or by another controller
_STALE: Final = 2  # terms of a Lease after which its holder is gone

Object = Mapping[str, Any]


def on_node(node: Object, *, coordinated: bool = False, uncordon: bool = False) -> ClearNode | None:
    """What an agent has said on its Node; with `coordinated` also what our coordinator has. None where that is nothing.

    Where another agent of the same protocol writes the Node, the words of the protocol are left to it.
    """
    names = [name for name in WRITTEN if name.startswith(OURS) or not rival(node, MANAGER)]
    if coordinated:
        names += [nodes.CORDONED_FOR, *(name for name in _ASSIGNED if name in annotations_of(node, COORDINATOR))]
    said = (node.get("metadata") or {}).get("annotations") or {}
    told = {each["type"] for each in (node.get("status") or {}).get("conditions") or ()}
    found = ClearNode(
        node["metadata"]["name"],
        tuple(name for name in names if name in said),
        tuple(kind for kind in nodes.CONDITIONS if kind in told),
        uncordon,
    )
    return found if found.annotations or found.conditions or found.uncordon else None


def node(connection: Connection, name: str) -> Object:
    """The Node `name`, afresh."""
    found: Object = connection.get(_node_path(name))
    return found


def clear_node(connection: Connection, change: ClearNode) -> None:
    """Clear what still is there, in one patch; then uncordon."""
    path = _node_path(change.subject)
    query = {"fieldManager": MANAGER}
    if patch := removal(connection.get(path), change.annotations, change.conditions):
        connection.patch(f"{path}/status", patch, Patch.STRATEGIC, query)
    if change.uncordon:
        connection.patch(path, {"spec": {"unschedulable": None}}, Patch.MERGE, query)


def _node_path(name: str) -> str:
    return f"/api/v1/nodes/{name}"


def pods(connection: Connection, namespace: str) -> tuple[str, ...]:
    """Names of our pods in `namespace` that have not ended."""
    query = {"labelSelector": "app.kubernetes.io/name=nodeagent"}
    found = connection.get(f"/api/v1/namespaces/{namespace}/pods", query).get("items") or ()
    ended = ("Succeeded", "Failed")
    return tuple(each["metadata"]["name"] for each in found if (each.get("status") or {}).get("phase") not in ended)


def leases(connection: Connection, namespace: str) -> tuple[Object, ...]:
    """Our Leases in `namespace`."""
    found = objects(connection, f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases")
    return tuple(each for each in found if each["metadata"]["name"].startswith(LEASES))


def held(leases: Iterable[Object], now: datetime) -> Iterator[tuple[str, str]]:
    """Name and holder of each Lease that is still renewed, by the clock (coordination.k8s.io/v1, LeaseSpec)."""
    for lease in leases:
        spec = lease.get("spec") or {}
        term = timedelta(seconds=float(spec.get("leaseDurationSeconds") or 0))
        renewed = spec.get("renewTime")
        if spec.get("holderIdentity") and renewed and now < datetime.fromisoformat(renewed) + _STALE * term:
            yield lease["metadata"]["name"], str(spec["holderIdentity"])


def lease_left(lease: Object) -> DeleteObject:
    metadata = lease["metadata"]
    return DeleteObject(f"/apis/coordination.k8s.io/v1/namespaces/{metadata['namespace']}/leases/{metadata['name']}")


def config_maps(connection: Connection, namespace: str, prefix: str) -> Iterator[DeleteObject]:
    """ConfigMaps whose names begin with `prefix` and that our agents alone have written."""
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    for each in objects(connection, path):
        name = each["metadata"]["name"]
        if name.startswith(prefix) and managers(each) == {MANAGER}:
            yield DeleteObject(f"{path}/{name}")


def finalizers(connection: Connection) -> Iterator[DropFinalizers]:
    """Finalizers of ours on objects of the kinds that we work on."""
    for group in _GROUPS:
        for kind in _kinds(connection, group):
            for each in objects(connection, f"{group}/{kind}"):
                metadata = each["metadata"]
                ours = tuple(name for name in metadata.get("finalizers") or () if name.startswith(OURS))
                if ours:
                    yield DropFinalizers(_path(group, kind, metadata), ours)


def _kinds(connection: Connection, group: str) -> tuple[str, ...]:
    """The plurals that a group serves; those with / are parts of others."""
    try:
        found = connection.get(group)
    except Missing:
        return ()
    return tuple(each["name"] for each in found["resources"] if "/" not in each["name"])


def _path(group: str, kind: str, metadata: Object) -> str:
    inside = f"/namespaces/{metadata['namespace']}" if metadata.get("namespace") else ""
    return f"{group}{inside}/{kind}/{metadata['name']}"


def drop_finalizers(connection: Connection, change: DropFinalizers) -> None:
    """Drop them, if the object still is what it is when we look; Conflict if it changes meanwhile."""
    try:
        metadata = connection.get(change.subject)["metadata"]
    except Missing:
        return
    kept = [name for name in metadata.get("finalizers") or () if name not in change.finalizers]
    patch = {"metadata": {"finalizers": kept or None, "resourceVersion": metadata["resourceVersion"]}}
    connection.patch(change.subject, patch, Patch.MERGE, {"fieldManager": MANAGER})


def delete(connection: Connection, change: DeleteObject) -> None:
    """Delete it; done too where it is gone already."""
    try:
        connection.delete(change.subject)
    except Missing:
        return
