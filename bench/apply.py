"""First apply: the limit is what `cp -a` and `sync -f` need to have the same tree on the disk."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count

from bench import inprocess, measure
from bench.measure import Cost, contest
from bench.node import Node
from bench.peers import Missing
from bench.peers.ansible import Ansible, archive
from bench.report import COSTS, Section, Target, cost_rows
from bench.scale import Scale
from bench.workload import Workload

_LIMIT = "cp -a, sync -f (the limit)"
_WHOLE = "nodeagent apply (whole process)"
_INSIDE = "nodeagent, plan and execute (in process, journal included)"
_STEP = "nodeagent, {} (in process)"
_EXECUTE = _STEP.format("execute")
_ANSIBLE = "Ansible unarchive"


@dataclass
class Arena:
    """Fresh targets on one file system for everybody; `steps` collects what each step in process costs.

    Nothing is removed meanwhile: ext4 does not hand out freed inodes again for some minutes and looks for others one by
    one, which whoever comes next would pay for.
    """

    base: str
    workload: Workload

    def __post_init__(self) -> None:
        self.tree, self.sources = f"{self.base}/tree", f"{self.base}/sources"
        self._numbers = count()
        self.steps: dict[str, list[Cost]] = {"read": [], "plan": [], "execute": []}
        os.makedirs(self.sources)
        self.workload.write_sources(self.sources)
        self.workload.write_tree(self.tree)

    def fresh(self) -> str:
        """A path where nothing is yet, with nothing left to be written."""
        os.sync()
        return f"{self.base}/{next(self._numbers)}"

    def copy(self) -> Cost:
        target = self.fresh()
        return measure.run(["cp", "-a", self.tree, target]) + measure.run(["sync", "-f", target])

    def whole(self) -> Cost:
        return Node(self.fresh(), self.sources).apply()

    def inside(self) -> Cost:
        steps = inprocess.steps("apply", Node(self.fresh(), self.sources))
        for name, cost in steps.items():
            self.steps[name].append(cost)
        return steps["plan"] + steps["execute"]

    def unarchive(self, ansible: Ansible) -> Cost:
        target = self.fresh()
        os.makedirs(target)
        return ansible.unarchive(target)


def bench(base: str, scale: Scale) -> Section:
    """The first apply of everything on a fresh node."""
    arena = Arena(base, Workload(scale.files, scale.units))
    contestants: dict[str, Callable[[], Cost]] = {_LIMIT: arena.copy, _INSIDE: arena.inside, _WHOLE: arena.whole}
    missing: list[str] = []
    try:
        ansible = Ansible(archive(arena.tree, f"{base}/tree.tar"))
        contestants[_ANSIBLE] = lambda: arena.unarchive(ansible)
    except Missing as reason:
        missing.append(str(reason))
    costs = contest(scale.rounds, contestants)
    costs |= {_STEP.format(name): measure.median(found) for name, found in arena.steps.items()}
    return Section(
        f"First apply: {scale.files} files, {scale.units} units",
        "Files of 1 to 8 KiB and enabled units, onto a fresh directory, until everything is on stable storage. Ansible "
        "does neither that nor anything that could be undone.",
        COSTS,
        cost_rows(costs),
        _targets(costs),
        missing,
    )


def _targets(costs: dict[str, Cost]) -> list[Target]:
    limit = costs[_LIMIT].wall
    targets = [
        Target("execute against the limit, journal included", costs[_EXECUTE].wall / limit, 2.5, " times"),
        Target("plan and execute against the limit", costs[_INSIDE].wall / limit, 2.5, " times"),
    ]
    if _ANSIBLE in costs:
        ansible = costs[_ANSIBLE].wall
        targets += [
            Target("plan and execute against Ansible", costs[_INSIDE].wall / ansible, 0.2, " times"),
            Target("the whole process against Ansible", costs[_WHOLE].wall / ansible, 0.2, " times"),
        ]
    return targets
