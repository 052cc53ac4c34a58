"""Globs of paths: what is shown can be set again, and nothing that is not absolute and clean comes through."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodeagent.settings.globs import Globs
from nodeagent.settings.kinds import SettingError

KIND = Globs()


@pytest.mark.parametrize(
    ("text", "value"),
    [("", ()), ("/a/*.crt", ("/a/*.crt",)), ("/a/*.crt, /b/[xy]?.pem", ("/a/*.crt", "/b/[xy]?.pem"))],
)
def test_reads_text(text: str, value: tuple[str, ...]) -> None:
    assert KIND.parse(text) == value
    assert KIND.native(list(value)) == value


@pytest.mark.parametrize("text", ["a", "/a/../b", "/a,", "/a//b", "/a\n/b"])
def test_refuses_what_is_no_clean_absolute_glob(text: str) -> None:
    with pytest.raises(SettingError):
        KIND.parse(text)


@pytest.mark.parametrize("value", ["/a", ["/a,b"], [7], None, {"/a": 1}])
def test_refuses_what_is_no_array_of_globs(value: object) -> None:
    with pytest.raises(SettingError):
        KIND.native(value)


@given(st.text(max_size=30) | st.from_regex(r"(/[a-z*?,\[\]]{1,3}){1,4}", fullmatch=True))
def test_what_is_shown_can_be_set_again(text: str) -> None:
    with contextlib.suppress(SettingError):
        value = KIND.parse(text)
        assert KIND.parse(KIND.show(value)) == value
        assert KIND.native(KIND.plain(value)) == value
