"""Equal events: few are shown, all are counted, memory is bounded."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from nodeagent.telemetry.repeats import BURST, CAPACITY, WINDOW, Repeats

_STEPS = st.lists(st.tuples(st.integers(0, CAPACITY + 40), st.sampled_from([0.0, 0.5, WINDOW])), max_size=300)


@given(_STEPS)
def test_every_event_is_shown_or_counted_exactly_once(steps: list[tuple[int, float]]) -> None:
    repeats: Repeats[int] = Repeats()
    told: Counter[int] = Counter()
    now = 0.0
    for event, pause in steps:
        now += pause
        admitted, displaced = repeats.admit(event, event, now)
        told[event] += admitted
        for item, held_back in (*displaced, *repeats.ended(now)):
            told[item] += held_back
    for item, held_back in repeats.all():
        told[item] += held_back
    assert told == Counter(event for event, _ in steps)


def test_the_first_few_are_shown_and_the_rest_told_when_the_window_ends() -> None:
    repeats: Repeats[str] = Repeats()
    shown = [repeats.admit("event", f"item {number}", now=number / 10)[0] for number in range(20)]
    assert shown == [True] * BURST + [False] * (20 - BURST)
    assert repeats.ended(now=WINDOW - 1) == []
    assert repeats.ended(now=WINDOW) == [("item 19", 20 - BURST)]
    assert repeats.admit("event", "again", now=WINDOW) == (True, [])


def test_an_event_that_was_not_held_back_has_nothing_to_tell() -> None:
    repeats: Repeats[str] = Repeats()
    repeats.admit("event", "item", now=0.0)
    assert repeats.all() == []


def test_the_oldest_event_makes_room_and_tells_its_count() -> None:
    repeats: Repeats[int] = Repeats()
    for _ in range(BURST + 2):
        repeats.admit("oldest", -1, now=0.0)
    for number in range(CAPACITY - 1):
        assert repeats.admit(number, number, now=1.0) == (True, [])
    assert repeats.admit("newest", -2, now=1.0) == (True, [(-1, 2)])
