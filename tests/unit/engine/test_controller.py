"""The loop: looks when woken, never loses a wake-up, backs off after failures, ends when told to."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodeagent.engine.controller import Backoff, Controller, jittered
from nodeagent.errors import Broken, Transient

_PATIENCE = 30.0  # seconds until a test gives up
_LONG = 3600.0


class Watcher:
    """Remembers what it is told."""

    def __init__(self) -> None:
        self.beats: list[str] = []
        self.failures: list[tuple[str, int, float]] = []
        self.successes: list[str] = []

    def beat(self, name: str) -> None:
        self.beats.append(name)

    def succeeded(self, name: str) -> None:
        self.successes.append(name)

    def failed(self, name: str, error: Exception, failures: int, delay: float) -> None:
        self.failures.append((f"{name}: {error}", failures, delay))


def _controller(tick: Callable[[], float], watcher: Watcher | None = None) -> Controller:
    return Controller("job", tick, watcher or Watcher(), random.Random(1), Backoff(1.0, 300.0))


@given(st.integers(1, 10_000), st.integers())
def test_the_delay_is_random_below_a_bound_that_doubles(failures: int, seed: int) -> None:
    delay = Backoff(1.0, 300.0).delay(failures, random.Random(seed))
    assert 0.5 <= delay <= min(300.0, 2.0 ** min(failures - 1, 20))


@given(st.floats(0.001, 1e6), st.integers())
def test_jitter_stays_within_a_tenth(seconds: float, seed: int) -> None:
    assert 0.9 * seconds <= jittered(seconds, random.Random(seed)) <= 1.1 * seconds


@pytest.mark.parametrize("error", [Transient("busy"), Broken("no"), OSError("disk")])
def test_failures_in_a_row_are_counted_until_one_succeeds(error: Exception) -> None:
    outcomes: list[Exception | float] = [error, error, 60.0, error]
    watcher = Watcher()

    def tick() -> float:
        outcome = outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    loop = _controller(tick, watcher)
    delays = [loop.step() for _ in range(4)]
    assert [failures for _, failures, _ in watcher.failures] == [1, 2, 1]
    assert [delay for _, _, delay in watcher.failures] == [delays[0], delays[1], delays[3]]
    assert watcher.successes == ["job"]
    assert 54.0 <= delays[2] <= 66.0


def test_what_nobody_expects_is_not_retried_blindly() -> None:
    def tick() -> float:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        _controller(tick).step()


def test_a_wake_up_during_work_makes_it_look_again() -> None:
    looks = 0
    twice = threading.Event()

    def tick() -> float:
        nonlocal looks
        looks += 1
        if looks == 1:
            loop.wake()
        else:
            twice.set()
        return _LONG

    loop = _controller(tick)
    loop.start()
    try:
        assert twice.wait(_PATIENCE)
    finally:
        assert loop.stop(_PATIENCE)


def test_a_wake_up_during_sleep_ends_it_and_each_round_beats() -> None:
    looked = threading.Semaphore(0)
    watcher = Watcher()

    def tick() -> float:
        looked.release()
        return _LONG

    loop = _controller(tick, watcher)
    loop.start()
    try:
        for _ in range(3):
            assert looked.acquire(timeout=_PATIENCE)
            loop.wake()
    finally:
        assert loop.stop(_PATIENCE)
    assert watcher.beats[:3] == ["job"] * 3


def test_it_ends_even_when_it_is_told_to_just_as_it_begins_to_look() -> None:
    """The beat comes right before the look, which forgets wake-ups: a stop in between must not be forgotten."""
    stopped = threading.Event()

    class StopsAtBeat(Watcher):
        def beat(self, name: str) -> None:
            super().beat(name)
            other = threading.Thread(target=loop.stop, args=(0.0,))
            other.start()
            other.join(_PATIENCE)
            stopped.set()

    loop = _controller(lambda: _LONG, StopsAtBeat())
    loop.start()
    assert stopped.wait(_PATIENCE)
    assert loop.stopping
    loop._thread.join(_PATIENCE)
    assert not loop._thread.is_alive()


def test_a_loop_that_is_still_at_work_is_told() -> None:
    release, began = threading.Event(), threading.Event()

    def tick() -> float:
        began.set()
        release.wait(_PATIENCE)
        return _LONG

    loop = _controller(tick)
    loop.start()
    assert began.wait(_PATIENCE)
    assert not loop.stop(0.0)
    release.set()
    assert loop.stop(_PATIENCE)
