"""Gets files over https, within a deadline and a size, and keeps what was verified.

Only https, also after a redirect; certificates are checked against the system's trust store (SSL_CERT_FILE overrides
it). The bytes count for nothing until the caller has verified them against the declared hash.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from nodeagent.errors import Transient
from nodeagent.host.store import Store

if TYPE_CHECKING:
    import http.client

_CHUNK = 1 << 16

Accept = Callable[[bytes], bytes]


class Fetcher:
    """Fetches with `timeout` seconds for a whole file of at most `limit` bytes; caches in `store`."""

    def __init__(self, store: Store, timeout: float, limit: int) -> None:
        self._store = store
        self._timeout = timeout
        self._limit = limit

    def fetch(self, url: str, headers: Mapping[str, str], accept: Accept) -> bytes:
        """What `accept` makes of the body; ValueError if it refuses it, Transient if the server cannot be had.

        `accept` uncompresses and verifies. A cached body that it refuses is fetched anew.
        """
        name = f"fetched/{hashlib.sha256(url.encode()).hexdigest()}"
        cached = self._store.read(name)
        if cached is not None:
            try:
                return accept(cached)
            except ValueError:
                self._store.remove(name)
        body = self._download(url, headers)
        accepted = accept(body)
        if self._store.prepared:  # a plan changes nothing, not even the cache
            self._store.write(name, body)
        return accepted

    def _download(self, url: str, headers: Mapping[str, str]) -> bytes:
        from nodeagent.host import https  # noqa: PLC0415 - 8 MiB that only a node with https sources pays for

        deadline = time.monotonic() + self._timeout
        try:
            with https.get(url, dict(headers), self._timeout) as response:
                return self._read(response, deadline, url)
        except OSError as error:
            raise Transient(f"{url}: cannot be fetched: {error}") from error

    def _read(self, response: http.client.HTTPResponse, deadline: float, url: str) -> bytes:
        body = bytearray()
        while chunk := response.read1(_CHUNK):
            body += chunk
            if len(body) > self._limit:
                raise ValueError(f"{url} is larger than {self._limit} bytes")
            if time.monotonic() > deadline:
                raise Transient(f"{url}: was not there whole after {self._timeout:g} s")
        return bytes(body)
