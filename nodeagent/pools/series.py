"""Pools as metrics: how many of their nodes are how far, and which of their conditions hold. Pure.

The numbers are those of the pool's status, so that a dashboard and `kubectl get machineconfigpools` never disagree.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from nodeagent.pools.pool import Pool

Labels = tuple[str, ...]

COLUMNS: Final[Mapping[str, tuple[str, Labels]]] = {
    "nodeagent_pool_nodes": ("Nodes of a pool by how far they are", ("pool", "state")),
    "nodeagent_pool_condition": ("1 while a condition of a pool holds", ("pool", "condition")),
    "nodeagent_pool_paused": ("1 while an administrator has paused a pool", ("pool",)),
}

_COUNTS: Final = {
    "all": "machineCount",
    "updated": "updatedMachineCount",
    "ready": "readyMachineCount",
    "unavailable": "unavailableMachineCount",
    "degraded": "degradedMachineCount",
}


def series(pools: Iterable[Pool]) -> dict[str, list[tuple[Labels, float]]]:
    """The rows of each table of COLUMNS."""
    known = sorted(pools, key=lambda pool: pool.name)
    return {
        "nodeagent_pool_nodes": [
            ((pool.name, state), float(pool.status[field]))
            for pool in known
            for state, field in _COUNTS.items()
            if field in pool.status
        ],
        "nodeagent_pool_condition": [
            ((pool.name, each["type"]), float(each["status"] == "True"))
            for pool in known
            for each in pool.status.get("conditions") or ()
        ],
        "nodeagent_pool_paused": [((pool.name,), float(pool.paused)) for pool in known],
    }
