"""The daemon: one thread a controller, watches that wake them, a watchdog that notices when one is stuck."""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from nodeagent import __version__
from nodeagent.agent import recovery
from nodeagent.agent.chronicle import Chronicle
from nodeagent.agent.configuration import by_sources, configuration
from nodeagent.agent.workplace import Workplace, opened
from nodeagent.engine.controller import Controller
from nodeagent.errors import Broken
from nodeagent.machineconfig.controller import NAME
from nodeagent.machineconfig.drift import Kind, Response
from nodeagent.settings import Settings
from nodeagent.telemetry import health, metrics
from nodeagent.telemetry.health import Beats
from nodeagent.telemetry.http import Server, Site
from nodeagent.telemetry.notify import Notifier, Watchdog

_log = logging.getLogger(__name__)

_SHUTDOWN = 20.0  # seconds that a loop may take to end what it does
_WORK = 1800.0  # seconds that one round may take: a plan with many slow units


def run(settings: Settings, sources: Sequence[str], stop: threading.Event) -> None:
    """Run until `stop` is set. Broken if another daemon runs on this node, an address is taken or a thread crashes."""
    with ExitStack() as stack:
        stack.enter_context(ending_on_crash(stop))
        place = stack.enter_context(opened(settings))
        stack.enter_context(place.store.locked(0, "daemon.lock"))
        recovery.prepare(place)
        _make_run_dir(settings.run_dir)
        beats, notifier = Beats(), Notifier.taken_from(os.environ)
        names = (NAME, *_loops(settings))
        gauges = metrics.Metrics(__version__, controllers=names, drift_kinds=Kind, drift_actions=Response)
        chronicle = Chronicle(gauges, beats, notifier, settings.run_dir, settings.node_name)
        loop = stack.enter_context(_configuration(place, sources, chronicle, beats, gauges, stop))
        stack.enter_context(_served(settings, beats, gauges))
        beats.expect(loop.name, _WORK)
        watchdog = Watchdog(notifier, beats)
        watchdog.start()
        stack.callback(watchdog.close)
        loop.start()
        _log.info("started", extra={"version": __version__, "root": settings.root, "sources": ", ".join(sources)})
        stop.wait()
        notifier.stopping()
        if not loop.stop(_SHUTDOWN):
            raise Broken(
                f"the loop {loop.name} did not end within {_SHUTDOWN:g} s; what it does is finished at the next start"
            )


def _loops(settings: Settings) -> Sequence[str]:
    """The loops beside that of machine configuration."""
    if not settings.cluster.enabled:
        return ()
    from nodeagent.agent.membership import LOOPS  # noqa: PLC0415 - the API's client, only in a cluster

    return tuple(LOOPS)


@contextmanager
def _configuration(
    place: Workplace,
    sources: Sequence[str],
    chronicle: Chronicle,
    beats: Beats,
    gauges: metrics.Metrics,
    stop: threading.Event,
) -> Iterator[Controller]:
    """The loop of machine configuration, following the cluster or else the sources."""
    if not place.settings.cluster.enabled:
        declared = by_sources(sources, place.settings.pool, chronicle)
        with configuration(place, declared, chronicle, gauges) as running:
            yield running.loop
        return
    from nodeagent.agent.membership import membership  # noqa: PLC0415 - the API's client, only in a cluster

    with (
        membership(place, chronicle, beats, stop) as joined,
        configuration(place, joined.declared, chronicle, gauges) as running,
    ):
        joined.cluster.changed = running.declared_anew
        yield running.loop


@contextmanager
def ending_on_crash(stop: threading.Event) -> Iterator[None]:
    """Have a thread that dies of a defect set `stop` and end the block as Broken: half a daemon is worse than none."""
    crashes: list[threading.ExceptHookArgs] = []
    before = threading.excepthook

    def crashed(crash: threading.ExceptHookArgs) -> None:
        crashes.append(crash)
        before(crash)
        stop.set()

    threading.excepthook = crashed
    try:
        yield
    finally:
        threading.excepthook = before
    if crashes:
        raise Broken(f"a thread of the agent ended by {crashes[0].exc_type.__name__}, a defect: please report the log")


@contextmanager
def _served(settings: Settings, beats: Beats, gauges: metrics.Metrics) -> Iterator[None]:
    """Health and metrics over HTTP, where they are wanted."""
    sites: list[tuple[str, Any, Any]] = [
        ("health.address", settings.health.address, health.pages(beats)),
        ("metrics.address", settings.metrics.address, metrics.pages(gauges)),
    ]
    wanted = [Site(name, address, pages) for name, address, pages in sites if address is not None]
    if not wanted:
        yield
        return
    server = Server(wanted)
    server.start()
    try:
        yield
    finally:
        server.close()


def _make_run_dir(path: str) -> None:
    try:
        os.makedirs(path, mode=0o755, exist_ok=True)
    except OSError as error:
        raise Broken(f"{path}: cannot be made: {error.strerror}; set run_dir to a directory that can") from error


def stop_on_signals(stop: threading.Event) -> None:
    """Have SIGTERM and SIGINT end the daemon in order."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
