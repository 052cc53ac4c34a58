"""Unit files: what Ignition accepts is accepted, and values are what systemd makes of them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodeagent.machineconfig.unitfile import check_lines, parse


def test_sections_and_options_keep_their_order() -> None:
    unit = parse("[Unit]\nB = 1 \nA=2\n\n[Service]\nB=3\n[Unit]\nA=4\n")
    assert unit.sections == (
        ("Unit", (("B", "1"), ("A", "2"))),
        ("Service", (("B", "3"),)),
        ("Unit", (("A", "4"),)),
    )


def test_values_of_a_key_add_up_and_an_empty_one_resets_them() -> None:
    unit = parse("[Install]\nWantedBy=a\nWantedBy=b c\n[Install]\nWantedBy=\nWantedBy=d\nAlias=\n[Unit]\nWantedBy=no\n")
    assert unit.values("Install", "WantedBy") == ("d",)
    assert unit.values("Install", "Alias") == ()
    assert unit.values("Service", "ExecStart") == ()
    assert unit.has_section("Unit")
    assert not unit.has_section("Service")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("A=b \\\n  c", "b    c"),
        ("A=b \\\n# not this\n; nor this\nc", "b  c"),
        ("A=b\\\n\nB=c", "b"),
        ("A=b\\", "b"),
        ("A=b\\ \nB=c", "b\\"),
        ("A=b # no comment", "b # no comment"),
        ("A=b=c", "b=c"),
        ("A=b\r\n", "b"),
    ],
)
def test_continued_lines(text: str, value: str) -> None:
    assert parse(f"[S]\n{text}").values("S", "A") == (value,)


@pytest.mark.parametrize(
    "text", ["", "no section at all", "# [S]\n", "junk\n[S]\n# c \\\nstill a comment\n", "\n\n[S]"]
)
def test_accepts(text: str) -> None:
    assert not parse(text).values("S", "A")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[Foo", "line 1: a section's name has no closing bracket"),
        ("[Unit] junk\nA=b", "line 1: there is text after a section's name"),
        ("[Unit]\nA=b\nsecret\nB=c", "line 3: neither a section, an option"),
        ("[Unit]\nA", "line 2: neither"),
    ],
)
def test_refuses_and_says_where_without_quoting(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        parse(text)
    assert "secret" not in str(caught.value)


def test_long_lines() -> None:
    check_lines("[U]\nA=" + "x" * 2045 + "\nB=" + "x" * 2045)
    with pytest.raises(ValueError, match="2047 bytes"):
        check_lines("[U]\nA=" + "x" * 2046)
    with pytest.raises(ValueError, match="2047 bytes"):
        check_lines("[U]\n# " + "\u00e4" * 1023)


@given(st.text(alphabet="[]=#;\\ \n\rAb", max_size=60))
def test_any_text_is_parsed_or_refused(text: str) -> None:
    try:
        unit = parse(text)
    except ValueError:
        return
    assert all("\n" not in value for _, options in unit.sections for _, value in options)
