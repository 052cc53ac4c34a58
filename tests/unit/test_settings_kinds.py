"""Kinds of setting: what is shown can be set again, and nothing out of range comes through."""

from __future__ import annotations

import contextlib
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodeagent.settings import FIELDS, Address, DriftAction, DriftRule, Field
from nodeagent.settings.addresses import Listen
from nodeagent.settings.kinds import ABSOLUTE_PATH, HostPath, Kind, SettingError, Switch
from nodeagent.settings.quantities import Count, Duration, Size, show_duration, show_size
from nodeagent.settings.rules import DriftPolicy

WEEK = 7 * 86400.0
_GLOB = st.text(st.characters(exclude_characters="=,", categories=["L", "N", "P", "S"])).map(lambda text: "/" + text)
_RULES = st.builds(DriftRule, _GLOB, st.sampled_from(DriftAction))


@given(st.integers(0, 6 * 10**14).map(lambda nanoseconds: round(nanoseconds / 1e9, 9)))
def test_a_duration_can_be_set_to_what_is_shown(seconds: float) -> None:
    assert Duration(0.0, WEEK).parse(show_duration(seconds)) == pytest.approx(seconds, abs=1e-9)


@given(st.integers(0, 10_000_000).map(lambda milliseconds: milliseconds / 1000))
def test_a_duration_of_milliseconds_is_exact(seconds: float) -> None:
    assert Duration(0.0, WEEK).parse(show_duration(seconds)) == seconds


@given(st.integers(0, 1 << 40))
def test_a_size_can_be_set_to_what_is_shown(size: int) -> None:
    assert Size(0, 1 << 40).parse(show_size(size)) == size


@given(st.lists(_RULES, max_size=4).map(tuple))
def test_a_policy_can_be_set_to_what_is_shown(rules: tuple[DriftRule, ...]) -> None:
    kind = DriftPolicy()
    assert kind.parse(kind.show(rules)) == rules
    assert kind.native(kind.plain(rules)) == rules


_FIELDS = st.sampled_from(list(FIELDS.values()))


@given(_FIELDS, st.text(max_size=30) | st.from_regex(r"[0-9.]{1,4}(ms|s|m|h|d|B|KiB|MiB|GiB|)", fullmatch=True))
def test_any_text_is_a_value_that_can_be_shown_or_a_setting_error(field: Field, text: str) -> None:
    with contextlib.suppress(SettingError):
        value = field.kind.parse(text)
        assert field.kind.parse(field.kind.show(value)) == value


_TOML = st.recursive(
    st.booleans() | st.integers() | st.floats() | st.text(max_size=10) | st.dates() | st.times(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(_FIELDS, _TOML)
def test_any_toml_is_a_value_that_can_be_shown_or_a_setting_error(field: Field, value: object) -> None:
    with contextlib.suppress(SettingError):
        read = field.kind.native(value)
        assert field.kind.native(field.kind.plain(read)) == read


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("60", 60.0), ("0.5", 0.5), ("50ms", 0.05), ("1h30m", 5400.0), ("1.5m", 90.0), ("2d", 172800.0), ("0s", 0.0)],
)
def test_durations(text: str, seconds: float) -> None:
    assert Duration(0.0, WEEK).parse(text) == seconds


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0, "0s"), (0.05, "50ms"), (1.5, "1500ms"), (60.0, "1m"), (90.0, "90s"), (1e-6, "0.000001s")],
)
def test_durations_are_shown_in_the_shortest_exact_form(seconds: float, text: str) -> None:
    assert show_duration(seconds) == text


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (Duration(1.0, 60.0), "61s"),
        (Duration(1.0, 60.0), "0.999"),
        (Duration(0.0, 60.0), "-1s"),
        (Duration(0.0, 60.0), "1 s"),
        (Duration(0.0, 60.0), "s"),
        (Duration(0.0, 60.0), "1e1"),
        (Duration(0.0, 60.0), "nan"),
        (Duration(0.0, 60.0), "٣s"),
        (Duration(0.0, 60.0), ""),
        (Size(1, 10), "11"),
        (Size(1, 10), "0"),
        (Size(0, 1 << 40), "1MB"),
        (Size(0, 1 << 40), "1.5MiB"),
        (Size(0, 1 << 40), "MiB"),
        (Count(1, 10), "11"),
        (Count(1, 10), "+1"),
        (Count(1, 10), "1.0"),
        (Switch(), "yes"),
        (Switch(), "True"),
        (Listen(), "9469"),
        (Listen(), ":9469"),
        (Listen(), "localhost:9469"),
        (Listen(), "127.0.0.1:65536"),
        (Listen(), "127.1:80"),
        (Listen(), "::1:80"),
        (Listen(), "[127.0.0.1]:80"),
        (Listen(), "[fe80::1%eth0]:80"),
        (Listen(loopback_only=True), "0.0.0.0:80"),
        (Listen(loopback_only=True), "[::]:80"),
        (Listen(loopback_only=True), "[::ffff:10.0.0.1]:80"),
        (HostPath(), ""),
        (HostPath(), "a\0b"),
        (HostPath(), "a\x1bb"),
        (ABSOLUTE_PATH, "relative"),
        (ABSOLUTE_PATH, "/a/../b"),
        (ABSOLUTE_PATH, "/a//b"),
        (ABSOLUTE_PATH, "/a/"),
        (ABSOLUTE_PATH, ""),
        (DriftPolicy(), "/etc/*"),
        (DriftPolicy(), "/etc/*=mend"),
        (DriftPolicy(), "etc=ignore"),
        (DriftPolicy(), "/a=ignore,"),
        (FIELDS["pool"].kind, "Worker"),
        (FIELDS["pool"].kind, "worker\n"),
        (FIELDS["user"].kind, "root:x"),
        (FIELDS["node_name"].kind, "a b"),
        (FIELDS["log.level"].kind, "trace"),
    ],
)
def test_text_that_is_refused(kind: Kind[Any], text: str) -> None:
    with pytest.raises(SettingError):
        kind.parse(text)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (Duration(0.0, 60.0), True),
        (Duration(0.0, 60.0), math.nan),
        (Duration(0.0, math.inf), math.inf),
        (Duration(0.0, 60.0), [1]),
        (Count(0, 10), True),
        (Count(0, 10), 1.0),
        (Count(0, 10), "1"),
        (Size(0, 10), False),
        (Size(0, 10), 1.0),
        (Switch(), 1),
        (Switch(), "true"),
        (Listen(), 9469),
        (HostPath(), "relative"),
        (HostPath(), 1),
        (DriftPolicy(), "/etc/*=ignore"),
        (DriftPolicy(), [{"path": "/etc/*"}]),
        (DriftPolicy(), [{"path": "/etc/*", "action": "ignore", "kind": "mode"}]),
        (DriftPolicy(), [{"path": "/etc/*", "action": ["ignore"]}]),
    ],
)
def test_toml_that_is_refused(kind: Kind[Any], value: object) -> None:
    with pytest.raises(SettingError):
        kind.native(value)


@pytest.mark.parametrize("text", ["127.0.0.1:9468", "127.9.9.9:1", "[::1]:9468"])
def test_loopback_addresses(text: str) -> None:
    address = Listen(loopback_only=True).parse(text)
    assert isinstance(address, Address)
    assert str(address) == text


@pytest.mark.parametrize("text", ["x" * 10_000, "\x1b[2J", "a\nb", "\u202e"])
def test_a_message_is_one_short_line_whatever_was_found(text: str) -> None:
    with pytest.raises(SettingError) as refused:
        Switch().parse(text)
    assert str(refused.value).isprintable()
    assert len(str(refused.value)) < 120
