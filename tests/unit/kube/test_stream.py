"""Lines and events of a watch."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodeagent.errors import Broken
from nodeagent.kube.errors import Expired, Unavailable
from nodeagent.kube.stream import event, lines


@given(st.lists(st.binary().map(lambda line: line.replace(b"\n", b"")), max_size=5), st.lists(st.integers(0, 40)))
def test_lines_are_whole_however_they_arrive(expected: list[bytes], cuts: list[int]) -> None:
    data = b"".join(line + b"\n" for line in expected) + b"torn"
    ends = sorted({0, len(data), *(each for each in cuts if each <= len(data))})
    chunks = [data[start:end] for start, end in itertools.pairwise(ends)]
    assert list(lines(chunks, "GET /x")) == expected


def test_a_line_without_end_is_given_up() -> None:
    with pytest.raises(Broken, match="more than 100 bytes"):
        list(lines(itertools.repeat(b"x" * 64), "GET /x", 100))


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"{",
        b"[]",
        b'"x"',
        b"{}",
        b'{"type":"ADDED","object":null}',
        b'{"type":"ODD","object":{"metadata":{"resourceVersion":"1"}}}',
        b'{"type":"ADDED","object":{"metadata":{}}}',
        b'{"type":"ADDED","object":{"metadata":{"resourceVersion":1}}}',
    ],
)
def test_what_is_no_event_is_told_without_its_text(line: bytes) -> None:
    with pytest.raises(Unavailable, match=r"^GET /x: the stream holds something else than events$"):
        event(line, "GET /x")


def test_an_error_event_raises_as_a_refusal_would() -> None:
    with pytest.raises(Expired, match="410: too old"):
        event(b'{"type":"ERROR","object":{"kind":"Status","code":410,"message":"too old"}}', "GET /x")
    with pytest.raises(Unavailable) as raised:
        event(b'{"type":"ERROR","object":{}}', "GET /x")
    assert raised.value.status == 500
