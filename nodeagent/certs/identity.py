"""Whose certificates these are: which node, and what it is for.

Invariant: told by the files alone, for a root directory may be another node's than the one that this runs on.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from nodeagent.certs.catalog import KUBEADM_NAMES, KUBELET_CLIENT, KUBELET_CONF, Kind
from nodeagent.certs.survey import Survey

_NODE_USER = "system:node:"
_EVERYWHERE = frozenset({"admin.conf"})  # of what kubeadm makes on control planes, what people copy to workers


class Role(StrEnum):
    """What a node is for."""

    CONTROL_PLANE = "control-plane"
    WORKER = "worker"


@dataclass(frozen=True)
class Node:
    """A node; `name` and `address` are "" where nobody knows."""

    name: str
    address: str
    role: Role


def name_of(survey: Survey) -> str:
    """The name by which the kubelet introduces itself (CN system:node:NAME), "" if it has no certificate."""
    leaves = filter(None, map(survey.leaf, (KUBELET_CLIENT, KUBELET_CONF)))
    users = (leaf.common_name for leaf in leaves if leaf.common_name.startswith(_NODE_USER))
    return next(users, "").removeprefix(_NODE_USER)


def role_of(survey: Survey) -> Role:
    """A node that has any leaf certificate of the control plane belongs to it."""
    names = {each.item.name for each in survey.specimens if each.item.kind is not Kind.CA}
    return Role.CONTROL_PLANE if names & (KUBEADM_NAMES - _EVERYWHERE) else Role.WORKER
