"""The JSON parser that the `ovs` library gets."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from nodeagent.ovn.parser import Parser

_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(st.lists(st.dictionaries(st.text(), _VALUES), min_size=1, max_size=4), st.integers(1, 40), st.booleans())
def test_messages_are_told_apart_however_they_are_cut(messages: list[Any], size: int, plain: bool) -> None:
    stream = "".join(json.dumps(message, ensure_ascii=plain) for message in messages)
    found, parser = [], Parser()
    for start in range(0, len(stream), size):
        chunk = stream[start : start + size]
        while chunk:
            chunk = chunk[parser.feed(chunk) :]
            if parser.is_done():
                found.append(parser.finish())
                parser = Parser()
    assert found == messages


def test_what_is_no_json_is_said() -> None:
    parser = Parser()
    parser.feed("{,}")
    assert parser.is_done()
    assert isinstance(parser.finish(), str)
