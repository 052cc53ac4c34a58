"""How much is measured: the figures that count, or a smoke run of the benchmark itself."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Scale:
    """Numbers of files, units, rounds, edits and nodes of a cluster; `idle` in seconds."""

    files: int = 1000
    units: int = 50
    many: int = 10_000
    rounds: int = 7
    edits: int = 250
    idle: float = 180.0
    nodes: int = 5000


FULL = Scale()
QUICK = Scale(files=100, units=5, many=500, rounds=1, edits=10, idle=5.0, nodes=60)
