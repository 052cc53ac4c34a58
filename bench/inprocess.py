"""The agent's work by itself, without start and imports: each measurement in a process of its own, from the same state.

`python -m bench.inprocess WORK ROOT SOURCE` prints in JSON what each step of the work has cost.
"""

from __future__ import annotations

import gc
import importlib
import itertools
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict

from bench import measure
from bench.measure import Cost
from bench.node import Node
from nodeagent import agent
from nodeagent.agent import Workplace
from nodeagent.machineconfig import baseline, inspection
from nodeagent.settings import Settings

_DEADLINE = 120.0
_BY_NEED = (  # what the agent imports when it first plans
    "certs.catalog",
    "machineconfig.policydocument",
    "machineconfig.proposal",
    "machineconfig.render",
    "machineconfig.resolve",
    "machineconfig.source",
)


def steps(work: str, node: Node) -> dict[str, Cost]:
    """What each step of `work` ("apply", "sweep" or "look") costs on a node."""
    words = [sys.executable, "-m", "bench.inprocess", work, node.root, node.source]
    environment = measure.environment()
    ended = subprocess.run(words, check=True, stdout=subprocess.PIPE, timeout=_DEADLINE, env=environment)
    return {name: Cost(**cost) for name, cost in json.loads(ended.stdout).items()}


def cost(work: str, node: Node) -> Cost:
    """What the work costs that is done in a step of its own name."""
    return steps(work, node)[work]


def _apply(place: Workplace, source: str) -> Iterator[str]:
    intent, _ = agent.intent([source], place.settings.pool)
    yield "read"
    with place.store.locked(place.settings.apply.lock_timeout):
        proposal = place.job.propose(intent)
        yield "plan"
        place.job.apply(proposal.plan, lambda _: None)
        yield "execute"


def _sweep(place: Workplace, _: str) -> Iterator[str]:
    applied, known = place.job.applied(), baseline.load(place.store)
    yield "load"
    suspects = baseline.suspicious(place.node, applied, known)
    yield "sweep"
    if suspects:
        sys.exit(f"bench: {len(suspects)} paths have changed")


def _look(place: Workplace, _: str) -> Iterator[str]:
    applied = place.job.applied()
    yield "load"
    findings = inspection.look_at_paths(place.node, applied, inspection.paths(applied))
    yield "look"
    if findings:
        sys.exit(f"bench: {len(findings)} findings")


_WORK = {"apply": _apply, "sweep": _sweep, "look": _look}


def _main(work: str, root: str, source: str) -> dict[str, Cost]:
    for name in _BY_NEED:
        importlib.import_module(f"nodeagent.{name}")
    gc.freeze()  # as the daemon does when it has started
    with agent.opened(Settings(root=root)) as place:
        moments = [("begin", _now()), *((step, _now()) for step in _WORK[work](place, source))]
    return {step: _between(before, after) for (_, before), (step, after) in itertools.pairwise(moments)}


def _now() -> Cost:
    return Cost(time.perf_counter(), time.process_time())


def _between(before: Cost, after: Cost) -> Cost:
    return Cost(after.wall - before.wall, after.cpu - before.cpu)


if __name__ == "__main__":
    print(json.dumps({name: asdict(cost) for name, cost in _main(*sys.argv[1:]).items()}))
