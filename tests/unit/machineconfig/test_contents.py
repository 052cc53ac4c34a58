"""Contents of files: uncompressed, verified, bounded, and never half."""

from __future__ import annotations

import base64
import gzip
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodeagent.machineconfig.contents import Accept, contents, gunzip, verify
from nodeagent.machineconfig.ignition.model import Resource, Verification

SHA256, SHA512 = (f"{name}-{hashlib.new(name, b'contents').hexdigest()}" for name in ("sha256", "sha512"))


def inline(data: bytes, compression: str | None = None, expected: str | None = None) -> Resource:
    return Resource(f"data:;base64,{base64.b64encode(data).decode()}", compression, verification=Verification(expected))


def nowhere(resource: Resource, accept: Accept) -> bytes:
    raise AssertionError("nothing is fetched here")


@pytest.mark.parametrize("expected", [None, SHA256, SHA512, SHA256.upper().replace("SHA256", "sha256")])
def test_inline_contents_are_verified(expected: str | None) -> None:
    assert contents(inline(b"contents", expected=expected), nowhere) == b"contents"


def test_the_hash_covers_what_is_uncompressed() -> None:
    assert contents(inline(gzip.compress(b"contents"), "gzip", SHA256), nowhere) == b"contents"


def test_other_contents_than_declared_are_refused_without_being_quoted() -> None:
    with pytest.raises(ValueError, match="hash asks for") as caught:
        contents(inline(b"secret", expected=SHA256), nowhere)
    assert "secret" not in str(caught.value)


def test_no_source_is_no_contents() -> None:
    assert contents(Resource(), nowhere) == b""


def test_what_is_fetched_is_uncompressed_and_verified_before_it_counts() -> None:
    resource = Resource("https://example.org/x", "gzip", verification=Verification(SHA256))
    assert contents(resource, lambda _, accept: accept(gzip.compress(b"contents"))) == b"contents"
    with pytest.raises(ValueError, match="hash asks for"):
        contents(resource, lambda _, accept: accept(gzip.compress(b"tampered")))


@given(st.lists(st.binary(max_size=50), min_size=1, max_size=3))
def test_several_gzip_members_are_one_file(parts: list[bytes]) -> None:
    assert gunzip(b"".join(map(gzip.compress, parts))) == b"".join(parts)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "are empty"),
        (b"plain text", "are not gzip"),
        (gzip.compress(b"x" * 100)[:-9], "end too early"),
        (gzip.compress(b"x") + b"trailing", "are not gzip"),
        (gzip.compress(b"\0" * 2000), "larger than 1000 bytes"),
        (gzip.compress(b"x" * 600) * 2, "larger than 1000 bytes"),
    ],
)
def test_damaged_and_bursting_gzip_is_refused(data: bytes, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        gunzip(data, limit=1000)


def test_verify_takes_the_named_function() -> None:
    verify(b"contents", SHA512)
    with pytest.raises(ValueError, match="sha512"):
        verify(b"other", SHA512)
