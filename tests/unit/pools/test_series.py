"""Pools as metrics: what their status says, and nothing where it says nothing yet."""

from __future__ import annotations

from nodeagent.pools.pool import Pool
from nodeagent.pools.series import COLUMNS, series


def test_a_pool_shows_what_its_status_counts() -> None:
    status = {
        "machineCount": 3,
        "updatedMachineCount": 1,
        "conditions": [{"type": "RolloutHalted", "status": "True"}, {"type": "Updated", "status": "False"}],
    }
    rows = series([Pool("worker", paused=True, status=status), Pool("new")])
    assert rows["nodeagent_pool_nodes"] == [(("worker", "all"), 3.0), (("worker", "updated"), 1.0)]
    assert rows["nodeagent_pool_condition"] == [(("worker", "RolloutHalted"), 1.0), (("worker", "Updated"), 0.0)]
    assert rows["nodeagent_pool_paused"] == [(("new",), 0.0), (("worker",), 1.0)]


def test_every_table_is_there_without_pools_too() -> None:
    assert series([]) == {name: [] for name in COLUMNS}
