"""The daemon's surroundings for tests: a real job on a scratch root, with everything around it recorded."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from nodeagent.agent.workplace import Workplace, intent, opened
from nodeagent.engine.executor import Outcome
from nodeagent.engine.handover import Handover
from nodeagent.engine.report import Report
from nodeagent.machineconfig.controller import FORCE_FILE, MachineConfigController, Periods
from nodeagent.machineconfig.drift import Drift, Rule
from nodeagent.machineconfig.following import Change, Follower
from nodeagent.machineconfig.surroundings import Absence, Surroundings
from nodeagent.observed.writers import Writer
from nodeagent.settings import load

PERIODS = Periods(sweep=60.0, content=3600.0, resync=300.0, debounce=0.0)


@dataclass
class Recorder:
    """Watch, reporter, observer, workloads and attribution in one; remembers everything it is told."""

    reports: list[Report] = field(default_factory=list)
    outcomes: list[str] = field(default_factory=list)
    recovered_outcomes: list[Outcome] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    remedied_drifts: list[Drift] = field(default_factory=list)
    watched: set[str] = field(default_factory=set)
    known: dict[str, Writer] = field(default_factory=dict)
    reboots: int = 0
    absence: Absence = Absence.GONE
    asked: list[str] = field(default_factory=list)

    def publish(self, report: Report) -> None:
        self.reports.append(report)

    def applied(self, outcome: str, _seconds: float, _what: str) -> None:
        self.outcomes.append(outcome)

    def recovered(self, outcome: Outcome) -> None:
        self.recovered_outcomes.append(outcome)

    def drifted(self, change: Change) -> None:
        self.changes.append(change)

    def remedied(self, drifts: Collection[Drift]) -> None:
        self.remedied_drifts += drifts

    def watch(self, paths: Collection[str], entries_of: Collection[str] = ()) -> None:
        self.watched = {*paths, *entries_of}

    def problems(self) -> tuple[str, ...]:
        return ()

    def writers(self, path: str, _since: float) -> tuple[Writer, ...]:
        return (self.known[path],) if path in self.known else ()

    def explain(self, _path: str, _since: float) -> str:
        return "nobody was watching"

    def reboot(self) -> None:
        self.reboots += 1

    def away(self, config: str) -> Absence:
        self.asked.append(f"drain-{config}")
        return self.absence

    def back(self) -> None:
        if self.asked and self.asked[-1] != "uncordon":
            self.asked.append("uncordon")

    @property
    def report(self) -> Report:
        return self.reports[-1]


@dataclass
class Daemon:
    """One controller with its scratch node; `tick` looks once."""

    root: Path
    source: Path
    recorder: Recorder
    place: Workplace
    controller: MachineConfigController

    def touch(self, *paths: str) -> None:
        """Tell the controller that these paths of the node have changed."""
        self.controller.woken([self.place.tree.outside(path) for path in paths], overflow=False)

    def tick(self) -> Report:
        self.controller.tick()
        return self.recorder.report

    def sources_changed(self) -> Report:
        self.controller.woken([str(self.source / "x")], overflow=False)
        return self.tick()

    def drift(self) -> list[tuple[str, str]]:
        found = self.recorder.report.detail["drift"]
        return [(each["finding"]["path"], str(each["finding"]["kind"])) for each in found]


@contextlib.contextmanager
def daemon(base: Path, *rules: Rule, periods: Periods = PERIODS, may_reboot: bool = True) -> Iterator[Daemon]:
    """A controller on the root directory `base`/root, following `base`/source."""
    root, source = base / "root", base / "source"
    for path in (root / "etc", source):
        path.mkdir(parents=True, exist_ok=True)
    settings = load(None, {}, {"root": str(root)})
    recorder = Recorder()
    with opened(settings) as place:
        around = Surroundings(
            load=lambda: intent([str(source)], "worker")[0],
            retry=lambda misses: 10.0 * misses,
            sources=(str(source),),
            outside=place.tree.outside,
            inside=place.tree.inside,
            lock=lambda: place.store.locked(5.0),
            force=lambda: place.node.take(FORCE_FILE),
            reboot=recorder.reboot if may_reboot else None,
            handover=Handover(),
            watch=recorder,
            reporter=recorder,
            observer=recorder,
            workloads=recorder,
        )
        follower = Follower(place.node, place.store, recorder, rules, place.tree.outside, place.clock)
        yield Daemon(root, source, recorder, place, MachineConfigController(place.job, follower, around, periods))
