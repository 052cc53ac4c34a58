"""Data URLs are read as Ignition's reference reads them, and errors never quote their contents."""

from __future__ import annotations

import base64
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from urllib.parse import quote_from_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodeagent.machineconfig.dataurl import check, decode
from tests import vectors


@vectors.parametrize("dataurl")
def test_agrees_with_the_reference(vector: dict[str, Any]) -> None:
    if not vector["valid"]:
        with pytest.raises(ValueError, match="malformed data URL"):
            decode(vector["url"])
    else:
        assert decode(vector["url"]).hex() == vector["bytes_hex"]


@pytest.mark.parametrize(
    ("url", "data"),
    [
        ('data:text/plain;a="b;,\\"c",hi', b"hi"),
        ("data:x-own/type;a=%41,hi", b"hi"),
        ("data:text/,hi", b"hi"),
        ("data:;base64,", b""),
        ("data:,%E2%82%ac", "€".encode()),
    ],
)
def test_accepts(url: str, data: bytes) -> None:
    assert decode(url) == data


@pytest.mark.parametrize(
    "url",
    [
        "DATA:,x",
        "data:;a=%4,hi",
        'data:;a="\\q",hi',
        'data:;a="open,hi',
        "data:;,hi",
        "data:chemical/x,hi",
        "data:;base64,aGVsbG98=",
        "data:;base64,====",
        "data:;base64,aGk",
        "data:;base64,aGk=\r",
        "data:,h\u00e4",
        "data:;base64,\u00e4\u00e4\u00e4\u00e4",
    ],
)
def test_refuses(url: str) -> None:
    with pytest.raises(ValueError, match="malformed data URL"):
        decode(url)


def test_errors_do_not_quote_contents() -> None:
    with pytest.raises(ValueError, match="base64") as caught:
        decode("data:;base64,c2VjcmV0cGFzc3dvcmQ")
    assert "c2Vj" not in str(caught.value)


@given(st.binary(max_size=200))
def test_round_trip(data: bytes) -> None:
    assert decode("data:;base64," + base64.b64encode(data).decode()) == data
    assert decode("data:," + quote_from_bytes(data, safe="")) == data


@given(st.text(max_size=60))
def test_any_text_is_decoded_or_refused(text: str) -> None:
    with suppress(ValueError):
        assert isinstance(decode("data:" + text), bytes)


@given(st.sampled_from(["data:,", "data:;base64,"]), st.text("Aa+/=%4é\n\ud800", max_size=12))
def test_a_check_finds_what_decoding_would(head: str, data: str) -> None:
    assert _complaint(check, head + data) == _complaint(decode, head + data)


def _complaint(read: Callable[[str], object], url: str) -> str:
    try:
        read(url)
    except ValueError as error:
        return str(error)
    return ""
