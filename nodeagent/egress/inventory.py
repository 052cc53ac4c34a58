"""All gateways, and all that they stand on, from objects of the API or of files. Pure.

Invariant: an object that cannot be read costs nothing but itself: its problems stand beside the others' gateways.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from nodeagent.egress.gateway import OURS, THEIRS, Gateway, gateway
from nodeagent.egress.site import Node, Object, Pod, Site, Subnet, Vpc
from nodeagent.errors import Problem, Rejected

PATHS: Final[Mapping[str, str]] = {
    THEIRS: "/apis/kubeovn.io/v1/vpc-egress-gateways",
    "Vpc": "/apis/kubeovn.io/v1/vpcs",
    "Subnet": "/apis/kubeovn.io/v1/subnets",
    "Namespace": "/api/v1/namespaces",
    "Pod": "/api/v1/pods",
    "Node": "/api/v1/nodes",
}


@dataclass(frozen=True)
class Inventory:
    """Gateways by namespace/name, and those that cannot be read, with what is wrong with them."""

    gateways: Mapping[str, Gateway] = field(default_factory=dict)
    refused: Mapping[str, tuple[Problem, ...]] = field(default_factory=dict)
    site: Site = field(default_factory=Site)


def inventory(objects: Iterable[Object]) -> Inventory:
    """The inventory of objects of any kinds; those of other kinds are left out."""
    kinds: dict[str, list[Object]] = {}
    for each in objects:
        kinds.setdefault(str(each.get("kind")), []).append(each)
    read = [readable(each) for kind in (THEIRS, OURS) for each in kinds.get(kind, ())]
    return Inventory(
        gateways={found.key: found for found in read if isinstance(found, Gateway)},
        refused=dict(each for each in read if not isinstance(each, Gateway)),
        site=Site(
            vpcs={name: Vpc.of(each) for name, each in _named(kinds, "Vpc")},
            subnets={name: Subnet.of(each) for name, each in _named(kinds, "Subnet")},
            namespaces={name: each["metadata"].get("labels") or {} for name, each in _named(kinds, "Namespace")},
            pods=tuple(Pod.of(each) for each in kinds.get("Pod", ())),
            nodes={name: Node.of(each) for name, each in _named(kinds, "Node")},
        ),
    )


def readable(document: Object) -> Gateway | tuple[str, tuple[Problem, ...]]:
    """The gateway of an object, or else its key and what is wrong with it."""
    try:
        return gateway(document)
    except Rejected as error:
        metadata = document.get("metadata") or {}
        return f"{metadata.get('namespace', 'default')}/{metadata.get('name', '')}", error.problems


def _named(kinds: Mapping[str, list[Object]], kind: str) -> list[tuple[str, Mapping[str, Any]]]:
    return [(each["metadata"]["name"], each) for each in kinds.get(kind, ())]
