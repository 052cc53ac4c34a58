"""BIRD beside FRR's bfdd as the gateway's end of BFD, with a real OVN at the other.

python -m bench.speakers [--seconds SECONDS] [--intervals MS …]
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench.frr import Frr
from bench.idle import pss_of
from bench.measure import cpu_of
from bench.sessions import Heard, listening
from nodeagent.egress.node.dataplane import INSIDE
from tests.fabric.birds import Speaking
from tests.fabric.network import until
from tests.fabric.ovnfabric import Fabric, fabric, order
from tests.ovn.packages import ensured

_UP = 120.0  # seconds that all sessions have to come up
_SETTLE = 30.0  # seconds until it counts as at rest
_SILENCE = 5.0  # seconds; any end says something each second, whatever its state
_BACK = 60.0
_HEAD = (
    "speaker",
    "BFD",
    "all up",
    "went down before rest",
    "at rest",
    "PSS",
    "CPU",
    "a gateway killed: no answer for",
)


@dataclass(frozen=True)
class Rest:
    """At rest: how often sessions went down, and of one gateway's processes MiB and % of a core, by program."""

    falls: int
    memory: dict[str, float]
    share: dict[str, float]


def main(seconds: float, intervals: list[int]) -> None:
    print(_row(_HEAD), _row(["---"] * len(_HEAD)), sep="\n")
    with tempfile.TemporaryDirectory(prefix="frr-", dir="/tmp") as folder:
        for interval in intervals:
            for name, make in _contestants(Path(folder)).items():
                print(_row([name, f"{interval} ms, three times", *_measured(make(), interval, seconds)]), flush=True)


def _contestants(folder: Path) -> dict[str, Callable[[], Speaking | None]]:
    frr = ensured("frr")
    said = subprocess.run(["bird", "--version"], capture_output=True, text=True, check=True, timeout=10)
    told = subprocess.run(
        frr.command("lib/frr/bfdd", "--version"), capture_output=True, text=True, check=True, timeout=10
    )
    return {
        said.stderr.strip().replace("version ", "") or said.stdout.strip(): lambda: None,
        f"FRR {told.stdout.split()[2]}": lambda: Frr(frr, folder),
    }


def _measured(speakers: Speaking | None, interval: int, seconds: float) -> list[str]:
    with fabric(speakers=speakers) as site:
        site.program(order(interval))
        for name in site.parts:
            site.place(name)
        with listening([each.namespace for each in site.parts.values()], INSIDE) as heard:
            began = time.monotonic()
            took = _start(site, heard)
            time.sleep(_SETTLE)
            before = heard.falls(began)
            rest = _rest(site, heard, seconds)
            assert heard.lively(4 * len(site.parts), _SILENCE), "a gateway is gone: does another test run?"
        falls = [f"{before} times", f"{rest.falls} times in {seconds:g} s"]
        return [took, *falls, _told(rest.memory, "MiB"), _told(rest.share, "%"), _killed(site)]


def _start(site: Fabric, heard: Heard) -> str:
    """Seconds from the start of the speakers to the moment when both ends of all sessions say that they are up."""
    began = time.monotonic()
    for part in site.parts.values():
        site.speakers.keep(part)
    try:
        until(lambda: heard.up(4 * len(site.parts)), "both ends of all sessions are up", _UP)
    except AssertionError:
        return f"not within {_UP:.0f} s"
    return f"{time.monotonic() - began:.1f} s"


def _rest(site: Fabric, heard: Heard, seconds: float) -> Rest:
    running = [site.speakers.processes(part) for part in site.parts.values()]
    pids = {name: [each[name] for each in running] for name in running[0]}
    began = time.monotonic()
    used = {name: sum(map(cpu_of, each)) for name, each in pids.items()}
    time.sleep(seconds)
    took = (time.monotonic() - began) * len(running)
    share = {name: 100 * (sum(map(cpu_of, each)) - used[name]) / took for name, each in pids.items()}
    return Rest(heard.falls(began), {name: statistics.mean(map(pss_of, each)) for name, each in pids.items()}, share)


def _killed(site: Fabric) -> str:
    """How long one of the addresses outside did not answer, for each gateway that was killed with all that it is."""
    gaps = []
    for name, part in site.parts.items():
        with site.probing(3.0) as told:
            time.sleep(1.0)
            site.kill(part)
        gaps.append(f"{told['gap'] * 1000:.0f} ms")
        site.build(name)
        try:
            until(lambda: site.up() == 2 * len(site.parts), "all sessions are up again", _BACK)
        except AssertionError:
            return f"{', '.join(gaps)}; then they did not come up again within {_BACK:.0f} s"
    return ", ".join(gaps)


def _told(figures: dict[str, float], unit: str) -> str:
    parts = [f"{name} {value:.2f} {unit}" for name, value in figures.items()]
    return f"{sum(figures.values()):.2f} {unit}" + (f" ({', '.join(parts)})" if len(parts) > 1 else "")


def _row(cells: list[str] | tuple[str, ...]) -> str:
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    words = argparse.ArgumentParser(prog="python -m bench.speakers", description=__doc__)
    words.add_argument("--seconds", type=float, default=60.0, help="how long sessions are watched at rest")
    words.add_argument("--intervals", type=int, nargs="+", default=[100, 300], metavar="MS", help="of BFD packets")
    given = words.parse_args()
    main(given.seconds, given.intervals)
