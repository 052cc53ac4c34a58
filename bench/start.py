"""Start of the daemon, until it tells systemd that it is ready."""

from __future__ import annotations

from bench.measure import Cost, contest
from bench.node import Node, build
from bench.report import COSTS, Section, Target, cost_rows
from bench.scale import Scale
from bench.workload import Workload

_LIMIT = 250.0  # ms of CPU


def bench(base: str, scale: Scale) -> Section:
    """Starts on nodes on which everything is applied already, with little and with much to look at."""
    little, much = Workload(20, 2), Workload(scale.files, scale.units)
    names = [f"{each.files} files, {each.units} units" for each in (little, much)]
    few, many = build(f"{base}/little", little), build(f"{base}/much", much)
    for node in (few, many):
        node.apply()
    costs = contest(scale.rounds, {names[0]: lambda: _start(few), names[1]: lambda: _start(many)})
    return Section(
        "Start: until ready",
        "The sources are read, the contents of every managed path are looked at, and the status is out, before the "
        "daemon calls itself ready.",
        COSTS,
        cost_rows(costs),
        [Target(f"CPU until ready, {names[0]}", costs[names[0]].cpu * 1000, _LIMIT, " ms")],
    )


def _start(node: Node) -> Cost:
    with node.daemon() as daemon:
        return daemon.start
