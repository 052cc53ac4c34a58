"""Requests to the API server: JSON in, JSON out.

Invariant: every request has a deadline, bounded memory and one meaning for each refusal (errors.py); none is repeated
here, but after a 401 once with the credentials read afresh. The official client gives configuration, authentication
and transport; none of its models.
"""

from __future__ import annotations

import http
import json
import threading
import time
from collections.abc import Mapping
from enum import Enum
from typing import Any, Final
from urllib.parse import urlencode

from nodeagent.errors import Broken
from nodeagent.kube.credentials import Credentials, Session, unreachable
from nodeagent.kube.errors import Unavailable, refusal, status_of
from nodeagent.kube.stream import Stream

DEADLINE: Final = 30.0  # seconds for a request unless the caller says otherwise
_CONNECT: Final = 10.0  # seconds to reach the server
_STREAMS: Final = 12  # connections kept open besides, as watches leave them when they end
_CHUNK: Final = 1 << 16
_BODY: Final = 64 << 20  # bytes of an answer; a page of 500 Nodes has some ten MiB
_REFUSAL: Final = 1 << 16  # bytes of a refusal that are looked at

Query = Mapping[str, str | int | bool]


class Patch(Enum):
    """Kinds of PATCH by their content type (API concepts, "Patch")."""

    MERGE = "application/merge-patch+json"  # RFC 7386
    STRATEGIC = "application/strategic-merge-patch+json"  # lists with keys merge by key
    JSON = "application/json-patch+json"  # RFC 6902


class Connection:
    """One server, one identity, one pool; may be used by many threads, of which `width` make requests at a time.

    Paths are those of the API ("/api/v1/nodes/a"); `deadline` (seconds) bounds each wait for the server, and the answer
    as a whole. `server` is a URL instead of the one that the credentials name. All methods raise the errors of
    `nodeagent.kube.errors`.
    """

    def __init__(self, credentials: Credentials, user_agent: str, width: int = 4, server: str = "") -> None:
        self._credentials = credentials
        self._server = server
        self._headers = {"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": user_agent}
        self._turn = threading.BoundedSemaphore(width)

    def get(self, path: str, query: Query | None = None, deadline: float = DEADLINE) -> Any:
        return self._request("GET", path, None, query, deadline)

    def text(self, path: str, deadline: float = DEADLINE) -> str:
        """What a path answers that is no JSON, such as /metrics."""
        end = time.monotonic() + deadline
        body = _body(self._answer("GET", path, None, None, deadline), f"GET {path}", _BODY, end)
        return body.decode(errors="replace")

    def create(self, path: str, body: Any, query: Query | None = None, deadline: float = DEADLINE) -> Any:
        return self._request("POST", path, body, query, deadline)

    def replace(self, path: str, body: Any, query: Query | None = None, deadline: float = DEADLINE) -> Any:
        return self._request("PUT", path, body, query, deadline)

    def patch(self, path: str, body: Any, kind: Patch, query: Query | None = None, deadline: float = DEADLINE) -> Any:
        return self._request("PATCH", path, body, query, deadline, kind.value)

    def delete(self, path: str, body: Any = None, query: Query | None = None, deadline: float = DEADLINE) -> Any:
        """Delete an object; `body` are DeleteOptions, such as preconditions."""
        return self._request("DELETE", path, body, query, deadline)

    def stream(self, path: str, query: Query, silence: float) -> Stream:
        """Open a watch; reading from it raises Unavailable after `silence` seconds without a byte."""
        return Stream(self._answer("GET", path, None, query, silence), f"GET {path}")

    def close(self) -> None:
        """Close the connections that are idle."""
        self._credentials.close()

    def _request(
        self,
        method: str,
        path: str,
        body: Any,
        query: Query | None,
        deadline: float,
        content_type: str = "application/json",
    ) -> Any:
        request = f"{method} {path}"
        end = time.monotonic() + deadline
        if not self._turn.acquire(timeout=deadline):
            raise Unavailable(f"{request}: other requests left it no turn within {deadline:g} s")
        try:
            answer = self._answer(method, path, body, query, deadline, content_type)
            return _decoded(_body(answer, request, _BODY, end), request)
        finally:
            self._turn.release()

    def _answer(
        self,
        method: str,
        path: str,
        body: Any,
        query: Query | None,
        deadline: float,
        content_type: str = "application/json",
    ) -> Any:
        """urllib3's response to a request that succeeded, its body unread."""
        url = f"{path}?{urlencode({key: _text(value) for key, value in query.items()})}" if query else path
        headers = self._headers | ({} if body is None else {"Content-Type": content_type})
        request = f"{method} {path}"
        answer = self._send(self._credentials.session(), method, url, headers, body, deadline)
        if answer.status == http.HTTPStatus.UNAUTHORIZED:
            answer.close()
            self._credentials.forget()
            answer = self._send(self._credentials.session(), method, url, headers, body, deadline)
        if answer.status in range(200, 300):
            return answer
        said = status_of(_body(answer, request, _REFUSAL, time.monotonic() + deadline))
        raise refusal(request, answer.status, said, answer.headers.get("Retry-After"))

    def _send(
        self, session: Session, method: str, url: str, headers: Mapping[str, str], body: Any, deadline: float
    ) -> Any:
        with unreachable(f"{method} {url.partition('?')[0]}"):
            wrapped = session.transport.request(
                method,
                (self._server or session.server) + url,
                headers={**headers, **session.headers},
                body=body,
                _request_timeout=(min(_CONNECT, deadline), deadline),
            )
        return wrapped.response


def connect(
    kubeconfig: str, user_agent: str, width: int = 4, scratch: str | None = None, server: str = ""
) -> Connection:
    """A connection by `kubeconfig` (path), or as the pod's service account where it is "". Nothing is sent yet."""
    return Connection(Credentials(kubeconfig, width + _STREAMS, scratch), user_agent, width, server)


def _text(value: str | int | bool) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _body(answer: Any, request: str, limit: int, end: float) -> bytes:
    """The whole body; the connection goes back to the pool only if it was read to its end."""
    parts = []
    try:
        with unreachable(request):
            for part in answer.stream(_CHUNK):
                parts.append(part)
                limit -= len(part)
                _keep_within(request, limit, end)
    except BaseException:
        answer.close()
        raise
    answer.release_conn()
    return b"".join(parts)


def _keep_within(request: str, left: int, end: float) -> None:
    if left < 0:
        raise Broken(f"{request}: the answer is {-left} bytes too long to be read, or more")
    if time.monotonic() > end:
        raise Unavailable(f"{request}: the answer did not end in time")


def _decoded(body: bytes, request: str) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        raise Unavailable(f"{request}: the answer is no JSON; is this an API server, or a proxy before it?") from None
