"""When a node may renew by itself."""

from __future__ import annotations

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodeagent.certs.turn import URGENT, etcd_members, etcd_peers, out_of_turn, postponed, too_few
from nodeagent.settings.kinds import SettingError
from nodeagent.settings.windows import Windows

HOUR = datetime.timedelta(hours=1)
SATURDAY = datetime.datetime(2026, 7, 4, 23, 30, tzinfo=datetime.UTC)
WINDOWS = Windows()


@pytest.mark.parametrize(
    ("text", "hours", "holds"),
    [
        ("22:00-04:00", 0, True),
        ("Sat 22:00-04:00", 4, True),
        ("Sat 22:00-04:00", 5, False),
        ("Sun 22:00-04:00", 4, False),
        ("Sat,Sun 01:30-05:00", 3, True),
        ("Mon,Tue,Wed,Thu,Fri 00:00-23:59", 0, False),
        ("01:30-05:00;23:00-23:45", 0, True),
    ],
)
def test_a_window_holds_on_its_day_and_over_midnight(text: str, hours: int, holds: bool) -> None:
    now = SATURDAY + hours * HOUR
    assert any(window.holds(now) for window in WINDOWS.parse(text)) is holds


def test_a_window_is_meant_in_utc() -> None:
    east = datetime.timezone(datetime.timedelta(hours=9))
    (window,) = WINDOWS.parse("Sat 23:00-23:45")
    assert window.holds(SATURDAY.astimezone(east))


@pytest.mark.parametrize("text", ["", "Sat,Sun 22:00-04:00", "01:30-05:00;Mon 10:00-11:00"])
def test_windows_are_shown_as_they_are_read(text: str) -> None:
    windows = WINDOWS.parse(text)
    assert WINDOWS.parse(WINDOWS.show(windows)) == windows
    assert WINDOWS.native(WINDOWS.plain(windows)) == windows


@pytest.mark.parametrize(
    "text", ["always", "24:00-25:00", "Sat", "Sat 22-04", "Sat 10:00-10:00", "Sa 10:00-11:00", ";"]
)
def test_what_is_no_window_is_told(text: str) -> None:
    with pytest.raises(SettingError, match="window"):
        WINDOWS.parse(text)


def test_windows_wait_for_what_can_wait_and_doubts_stop_everything() -> None:
    later = WINDOWS.parse("Mon 10:00-11:00")
    assert postponed(SATURDAY, URGENT + HOUR, later, ()) == "it waits for a maintenance window"
    assert postponed(SATURDAY, URGENT, later, ()) == ""
    assert postponed(SATURDAY, URGENT + HOUR, (), ()) == ""
    assert "jumped" in postponed(SATURDAY, HOUR, (), ("jumped",))


def test_with_nobody_to_ask_a_node_waits_until_little_is_left() -> None:
    spacing = datetime.timedelta(minutes=10)
    assert "more than 72 hours" in out_of_turn(SATURDAY, URGENT + HOUR, "a", ["a"], spacing)
    assert out_of_turn(SATURDAY, URGENT, "a", ["a"], spacing) == ""
    assert "does not name this node" in out_of_turn(SATURDAY, HOUR, "x", ["a", "b"], spacing)


@given(
    st.sets(st.text("abc", min_size=1, max_size=3), min_size=1, max_size=7),
    st.integers(0, 100_000).map(lambda hours: SATURDAY + hours * HOUR),
    st.integers(1, 3600),
)
def test_of_all_members_one_has_its_turn_at_any_time(members: set[str], now: datetime.datetime, seconds: int) -> None:
    spacing = datetime.timedelta(seconds=seconds)
    order = sorted(members)
    turns = [name for name in order if not out_of_turn(now, HOUR, name, order, spacing)]
    assert len(turns) == 1
    following = out_of_turn(now + spacing, HOUR, turns[0], order, spacing)
    assert bool(following) == (len(order) > 1), "and then it is another's"


def test_members_stand_in_etcds_own_flag() -> None:
    assert etcd_members("b=https://192.0.2.2:2380, a=https://192.0.2.1:2380") == ("b", "a")
    assert etcd_members("") == ()


@pytest.mark.parametrize(
    ("members", "answering", "told"),
    [(1, 1, ""), (2, 2, "2 of 2 answer"), (3, 3, ""), (3, 2, "2 of 3 answer"), (5, 4, ""), (5, 3, "3 of 5 answer")],
)
def test_etcd_has_to_be_able_to_lose_a_member(members: int, answering: int, told: str) -> None:
    found = too_few(members, answering)
    assert told in found
    assert bool(found) is bool(told)


def test_peers_are_asked_at_the_addresses_of_the_flag() -> None:
    flag = "a=https://192.0.2.1:2380, b=https://[2001:db8::2],c=https://etcd.example:2380,=x,d"
    assert etcd_peers(flag) == (("a", "192.0.2.1", 2380), ("b", "2001:db8::2", 2380))
    assert etcd_members(flag) == ("a", "b", "c", "d")
