"""The rule for renewal never loops and never forgets, and a clock that lies is found out."""

from __future__ import annotations

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodeagent.certs.due import DEFAULT_RULE, ClockReading, Rule, State, clock_doubts, rotation_deadline, state
from tests.unit.certs.authority import DAY, NOW, issue

LIFETIMES = st.timedeltas(datetime.timedelta(seconds=1), 3_000_000 * DAY)
RULES = st.builds(Rule, st.integers(1, 90), st.timedeltas(datetime.timedelta(0), 3650 * DAY))
SECOND = datetime.timedelta(seconds=1)


@pytest.mark.parametrize(
    ("lifetime", "margin"),
    [(365, 73), (3650, 730), (91, 30), (60, 30), (59, 11.8), (30, 6), (1, 0.2)],
)
def test_the_margin(lifetime: float, margin: float) -> None:
    assert DEFAULT_RULE.margin(lifetime * DAY) == margin * DAY


@given(RULES, LIFETIMES)
def test_what_was_just_issued_is_not_due(rule: Rule, lifetime: datetime.timedelta) -> None:
    assert not rule.is_due(lifetime, lifetime)
    assert rule.margin(lifetime) <= lifetime / 2 + datetime.timedelta(microseconds=1)


@given(RULES, LIFETIMES, st.floats(0, 1), st.floats(0, 1))
def test_what_is_due_stays_due(rule: Rule, lifetime: datetime.timedelta, one: float, other: float) -> None:
    early, late = sorted((lifetime * one, lifetime * other), reverse=True)
    assert rule.is_due(lifetime, late) >= rule.is_due(lifetime, early)


@given(RULES, LIFETIMES)
def test_what_has_ended_is_due(rule: Rule, lifetime: datetime.timedelta) -> None:
    assert rule.is_due(lifetime, datetime.timedelta(0))
    assert rule.is_due(lifetime, -lifetime)


def test_a_certificate_is_due_just_after_its_next_renewal() -> None:
    found = issue("a").facts
    then = DEFAULT_RULE.next_renewal(found)
    assert (DEFAULT_RULE.due(found, then), DEFAULT_RULE.due(found, then + SECOND)) == (False, True)


def test_a_certificate_without_end_overflows_nothing() -> None:
    found = issue("a", ends=datetime.datetime(9999, 12, 31, 23, 59, 59, tzinfo=datetime.UTC)).facts
    assert not DEFAULT_RULE.due(found, NOW)
    assert NOW < DEFAULT_RULE.next_renewal(found) < rotation_deadline(found) < found.not_after


def test_both_ends_of_the_validity_belong_to_it() -> None:
    found = issue("a").facts
    moments = (found.not_before - SECOND, found.not_before, found.not_after, found.not_after + SECOND)
    assert [state(found, each) for each in moments] == [State.NOT_YET_VALID, State.VALID, State.VALID, State.EXPIRED]


def reading(hours: float, wall: datetime.timedelta, boot: str = "a") -> ClockReading:
    return ClockReading(NOW + wall, hours * 3600, boot)


@pytest.mark.parametrize(
    ("now", "doubted"),
    [
        (reading(2, datetime.timedelta(hours=2)), False),
        (reading(2, datetime.timedelta(hours=2, minutes=30)), False),
        (reading(2, 400 * DAY), True),
        (reading(2, -3 * DAY), True),
        (reading(0, 400 * DAY, "b"), False),
        (reading(0, -1 * DAY, "b"), True),
    ],
    ids=["steady", "slewed", "jumped ahead", "fell back", "off for a year", "lost its battery"],
)
def test_a_clock_that_jumps_is_doubted(now: ClockReading, doubted: bool) -> None:
    assert bool(clock_doubts(now, reading(0, datetime.timedelta(0)), ())) is doubted


def test_a_clock_behind_the_certificates_is_doubted() -> None:
    new = issue("a", begins=NOW + 2 * DAY).facts
    assert clock_doubts(reading(0, datetime.timedelta(0)), None, [new])
    assert not clock_doubts(reading(0, 2 * DAY), None, [new])
