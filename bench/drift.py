"""Drift: from an edit of a managed file until the daemon's status file reports it."""

from __future__ import annotations

import os
import random
import statistics
import time
from collections.abc import Callable

from bench import workload
from bench.measure import percentile
from bench.node import Daemon, build
from bench.report import Section, Target, seconds
from bench.scale import Scale
from bench.workload import Workload

_SEED = 20260102
_SETTLE = 2.0  # seconds
_LIMIT = 250.0  # ms


def _append(path: str) -> None:
    with open(path, "a") as file:
        file.write("tampered\n")


def _overwrite(path: str) -> None:
    with open(path, "r+") as file:
        file.write("tampered")


def _replace(path: str) -> None:
    with open(f"{path}.new", "w") as file:
        file.write("tampered\n")
    os.rename(f"{path}.new", path)


def _chmod(path: str) -> None:
    os.chmod(path, 0o600)


_EDITS: dict[str, Callable[[str], None]] = {
    "append": _append,
    "overwrite in place": _overwrite,
    "replace by rename": _replace,
    "change the mode": _chmod,
    "remove": os.unlink,
}


def bench(base: str, scale: Scale) -> Section:
    """Seeded edits, one after the other, each taken back before the next."""
    found: dict[str, list[float]] = {name: [] for name in _EDITS}
    source = random.Random(_SEED)
    node = build(base, Workload(scale.files, scale.units))
    node.apply()
    with node.daemon() as daemon:
        time.sleep(_SETTLE)
        for number in range(scale.edits):
            name = list(_EDITS)[number % len(_EDITS)]
            managed = workload.path(source.randrange(scale.files))
            found[name].append(_latency(daemon, node.root + managed, managed, _EDITS[name]))
    everything = [value for values in found.values() for value in values]
    rows = [_row(name, values) for name, values in (*found.items(), ("all", everything))]
    return Section(
        f"Drift: {scale.edits} edits, {scale.files} managed files",
        "From just before the edit until the status file names the path, with the default debounce of 50 ms, which "
        "is part of the figures.",
        ("edit", "number", "p50", "p99", "maximum"),
        rows,
        [Target("p99", percentile(everything, 0.99) * 1000, _LIMIT, " ms")],
    )


def _latency(daemon: Daemon, path: str, managed: str, edit: Callable[[str], None]) -> float:
    """Seconds from an edit to its report; the file is as before afterwards."""
    with open(path, "rb") as file:
        original = file.read()
    began = time.perf_counter()
    edit(path)
    daemon.until(f"the drift of {managed} is reported", lambda: managed in daemon.drifting())
    took = time.perf_counter() - began
    with open(path, "wb") as file:
        file.write(original)
    os.chmod(path, 0o644)
    daemon.until(f"the drift of {managed} is gone", lambda: managed not in daemon.drifting())
    return took


def _row(name: str, values: list[float]) -> list[str]:
    shown = (statistics.median(values), percentile(values, 0.99), max(values))
    return [name, str(len(values)), *map(seconds, shown)]
