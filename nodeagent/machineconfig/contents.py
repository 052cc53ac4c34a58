"""The bytes that a file is to have: fetched, uncompressed, verified, appended.

A `verification.hash` covers the contents after decompression (Ignition 3.4.0, "verification"). Sizes are capped, so a
small compressed source cannot fill the node.
"""

from __future__ import annotations

import hashlib
import hmac
import zlib
from collections.abc import Callable
from functools import partial

from nodeagent.machineconfig import dataurl
from nodeagent.machineconfig.ignition.model import Resource

LIMIT = 64 << 20  # bytes of one file

Accept = Callable[[bytes], bytes]
Fetch = Callable[[Resource, Accept], bytes]


def contents(resource: Resource, fetch: Fetch) -> bytes:
    """The verified bytes of `resource`; ValueError says why they cannot be had.

    `fetch` gets what is not inline and hands it to the function it is given, which returns the bytes or refuses them.
    """
    source = resource.source or ""
    if not source:
        return b""
    if source.startswith("data:"):
        return _accept(resource, dataurl.decode(source))
    return fetch(resource, partial(_accept, resource))


def _accept(resource: Resource, data: bytes) -> bytes:
    if resource.compression == "gzip":
        data = gunzip(data)
    if len(data) > LIMIT:
        raise ValueError(f"the contents are larger than {LIMIT} bytes")
    if resource.verification.hash:
        verify(data, resource.verification.hash)
    return data


def gunzip(data: bytes, limit: int = LIMIT) -> bytes:
    """Uncompressed bytes of one or more gzip members (RFC 1952); ValueError if damaged or over `limit` bytes."""
    whole = bytearray()
    if not data:
        raise ValueError("the contents are declared as gzip and are empty")
    while data:
        member = zlib.decompressobj(wbits=31)
        try:
            whole += member.decompress(data, limit + 1 - len(whole))
        except zlib.error as error:
            raise ValueError("the contents are declared as gzip and are not gzip") from error
        if len(whole) > limit:
            raise ValueError(f"the contents are larger than {limit} bytes when uncompressed")
        if not member.eof:
            raise ValueError("the gzip contents end too early")
        data = member.unused_data
    return bytes(whole)


def verify(data: bytes, expected: str) -> None:
    """ValueError unless `data` has the digest `expected` ("sha256-<hex>" or "sha512-<hex>")."""
    function, _, digest = expected.partition("-")
    actual = hashlib.new(function, data).hexdigest()
    if not hmac.compare_digest(actual, digest.lower()):
        raise ValueError(f"the contents have {function} {actual}, and verification.hash asks for {digest}")
