"""The loop that writes a router's track file, as the daemon runs it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from nodeagent.host.trackfile import TrackFile
from nodeagent.vip.health import Look, Rule
from nodeagent.vip.monitor import Monitor
from tests.fabric.network import Router


@contextmanager
def agent(
    router: Router, rules: tuple[Rule, ...] = (), looks: Mapping[str, Callable[[], Look]] | None = None
) -> Iterator[TrackFile]:
    """Runs until the block ends, with the checks that are given."""
    track = TrackFile(router.path("/run/nodeagent"))
    monitor = Monitor(rules, looks or {}, track, 0.05, time.monotonic, track.drained)
    stop = threading.Event()

    def loop() -> None:
        while not stop.wait(monitor.tick()):
            pass

    thread = threading.Thread(target=loop)
    thread.start()
    try:
        yield track
    finally:
        stop.set()
        thread.join()
