"""What a round of programming has to do for the gateways that we program. Pure.

Invariant: every plan is one gateway's, and can be carried out or not without touching another's.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from nodeagent.changes.ovn import Transaction
from nodeagent.egress import bfdport
from nodeagent.egress.allocation import Claim, claims
from nodeagent.egress.difference import difference
from nodeagent.egress.inventory import Inventory
from nodeagent.egress.rows import NODEAGENT
from nodeagent.egress.sight import Sight
from nodeagent.egress.site import GATEWAY
from nodeagent.observed.northbound import VENDOR, Northbound

_LABELS: Final = {"app.kubernetes.io/managed-by": "nodeagent"}  # Kube-OVN adds one, and takes it that there are some
NODE_LABEL: Final = "node.nodeagent.io/"  # and a digest of the node's name, on what that node has a part of


def node_label(node: str) -> str:
    """The label by which a node finds its gateways: names of nodes are longer than labels may be."""
    return f"{NODE_LABEL}{hashlib.sha256(node.encode()).hexdigest()[:12]}"


def relabelled(sight: Sight) -> dict[str, str | None]:
    """The labels to give an object and, with None, those to take from it."""
    wanted = {node_label(each.node) for each in sight.instances}
    has = {name for name in sight.read.labels if name.startswith(NODE_LABEL)}
    return {**dict.fromkeys(sorted(wanted - has), ""), **dict.fromkeys(sorted(has - wanted))}


def departures(found: Inventory, seen: Northbound) -> tuple[Transaction, ...]:
    """For gateways that are going, gone, or not ours to program any more: an end to all rows of ours.

    So too for the BFD ports of Vpcs that no gateway wants any more.
    """
    staying = {each.key for each in found.staying} | bfdport.staying(found)
    owners = {owner for owner in seen.owners() - staying if _ours(owner, seen)}
    return tuple(difference(owner, NODEAGENT, (), seen) for owner in sorted(owners))


def _ours(owner: str, seen: Northbound) -> bool:
    return any(row.said(VENDOR) == NODEAGENT for row in seen.owned(owner))


@dataclass(frozen=True)
class Addresses:
    """IP objects to make, each with its gateway, and names of those to delete."""

    wanted: tuple[tuple[Claim, str], ...]
    unwanted: tuple[str, ...]


def addresses(found: Inventory) -> Addresses:
    """What is to change among the IP objects of the gateways that we program."""
    needed = {
        claim.name: (claim, each.key)
        for each in found.staying
        if each.gateway
        for claim in claims(each.gateway, found.site)
    }
    kept = {key for key, each in found.objects.items() if each.gateway is None and not each.deleting}
    unwanted = (name for name, ip in found.site.ips.items() if ip.owner and ip.owner not in kept and name not in needed)
    wanted = (each for name, each in sorted(needed.items()) if name not in found.site.ips)
    return Addresses(tuple(wanted), tuple(sorted(unwanted)))


def ip_object(claim: Claim, gateway: str) -> Mapping[str, Any]:
    """The IP object of a claim of `gateway` (namespace/name), as Kube-OVN takes one whose address it is to choose."""
    return {
        "apiVersion": "kubeovn.io/v1",
        "kind": "IP",
        "metadata": {"name": claim.name, "labels": _LABELS, "annotations": {GATEWAY: gateway}},
        "spec": {"podName": claim.pod, "namespace": claim.namespace, "subnet": claim.subnet},
    }
