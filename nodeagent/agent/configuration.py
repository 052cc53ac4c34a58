"""The loop of machine configuration, with its watches, for whoever declares what the node is to have."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol

from nodeagent.agent.workplace import Workplace, intent
from nodeagent.engine.controller import Backoff, Controller, Watcher
from nodeagent.engine.handover import Handover
from nodeagent.engine.report import Reporter
from nodeagent.host import memory
from nodeagent.host.attribution import Attribution, Unavailable
from nodeagent.host.inotify import DirectoryWatch, Wake
from nodeagent.machineconfig.controller import FORCE_FILE, NAME, MachineConfigController, Periods
from nodeagent.machineconfig.following import Follower
from nodeagent.machineconfig.job import Intent
from nodeagent.machineconfig.surroundings import Observer, Surroundings, Unattended, Workloads
from nodeagent.telemetry.metrics import Metrics


class Voice(Reporter, Observer, Protocol):
    """Tells what machine configuration does."""


@dataclass(frozen=True)
class Declared:
    """Who declares what this node is to have, who moves its workloads, and who is told.

    `paths` are files and directories that are read, outside the root; `problems` are in the way of hearing of changes.
    """

    load: Callable[[], Intent | None]
    voice: Voice
    paths: tuple[str, ...] = ()
    workloads: Workloads = field(default_factory=Unattended)
    problems: Callable[[], tuple[str, ...]] = tuple


def by_sources(paths: Sequence[str], pool: str, voice: Voice) -> Declared:
    """Declared by files of MachineConfigs; nobody drains the node."""
    given = list(paths)
    return Declared(lambda: intent(given, pool)[0], voice, tuple(os.path.abspath(path) for path in given))


@dataclass(frozen=True)
class Configuration:
    """The running parts: the loop, and how to have it read again what is declared."""

    loop: Controller
    job: MachineConfigController

    def declared_anew(self) -> None:
        self.job.declared_anew()
        self.loop.wake()


@contextmanager
def configuration(place: Workplace, declared: Declared, watcher: Watcher, gauges: Metrics) -> Iterator[Configuration]:
    """The loop, not started yet, with its watches running."""
    attribution = Attribution.open()
    woken: list[Callable[[Wake], None]] = []
    inotify = DirectoryWatch(lambda wake: woken[0](wake))  # noqa: PLW0108 - filled in below
    follower = Follower(
        place.node, place.store, attribution, place.settings.drift.policy, place.tree.outside, place.clock
    )
    around = _surroundings(place, declared, _Watches(inotify, attribution, declared.problems))
    job = MachineConfigController(place.job, follower, around, _periods(place))

    def tick() -> float:
        wanted = job.tick()
        memory.give_back()  # configs and file contents are large, and rarely at hand
        return wanted

    loop = Controller(NAME, tick, watcher, random.Random())  # noqa: S311 - jitter, no secret
    place.systemd.meanwhile = place.informant.meanwhile = job.glance

    def wake_up(wake: Wake) -> None:
        if wake.overflow:
            gauges.watch_overflowed()
        job.woken(wake.paths, wake.overflow)
        loop.wake()

    woken.append(wake_up)
    attribution.start()
    inotify.start()
    try:
        yield Configuration(loop, job)
    finally:
        inotify.close()
        attribution.close()


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


def _surroundings(place: Workplace, declared: Declared, watches: _Watches) -> Surroundings:
    settings = place.settings
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
        handover=Handover(),
        watch=watches,
        reporter=declared.voice,
        observer=declared.voice,
        workloads=declared.workloads,
    )
