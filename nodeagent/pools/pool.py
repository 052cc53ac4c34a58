"""A MachineConfigPool as the API has it, and which of them a node belongs to. Pure.

Source: the rules of the machine-config-operator. Custom pools hold workers only and inherit what workers have; a node
that two custom pools claim belongs to none until that is mended.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from nodeagent.observed.nodes import NodeView
from nodeagent.observed.selectors import fits

MASTER: Final = "master"
WORKER: Final = "worker"
ROLE: Final = "machineconfiguration.alauda.io/role"
VERSION: Final = "machineconfiguration.alauda.io/v1alpha1"
CONFIGS: Final = "machineconfigs"
POOLS: Final = "machineconfigpools"
CONFIGURATIONS: Final = "machineconfigurations"

_LEAST: Final = 1  # nodes that may be unavailable, whatever is asked for

Object = Mapping[str, Any]


@dataclass(frozen=True)
class Pool:
    """A pool. `limit` is maxUnavailable as it is written, `status` the one that stands there."""

    name: str
    generation: int = 0
    node_selector: Mapping[str, Any] = field(default_factory=dict)
    config_selector: Mapping[str, Any] = field(default_factory=dict)
    limit: int | str | None = None
    paused: bool = False
    status: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, document: Object) -> Pool:
        """The pool of a MachineConfigPool object."""
        metadata, spec = document["metadata"], document.get("spec") or {}
        return cls(
            name=metadata["name"],
            generation=metadata.get("generation", 0),
            node_selector=spec.get("nodeSelector") or {},
            config_selector=spec.get("machineConfigSelector") or {},
            limit=spec.get("maxUnavailable"),
            paused=bool(spec.get("paused")),
            status=document.get("status") or {},
        )

    @property
    def custom(self) -> bool:
        return self.name not in (MASTER, WORKER)

    def max_unavailable(self, machines: int) -> int:
        """How many of so many nodes may be unavailable: a share is rounded down; what cannot be read is 1."""
        text = str(self.limit if self.limit is not None else _LEAST)
        number, percent = text.removesuffix("%"), text.endswith("%")
        if not (number.isascii() and number.isdigit()):
            return _LEAST
        return max(_LEAST, machines * int(number) // 100 if percent else int(number))

    def wants(self, config: Object) -> bool:
        """Whether a MachineConfig is one of the pool's sources; custom pools inherit those of workers."""
        labels = config["metadata"].get("labels") or {}
        inherited = self.custom and labels.get(ROLE) == WORKER
        return not is_rendered(config) and (inherited or _claims(self.config_selector, labels))


def is_rendered(config: Object) -> bool:
    """Whether a MachineConfig was rendered, by us or by another controller of this kind."""
    return str(config["metadata"]["name"]).startswith(("render-", "rendered-"))


def _claims(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """An empty selector claims nothing, and one with an operator that is not known neither."""
    if not (selector.get("matchLabels") or selector.get("matchExpressions")):
        return False
    try:
        return fits(selector, labels)
    except ValueError:
        return False


@dataclass(frozen=True)
class Membership:
    """The nodes of each pool by name, sorted, and the nodes that more than one custom pool claims, with these."""

    members: Mapping[str, tuple[NodeView, ...]]
    contested: Mapping[str, tuple[str, ...]]


def membership(nodes: Iterable[NodeView], pools: Iterable[Pool]) -> Membership:
    """Who belongs where: custom pools before worker, master before custom, nobody to two."""
    every = sorted(pools, key=lambda pool: pool.name)
    members: dict[str, list[NodeView]] = {pool.name: [] for pool in every}
    contested = {}
    for node in sorted(nodes, key=lambda node: node.name):
        claiming = [pool.name for pool in every if _claims(pool.node_selector, node.labels)]
        custom = tuple(name for name in claiming if name not in (MASTER, WORKER))
        if len(custom) > 1:
            contested[node.name] = custom
        elif chosen := next((name for name in (MASTER, *custom, WORKER) if name in claiming), None):
            members[chosen].append(node)
    return Membership({name: tuple(found) for name, found in members.items()}, contested)
