"""What a process costs: wall time and CPU, of itself and of all its descendants that were waited for.

Contestants take turns, round by round, so that whatever else the machine does hits all of them alike.
"""

from __future__ import annotations

import math
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

_DEADLINE = 900.0  # seconds that one process may take


@dataclass(frozen=True)
class Cost:
    """Seconds of wall time and of CPU (user and system), as getrusage(2) counts them."""

    wall: float
    cpu: float

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.wall + other.wall, self.cpu + other.cpu)


def environment() -> dict[str, str]:
    """The environment of every child: bytecode is kept, and no setting of ours leaks in."""
    unwanted = ("PYTHONDONTWRITEBYTECODE", "NOTIFY_SOCKET")
    return {
        name: value for name, value in os.environ.items() if name not in unwanted and not name.startswith("NODEAGENT_")
    }


def run(words: Sequence[str], accept: Sequence[int] = (0,), **variables: str) -> Cost:
    """Run a process to its end; the benchmark ends, with its output, if it ends in any other way than those accepted.

    `variables` are added to its environment.
    """
    with tempfile.TemporaryFile() as output:
        began = time.perf_counter()
        child = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=environment() | variables
        )
        ended, cpu = _wait(child)
        cost = Cost(time.perf_counter() - began, cpu)
        if ended not in accept:
            output.seek(0)
            sys.exit(f"bench: {' '.join(words)} ended with {ended}\n{output.read().decode(errors='replace')}")
    return cost


def _wait(child: subprocess.Popen[bytes]) -> tuple[int, float]:
    """Exit code of a child, and the CPU seconds that it and what it waited for have used."""
    killer = threading.Timer(_DEADLINE, child.kill)
    killer.start()
    try:
        _, status, usage = os.wait4(child.pid, 0)
    finally:
        killer.cancel()
    child.returncode = os.waitstatus_to_exitcode(status)
    return child.returncode, usage.ru_utime + usage.ru_stime


def contest(rounds: int, contestants: Mapping[str, Callable[[], Cost]]) -> dict[str, Cost]:
    """The median cost of each contestant over `rounds` rounds in turns."""
    costs: dict[str, list[Cost]] = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, contestant in contestants.items():
            costs[name].append(contestant())
    return {name: median(found) for name, found in costs.items()}


def median(costs: Sequence[Cost]) -> Cost:
    """Medians of wall time and CPU, each by itself."""
    return Cost(statistics.median(each.wall for each in costs), statistics.median(each.cpu for each in costs))


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` of all values do not exceed (nearest rank)."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def cpu_of(pid: int) -> float:
    """CPU seconds that the threads of a running process have used, ended ones included (clock_getcpuclockid(3))."""
    return time.clock_gettime((~pid << 3) | 2)
