"""Events: bounded in number and in rate, repeated ones counted, never in the caller's way."""

from __future__ import annotations

import random
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodeagent.errors import Transient
from nodeagent.kube.connection import Connection
from nodeagent.kube.events import Budget, EventRecorder
from tests.contract.kube import EVENTS, Silent
from tests.fakes.api import Api
from tests.fakes.objects import Refused, Request

_NOW = datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)


def _recorder(connection: Connection, hourly: int = 3600) -> EventRecorder:
    return EventRecorder(connection, "a", hourly, lambda: _NOW, Silent(), random.Random(1))


def _counts(api: Api) -> dict[str, int]:
    return {each["reason"]: each["count"] for each in api.get(EVENTS)["items"]}


@given(st.integers(1, 10000), st.lists(st.floats(0, 7200), max_size=60))
def test_no_more_than_the_budget_in_any_time(hourly: int, pauses: list[float]) -> None:
    budget, now, taken = Budget(hourly, 0.0), 0.0, 0
    for pause in pauses:
        now += pause
        while not (wait := budget.take(now)):
            taken += 1
        assert wait <= 3600 / hourly + 1e-6
    assert taken <= min(hourly, 10) + now * hourly / 3600 + 1e-6


def test_an_event_is_found_by_describe(api: Api, connection: Connection) -> None:
    recorder = _recorder(connection)
    recorder.record("Warning", "Drift", "/etc/a differs")
    recorder._tick()
    (event,) = api.get(EVENTS)["items"]
    assert event["involvedObject"] == {"kind": "Node", "name": "a", "uid": "a"}
    assert (event["firstTimestamp"], event["lastTimestamp"]) == ("2026-05-04T03:02:01Z", "2026-05-04T03:02:01Z")


def test_what_happens_again_while_it_waits_is_one_request(api: Api, connection: Connection) -> None:
    recorder = _recorder(connection)
    for _ in range(1000):
        recorder.record("Warning", "Drift", "/etc/a differs")
    recorder._tick()
    assert _counts(api) == {"Drift": 1000}
    assert len(api.requests) == 1


def test_the_rate_is_kept_and_the_rest_waits(api: Api, connection: Connection) -> None:
    recorder = _recorder(connection, hourly=2)
    for reason in "abcd":
        recorder.record("Normal", reason, "")
    assert 1790 < recorder._tick() <= 1800
    assert _counts(api) == {"a": 1, "b": 1}
    assert recorder.dropped == 0


def test_too_many_are_dropped_and_counted(api: Api, connection: Connection) -> None:
    recorder = _recorder(connection)
    for number in range(100):
        recorder.record("Normal", f"r{number}", "")
    assert recorder.dropped == 36


def test_an_outage_costs_neither_events_nor_budget(api: Api, connection: Connection) -> None:
    def down(request: Request) -> None:
        raise Refused(503, "away")

    recorder = _recorder(connection, hourly=1)
    recorder.record("Warning", "Drift", "x")
    api.fault = down
    for _ in range(3):
        with pytest.raises(Transient):
            recorder._tick()
        recorder.record("Warning", "Drift", "x")
    api.fault = lambda _request: None
    recorder._tick()
    assert _counts(api) == {"Drift": 4}


def test_an_event_that_expired_is_made_anew(api: Api, connection: Connection) -> None:
    recorder = _recorder(connection)
    recorder.record("Warning", "Drift", "x")
    recorder._tick()
    api.delete(f"{EVENTS}/{api.get(EVENTS)['items'][0]['metadata']['name']}")
    recorder.record("Warning", "Drift", "x")
    recorder._tick()
    assert _counts(api) == {"Drift": 2}


def test_what_the_server_refuses_for_good_is_dropped(api: Api, connection: Connection) -> None:
    def invalid(request: Request) -> None:
        raise Refused(422, "no")

    recorder = _recorder(connection)
    recorder.record("Odd", "x", "")
    api.fault = invalid
    recorder._tick()
    assert recorder.dropped == 1
    recorder._tick()
    assert len(api.requests) == 1


def test_a_count_survives_an_outage(api: Api, connection: Connection) -> None:
    def down(request: Request) -> None:
        raise Refused(503, "away")

    recorder = _recorder(connection)
    recorder.record("Warning", "Drift", "x")
    recorder._tick()
    recorder.record("Warning", "Drift", "x")
    api.fault = down
    with pytest.raises(Transient):
        recorder._tick()
    api.fault = lambda _request: None
    recorder._tick()
    assert _counts(api) == {"Drift": 2}
