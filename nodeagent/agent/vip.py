"""The VIP as a job of the daemon: its loops and what they hear, where there is a keepalived.

Three loops, so that none waits for another: one keeps the number that keepalived tracks, one makes the looks that may
be slow, one follows keepalived itself.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Final

from nodeagent.agent.jobs import Context, Loop
from nodeagent.agent.turn import Turn
from nodeagent.agent.vipfitness import quick_looks, rules_of, slow_looks
from nodeagent.agent.viphandover import LEASE, PlannedWork
from nodeagent.engine.controller import Backoff, Controller
from nodeagent.engine.report import Report, State
from nodeagent.host.trackfile import TRACK, TrackFile
from nodeagent.host.vrrp import VrrpHost
from nodeagent.host.vrrpears import VrrpEars
from nodeagent.telemetry.metrics.tables import Tables, rows
from nodeagent.vip.controller import NAME, Audience, Fitness, Look, VipController
from nodeagent.vip.monitor import Lookout, Monitor
from nodeagent.vip.series import COLUMNS, series
from nodeagent.vip.setup import FIFO
from nodeagent.vip.truth import Sight

_OFF: Final = 5.0  # seconds between two looks whether there is a keepalived that tracks the number
_SLOW: Final = 1.0  # seconds between two rounds of slow looks
_AGAIN: Final = Backoff(0.2, 2.0)  # a node's health does not wait for minutes
_ALLOWANCES: Final = {NAME: 120.0, "vip-health": 60.0, "vip-looks": 120.0}  # seconds that a turn may take


@contextmanager
def vip(context: Context) -> Iterator[Sequence[Loop]]:
    """The loops; none below a root that does not run."""
    settings = context.place.settings
    with ExitStack() as stack:
        host = stack.enter_context(VrrpHost(settings.root))
        if not host.live():
            context.reporter.publish(_off())
            yield ()
            return
        job = _Job(context, host, stack)
        context.handover.register(_planned_work(context))
        yield [Loop(each, _ALLOWANCES[each.name]) for each in job.loops]


def _off() -> Report:
    return Report(NAME, State.DONE, "", "NoKeepalived", {"enabled": False}, rest="off: this root does not run")


def _planned_work(context: Context) -> PlannedWork:
    return PlannedWork(context.place.settings, Turn.of(context, LEASE, "is handing its VIP over"), context.events)


class _Job:
    """The parts that the loops share. `tracked` is true while some instance tracks the number."""

    def __init__(self, context: Context, host: VrrpHost, stack: ExitStack) -> None:
        settings = context.place.settings
        self._track_path = f"{settings.run_dir}/{TRACK}"
        self._track = TrackFile(settings.run_dir)
        self._tables = Tables(context.registry, COLUMNS)
        self._tracked = False
        self._lookout = Lookout(slow_looks(settings, stack), _SLOW)
        self._monitor = Monitor(
            rules_of(settings),
            quick_looks(settings, stack),
            self._track,
            settings.vip.interval,
            time.monotonic,
            self._track.drained,
            elsewhere=self._lookout.collected,
        )
        self._ears = ears = VrrpEars(f"{settings.run_dir}/{FIFO}", self._woken)
        self._controller = VipController(
            host,
            ears,
            lambda: Fitness(self._monitor.health, self._monitor.value, self._track.drained()),
            Audience(context.reporter, context.events, self._looked),
            settings.vip.probe_interval,
            time.time,
            time.monotonic,
        )
        self.loops = [
            Controller(name, tick, context.watcher, random.Random(), _AGAIN)  # noqa: S311 - jitter, no secret
            for name, tick in (
                (NAME, self._controller.tick),
                ("vip-health", self._health),
                ("vip-looks", self._look),
            )
        ]
        stack.callback(ears.close)
        ears.start()

    def _woken(self) -> None:
        self._controller.woken()
        self.loops[0].wake()

    def _looked(self, look: Look) -> None:
        self._tables.show(rows(series(look)))
        instances = [each for sight in look.sights for each in sight.installation.configuration.instances]
        self._ears.heed(frozenset(vip.address for each in instances for vip in each.vips))
        before, self._tracked = self._tracked, any(map(self._tracks, look.sights))
        if self._tracked and not before:
            for loop in self.loops[1:]:
                loop.wake()

    def _tracks(self, sight: Sight) -> bool:
        return any(each.path == self._track_path for each in sight.installation.configuration.track_files)

    def _health(self) -> float:
        """The number is nobody's business where no keepalived tracks it."""
        return self._monitor.tick() if self._tracked else _OFF

    def _look(self) -> float:
        return self._lookout.tick() if self._tracked else _OFF
