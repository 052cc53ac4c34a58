"""What every long-running process of ours does: serve its health, end in order, and never go on as half of itself."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from nodeagent.engine.controller import Controller
from nodeagent.errors import Broken
from nodeagent.settings import Settings
from nodeagent.telemetry import health
from nodeagent.telemetry.health import Beats
from nodeagent.telemetry.http import Server, Site
from nodeagent.telemetry.metrics.registry import Registry, pages

_SHUTDOWN = 20.0  # seconds that the loops may take to end what they do


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
def served(
    settings: Settings, beats: Beats, registry: Registry, *, health_beside_metrics: bool = False
) -> Iterator[None]:
    """Health and metrics over HTTP, where they are wanted; a pod's health has to be seen from outside of it."""
    of_health, of_metrics = health.pages(beats), pages(registry)
    sites: list[tuple[str, Any, Any]] = [
        ("health.address", settings.health.address, of_health),
        ("metrics.address", settings.metrics.address, of_metrics | of_health if health_beside_metrics else of_metrics),
    ]
    wanted = [Site(name, address, found) for name, address, found in sites if address is not None]
    if not wanted:
        yield
        return
    server = Server(wanted)
    server.start()
    try:
        yield
    finally:
        server.close()


def end(loops: Sequence[Controller]) -> None:
    """End all loops at once; Broken names those that do not."""
    until = time.monotonic() + _SHUTDOWN
    for loop in loops:
        loop.end()
    late = [loop.name for loop in loops if not loop.stop(max(0.0, until - time.monotonic()))]
    if late:
        raise Broken(
            f"the loop {', '.join(late)} did not end within {_SHUTDOWN:g} s; what it does is finished at the next start"
        )


def stop_on_signals(stop: threading.Event) -> None:
    """Have SIGTERM and SIGINT end the daemon in order."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
