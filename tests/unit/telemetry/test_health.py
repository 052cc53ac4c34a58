"""Health: a loop that stops beating makes the agent unhealthy, and nothing else does."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from nodeagent.telemetry.health import Beats, pages
from nodeagent.telemetry.http import Page


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def beats(clock: Clock) -> Beats:
    beats = Beats(clock)
    beats.expect("drift", allowance=10.0)
    beats.expect("apply", allowance=60.0)
    return beats


def read(page: Callable[[], Page]) -> tuple[int, dict[str, Any]]:
    made = page()
    assert made.content_type == "application/json"
    document: dict[str, Any] = json.loads(made.body)
    return made.status, document


def statuses(beats: Beats) -> dict[str, int]:
    return {path: page().status for path, page in pages(beats).items()}


def test_an_agent_that_starts_is_alive_and_not_ready(beats: Beats) -> None:
    assert statuses(beats) == {"/healthz": 200, "/livez": 200, "/readyz": 503}
    assert read(pages(beats)["/readyz"])[1]["status"] == "starting"


def test_an_agent_that_works_is_ready(beats: Beats) -> None:
    beats.ready()
    assert statuses(beats) == {"/healthz": 200, "/livez": 200, "/readyz": 200}


def test_a_loop_is_stuck_only_after_its_own_allowance(beats: Beats, clock: Clock) -> None:
    clock.now += 10.0
    assert beats.stuck() == ()
    clock.now += 0.001
    assert beats.stuck() == ("drift",)
    beats.beat("drift")
    assert beats.stuck() == ()


def test_one_stuck_loop_makes_the_whole_agent_unhealthy(beats: Beats, clock: Clock) -> None:
    beats.ready()
    clock.now += 11.0
    beats.beat("apply")
    assert statuses(beats) == {"/healthz": 503, "/livez": 503, "/readyz": 503}
    status, document = read(pages(beats)["/livez"])
    assert status == 503
    assert document == {
        "status": "stuck",
        "ready": True,
        "stuck": ["drift"],
        "loops": {
            "apply": {"age_seconds": 0.0, "allowance_seconds": 60.0, "stuck": False},
            "drift": {"age_seconds": 11.0, "allowance_seconds": 10.0, "stuck": True},
        },
    }


def test_a_loop_that_ended_is_no_longer_expected(beats: Beats, clock: Clock) -> None:
    beats.forget("drift")
    clock.now += 11.0
    assert beats.stuck() == ()
    beats.forget("drift")


def test_a_beat_that_nobody_expects_is_refused(beats: Beats) -> None:
    with pytest.raises(KeyError):
        beats.beat("unknown")


def test_the_allowance_can_change(beats: Beats, clock: Clock) -> None:
    beats.expect("drift", allowance=100.0)
    clock.now += 50.0
    assert beats.stuck() == ()
