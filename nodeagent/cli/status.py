"""`status`: how this node is, as the daemon last saw it and as the state on disk has it."""

from __future__ import annotations

import argparse
import datetime
from collections.abc import Iterator, Mapping
from typing import Any

from nodeagent import agent
from nodeagent.cli import show
from nodeagent.cli.codes import OK, PENDING
from nodeagent.cli.machineconfig import Commands, settings_of
from nodeagent.machineconfig.drift import Drift, Ledger
from nodeagent.machineconfig.following import LEDGER
from nodeagent.settings.flags import add_flags
from nodeagent.telemetry.status import read_status

_VERDICT = ("state", "cause", "reason")  # of each job


def register(commands: Commands) -> None:
    """Add the command."""
    status = commands.add_parser("status", help="show the node's state, config, drift and what is pending")
    status.add_argument("-o", "--output", choices=("human", "json"), default="human", help="form of the output")
    add_flags(status, "root", "state_dir", "run_dir")
    status.set_defaults(run=status_command)


def status_command(arguments: argparse.Namespace) -> int:
    """Show it; 3 if there is drift, a pending reboot or a failure."""
    settings = settings_of(arguments)
    document = read_status(settings.run_dir)
    with agent.opened(settings) as place:
        applied = place.job.applied()
        running = place.store.is_locked("daemon.lock")
        recorded = Ledger.decode(place.store.read(LEDGER) or b"[]")
    jobs: Mapping[str, Mapping[str, Any]] = (document or {}).get("jobs", {}) if running else {}
    job = jobs.get("machineconfig", {})
    view = {
        "node": settings.node_name,
        "daemon": "running" if running else "not running",
        "state": job.get("state", "Unknown"),
        "cause": job.get("cause", ""),
        "reason": job.get("reason", "") if running else "the daemon is not running; `nodeagent verify` looks now",
        "config": applied.config,
        "desired": job.get("desired", ""),
        "generation": applied.generation,
        "held": applied.held,
        "pending": vars(applied.pending) if applied.pending else None,
        "drift": [drift.facts() for drift in recorded.drifts],
        "watch": job.get("watch", []),
        "jobs": {name: {key: said.get(key, "") for key in _VERDICT} for name, said in sorted(jobs.items())},
    }
    if arguments.output == "json":
        show.emit(view)
    else:
        print("\n".join(_lines(view)))
    states = {view["state"], *(said["state"] for said in view["jobs"].values())}
    healthy = states <= {"Done", "Unknown"} and not view["drift"] and not view["pending"]
    return OK if healthy else PENDING


def _lines(view: Mapping[str, Any]) -> Iterator[str]:
    yield f"node        {view['node']}"
    yield f"daemon      {view['daemon']}"
    yield f"state       {view['state']}" + (f": {view['reason']}" if view["reason"] else "")
    yield f"config      {view['config'] or 'none'} (generation {view['generation']})"
    if view["desired"] and view["desired"] != view["config"]:
        yield f"desired     {view['desired']}"
    if view["held"]:
        yield f"held        {view['held']}: rolled back from; new sources or `nodeagent apply` end this"
    if view["pending"]:
        since = datetime.datetime.fromtimestamp(view["pending"]["since"], datetime.UTC)
        yield f"reboot      pending since {since:%Y-%m-%dT%H:%M:%SZ}: {view['pending']['why']}"
    for problem in view["watch"]:
        yield f"watch       {problem}"
    for name, said in view["jobs"].items():
        if name != "machineconfig":
            yield f"{name:<11} {said['state']}" + (f": {said['reason']}" if said["reason"] else "")
    none = "none" if view["daemon"] == "running" else "none recorded"  # nobody looks
    yield f"drift       {len(view['drift']) or none}"
    yield from show.drift_lines(map(Drift.from_facts, view["drift"]), lambda _: ())
