"""All gateways, and all that they stand on, from objects of the API or of files. Pure.

Invariant: an object that cannot be read costs nothing but itself: its problems stand beside the others' gateways.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from nodeagent.egress.gateway import OURS, THEIRS, Gateway, gateway
from nodeagent.egress.site import Attachment, Ip, Node, Object, Pod, Site, Subnet, Vpc
from nodeagent.errors import Problem, Rejected

PATHS: Final[Mapping[str, str]] = {
    THEIRS: "/apis/kubeovn.io/v1/vpc-egress-gateways",
    "Vpc": "/apis/kubeovn.io/v1/vpcs",
    "Subnet": "/apis/kubeovn.io/v1/subnets",
    "Namespace": "/api/v1/namespaces",
    "Pod": "/api/v1/pods",
    "Node": "/api/v1/nodes",
}
PROGRAM_PATHS: Final[Mapping[str, str]] = {  # what is needed besides, to program gateways
    OURS: "/apis/nodeagent.io/v1alpha1/egressgateways",
    "IP": "/apis/kubeovn.io/v1/ips",
    "NetworkAttachmentDefinition": "/apis/k8s.cni.cncf.io/v1/network-attachment-definitions",
}
FINALIZER: Final = "nodeagent.io/egress"
STATUS: Final = "nodeagent.io/egress-status"  # JSON: of a status, what Kube-OVN's kind has no fields for


BESIDE: Final = frozenset({"sessions", "parts"})  # those fields
_KINDS: Final[Mapping[str, frozenset[str]]] = {
    "observe": frozenset(),
    "program": frozenset({OURS}),
    "takeover": frozenset({OURS, THEIRS}),
}


def kinds(mode: str) -> frozenset[str]:
    """The kinds that we program in this mode (setting `egress.mode`)."""
    return _KINDS[mode]


@dataclass(frozen=True)
class Read:
    """An object as it was read: its gateway, or else what is wrong with it.

    `deleting` is true once somebody has asked for its end, and `held` while a finalizer of ours keeps it from that.
    """

    kind: str
    key: str
    gateway: Gateway | None = None
    problems: tuple[Problem, ...] = ()
    generation: int = 0
    deleting: bool = False
    held: bool = False
    labels: Mapping[str, str] = field(default_factory=dict)
    status: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Inventory:
    """Objects by namespace/name, and what they stand on; `programmed` are the kinds whose rows we write.

    Where an object of each kind has the same name, Kube-OVN's is in `objects`, since rows would have the same names;
    ours is in `clashing`.
    """

    objects: Mapping[str, Read] = field(default_factory=dict)
    site: Site = field(default_factory=Site)
    programmed: frozenset[str] = frozenset()
    clashing: tuple[Read, ...] = ()

    @property
    def staying(self) -> tuple[Read, ...]:
        """The objects that we program, and whose end nobody has asked for."""
        return tuple(each for each in self.objects.values() if each.kind in self.programmed and not each.deleting)


def inventory(objects: Iterable[Object], programmed: frozenset[str] = frozenset()) -> Inventory:
    """The inventory of objects of any kinds; those of other kinds are left out."""
    kinds: dict[str, list[Object]] = {}
    for each in objects:
        kinds.setdefault(str(each.get("kind")), []).append(each)
    return gathered(
        [readable(each) for kind in (THEIRS, OURS) for each in kinds.get(kind, ())],
        Site(
            vpcs={name: Vpc.of(each) for name, each in _named(kinds, "Vpc")},
            subnets={name: Subnet.of(each) for name, each in _named(kinds, "Subnet")},
            namespaces={name: each["metadata"].get("labels") or {} for name, each in _named(kinds, "Namespace")},
            pods=tuple(Pod.of(each) for each in kinds.get("Pod", ())),
            nodes={name: Node.of(each) for name, each in _named(kinds, "Node")},
            devices=devices(Attachment.of(each) for each in kinds.get("NetworkAttachmentDefinition", ())),
            ips={name: Ip.of(each) for name, each in _named(kinds, "IP")},
        ),
        programmed,
    )


def gathered(read: Iterable[Read], site: Site, programmed: frozenset[str]) -> Inventory:
    """The inventory of objects that were read one by one."""
    found: dict[str, Read] = {}
    clashing = []
    for each in sorted(read, key=lambda each: each.kind == OURS):
        if each.key in found:
            clashing.append(each)
        else:
            found[each.key] = each
    return Inventory(found, site, programmed, tuple(clashing))


def devices(attachments: Iterable[Attachment]) -> dict[str, str]:
    """The devices of those that have one, by provider."""
    return {each.provider: each.device for each in attachments if each.device}


def readable(document: Object) -> Read:
    """An object of either kind."""
    metadata = document.get("metadata") or {}
    key = f"{metadata.get('namespace', 'default')}/{metadata.get('name', '')}"
    found: Gateway | None = None
    problems: tuple[Problem, ...] = ()
    try:
        found = gateway(document)
    except Rejected as error:
        problems = error.problems
    return Read(
        kind=str(document.get("kind", THEIRS)),
        key=key,
        gateway=found,
        problems=problems,
        generation=metadata.get("generation", 0),
        deleting=bool(metadata.get("deletionTimestamp")),
        held=FINALIZER in (metadata.get("finalizers") or ()),
        labels=metadata.get("labels") or {},
        status={**(document.get("status") or {}), **_beside(metadata.get("annotations") or {})},
    )


def _beside(annotations: Mapping[str, str]) -> Mapping[str, Any]:
    """What of a status stands in an annotation; {} where that cannot be read, and it is made anew."""
    try:
        found = json.loads(annotations.get(STATUS, "{}"))
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _named(kinds: Mapping[str, list[Object]], kind: str) -> list[tuple[str, Mapping[str, Any]]]:
    return [(each["metadata"]["name"], each) for each in kinds.get(kind, ())]
