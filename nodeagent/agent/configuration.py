"""Machine configuration as a job of the daemon: its loop and its watches, for whoever declares what is wanted."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from nodeagent.agent.jobs import Context, Loop
from nodeagent.agent.narrator import ClusterNarrator, Narrator
from nodeagent.agent.workplace import Workplace, intent
from nodeagent.engine.controller import Backoff, Controller
from nodeagent.host import memory
from nodeagent.host.attribution import Attribution, Unavailable
from nodeagent.host.inotify import DirectoryWatch, Wake
from nodeagent.machineconfig.controller import FORCE_FILE, NAME, MachineConfigController, Periods
from nodeagent.machineconfig.drift import Kind, Response
from nodeagent.machineconfig.following import Follower
from nodeagent.machineconfig.job import Intent
from nodeagent.machineconfig.surroundings import Surroundings, Unattended, Workloads
from nodeagent.telemetry.metrics.configuration import ConfigurationMetrics

_WORK: Final = 1800.0  # seconds that one round may take: a plan with many slow units
_TRAFFIC: Final = 30.0  # seconds between two looks whether traffic was left away


@dataclass(frozen=True)
class Declared:
    """Who declares what this node is to have, and who moves its workloads.

    `paths` are files and directories that are read, outside the root; `problems` are in the way of hearing of changes.
    `heed` is given what to call whenever something else is declared.
    """

    load: Callable[[], Intent | None]
    paths: tuple[str, ...] = ()
    workloads: Workloads = field(default_factory=Unattended)
    problems: Callable[[], tuple[str, ...]] = tuple
    heed: Callable[[Callable[[], None]], None] = lambda _changed: None


def by_sources(paths: Sequence[str], pool: str) -> Declared:
    """Declared by files of MachineConfigs; nobody drains the node."""
    given = list(paths)
    return Declared(lambda: intent(given, pool)[0], tuple(os.path.abspath(path) for path in given))


@contextmanager
def configuration(context: Context, declared: Declared) -> Iterator[Sequence[Loop]]:
    """The loop, not started yet, with its watches running."""
    place = context.place
    metrics = ConfigurationMetrics(context.registry, drift_kinds=Kind, drift_actions=Response)
    attribution = Attribution.open()
    woken: list[Callable[[Wake], None]] = []
    inotify = DirectoryWatch(lambda wake: woken[0](wake))  # noqa: PLW0108 - filled in below
    follower = Follower(
        place.node, place.store, attribution, place.settings.drift.policy, place.tree.outside, place.clock
    )
    watches = _Watches(inotify, attribution, declared.problems)
    around = _surroundings(context, declared, watches, _voice(context, metrics))
    job = MachineConfigController(place.job, follower, around, _periods(place))

    def tick() -> float:
        wanted = job.tick()
        memory.give_back()  # configs and file contents are large, and rarely at hand
        return wanted

    loop = Controller(NAME, tick, context.watcher, random.Random())  # noqa: S311 - jitter, no secret
    place.systemd.meanwhile = place.informant.meanwhile = job.glance

    def wake_up(wake: Wake) -> None:
        if wake.overflow:
            metrics.watch_overflowed()
        job.woken(wake.paths, wake.overflow)
        loop.wake()

    def declared_anew() -> None:
        job.declared_anew()
        loop.wake()

    woken.append(wake_up)
    declared.heed(declared_anew)
    attribution.start()
    inotify.start()
    try:
        yield [Loop(loop, _WORK), _recovering(context, lambda: job.started)]
    finally:
        inotify.close()
        attribution.close()


def _recovering(context: Context, recovered: Callable[[], bool]) -> Loop:
    """Brings traffic back that an agent left away which was ended in the midst of work, once that is finished."""

    def tick() -> float:
        if recovered():
            context.handover.recover()
        return _TRAFFIC

    loop = Controller("handover", tick, context.watcher, random.Random())  # noqa: S311 - jitter, no secret
    return Loop(loop, _WORK)


def _voice(context: Context, metrics: ConfigurationMetrics) -> Narrator:
    if context.membership is None:
        return Narrator(context.reporter, metrics)
    return ClusterNarrator(context.reporter, metrics, context.events)


@dataclass(frozen=True)
class _Watches:
    """Wake-ups and attribution, told of the same paths."""

    inotify: DirectoryWatch
    attribution: Attribution | Unavailable
    elsewhere: Callable[[], tuple[str, ...]]

    def watch(self, paths: Collection[str], entries_of: Collection[str] = ()) -> None:
        self.attribution.watch(paths, entries_of)
        self.inotify.watch(paths, entries_of)

    def problems(self) -> tuple[str, ...]:
        return (*self.inotify.problems(), *self.attribution.problems(), *self.elsewhere())


def _periods(place: Workplace) -> Periods:
    drift = place.settings.drift
    return Periods(drift.sweep_interval, drift.content_interval, place.settings.resync_interval, drift.debounce)


def _surroundings(context: Context, declared: Declared, watches: _Watches, voice: Narrator) -> Surroundings:
    place, settings = context.place, context.place.settings
    backoff, chance = Backoff(), random.Random()  # noqa: S311 - jitter, no secret
    return Surroundings(
        load=declared.load,
        retry=lambda misses: backoff.delay(misses, chance),
        sources=declared.paths,
        outside=place.tree.outside,
        inside=place.tree.inside,
        lock=lambda: place.store.locked(settings.apply.lock_timeout),
        force=lambda: place.node.take(FORCE_FILE),
        reboot=place.systemd.reboot if settings.reboot.allow and place.node.running else None,
        handover=context.handover,
        watch=watches,
        reporter=voice,
        observer=voice,
        workloads=declared.workloads,
    )
