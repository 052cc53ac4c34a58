"""Health: whether every loop still turns, and whether the agent has begun its work.

Invariant: a loop is stuck when it has not beaten for longer than its own allowance; one stuck loop makes
the whole agent unhealthy, for the kubelet and for systemd alike. Liveness never hangs on anything outside
the process.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from nodeagent.telemetry.http import Page


@dataclass(frozen=True)
class Pulse:
    """A loop's last beat, `age` seconds ago, and how old it may get."""

    age: float
    allowance: float

    @property
    def stuck(self) -> bool:
        return self.age > self.allowance


class Beats:
    """When each loop beat last. Safe to use from all threads."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._last: dict[str, tuple[float, float]] = {}
        self._ready = threading.Event()

    def expect(self, loop: str, allowance: float) -> None:
        """From now on `loop` must beat every `allowance` seconds: its longest wait plus its longest work."""
        with self._lock:
            self._last[loop] = self._clock(), allowance

    def beat(self, loop: str) -> None:
        """`loop` turns. KeyError if it was not expected."""
        with self._lock:
            self._last[loop] = self._clock(), self._last[loop][1]

    def forget(self, loop: str) -> None:
        """`loop` has ended as it should."""
        with self._lock:
            self._last.pop(loop, None)

    def ready(self) -> None:
        """The agent has begun its work: it has seen the node and its sources once."""
        self._ready.set()

    @property
    def is_ready(self) -> bool:
        return self._ready.is_set()

    def pulses(self) -> Mapping[str, Pulse]:
        """All expected loops by name, sorted."""
        with self._lock:
            now = self._clock()
            return {loop: Pulse(now - last, allowance) for loop, (last, allowance) in sorted(self._last.items())}

    def stuck(self) -> tuple[str, ...]:
        """The names of loops that are stuck, sorted."""
        return tuple(loop for loop, pulse in self.pulses().items() if pulse.stuck)


def pages(beats: Beats) -> dict[str, Callable[[], Page]]:
    """/livez: no loop is stuck. /readyz: and the work has begun. /healthz: the older name of /livez.

    Each is 200 or 503 with a JSON object that tells of every loop.
    """
    return {
        "/healthz": lambda: _page(beats, must_be_ready=False),
        "/livez": lambda: _page(beats, must_be_ready=False),
        "/readyz": lambda: _page(beats, must_be_ready=True),
    }


def _page(beats: Beats, *, must_be_ready: bool) -> Page:
    pulses = beats.pulses()
    ready = beats.is_ready
    stuck = [loop for loop, pulse in pulses.items() if pulse.stuck]
    document = {
        "status": "stuck" if stuck else "ok" if ready else "starting",
        "ready": ready,
        "stuck": stuck,
        "loops": {loop: _facts(pulse) for loop, pulse in pulses.items()},
    }
    status = 503 if stuck or (must_be_ready and not ready) else 200
    return Page(status, json.dumps(document).encode() + b"\n", "application/json")


def _facts(pulse: Pulse) -> dict[str, Any]:
    return {
        "age_seconds": round(pulse.age, 3),
        "allowance_seconds": pulse.allowance,
        "stuck": pulse.stuck,
    }
