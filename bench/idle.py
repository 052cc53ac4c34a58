"""The standalone daemon when nothing happens: memory, CPU, threads."""

from __future__ import annotations

import os
import time

from bench.measure import cpu_of
from bench.node import build
from bench.report import Section, Target
from bench.scale import Scale
from bench.workload import Workload

_SETTLE = 5.0  # seconds
_MEMORY_LIMIT = 35.0  # MiB
_CPU_LIMIT = 0.1  # % of a core


def bench(base: str, scale: Scale) -> Section:
    """A daemon with everything as by default: a sweep over all fingerprints each minute is part of the figures.

    It has itself applied what it follows, as on a node that was just set up: what that took is to be given back.
    """
    with build(base, Workload(scale.files, scale.units)).daemon() as daemon:
        daemon.until("everything is applied", lambda: daemon.status()["state"] == "Done")
        time.sleep(_SETTLE)
        began, used = time.perf_counter(), cpu_of(daemon.pid)
        time.sleep(scale.idle)
        share = 100 * (cpu_of(daemon.pid) - used) / (time.perf_counter() - began)
        pss = pss_of(daemon.pid)
        threads = len(os.listdir(f"/proc/{daemon.pid}/task"))
    return Section(
        f"Idle: the daemon with {scale.files} files, {scale.units} units",
        f"After it has applied them and come to rest, over {scale.idle:g} s; health and metrics are served.",
        ("", "measured"),
        [["PSS", f"{pss:.1f} MiB"], ["CPU", f"{share:.3f} % of a core"], ["threads", str(threads)]],
        [Target("PSS", pss, _MEMORY_LIMIT, " MiB"), Target("CPU", share, _CPU_LIMIT, " % of a core")],
    )


def pss_of(pid: int) -> float:
    """Proportional set size in MiB (proc_pid_smaps(5))."""
    with open(f"/proc/{pid}/smaps_rollup") as table:
        return next(int(line.split()[1]) / 1024 for line in table if line.startswith("Pss:"))
