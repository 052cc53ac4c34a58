"""What the API server's refusals mean for the caller.

Invariant: a message is short, holds the server's words without the values that they quote, and never a body.
Statuses are those of HTTP; the body of a refusal is a Status (meta/v1).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final

from nodeagent.errors import Broken, NodeAgentError, Problem, Rejected, Transient

_LONGEST_WAIT: Final = 300.0  # seconds: who asks for more is asked again all the same
_LONGEST: Final = 300  # characters of the server's words that people get to see
_VALUE = re.compile(r'\b((?:Invalid|Unsupported|Duplicate) value): (?:"(?:[^"\\]|\\.)*"|\S+?)(?=:|,|\s|$)')
_EXCERPT = re.compile(r",? ?(?:error found in #\d+ byte|bigger context).*", re.DOTALL)  # of the request's body


class Missing(Transient):
    """404: there is no such object, or not yet."""


class Conflict(Transient):
    """409: the object exists already, or is no longer what the caller saw: look again."""


class Expired(Transient):
    """410: this resourceVersion or page is gone: list again."""


class Throttled(Transient):
    """429: come back after `after` seconds. `causes` are those of the Status, by reason."""

    def __init__(self, message: str, after: float = 0.0, causes: frozenset[str] = frozenset()) -> None:
        self.after = after
        self.causes = causes
        super().__init__(message)


class Unavailable(Transient):
    """No answer, or a 5xx; `status` is 0 where nobody answered."""

    def __init__(self, message: str, status: int = 0) -> None:
        self.status = status
        super().__init__(message)


class Forbidden(Broken):
    """403: this identity may not do that."""


class Unauthorised(Broken):
    """401: the server does not know this identity, also after the credentials were read again."""


class Invalid(Rejected):
    """400, 413, 415, 422: the request itself is at fault."""


_NAMED: Final[Mapping[int, type[NodeAgentError]]] = {
    401: Unauthorised,
    403: Forbidden,
    404: Missing,
    409: Conflict,
    410: Expired,
}
_INVALID: Final = (400, 413, 415, 422)


def words(text: str) -> str:
    """`text` on one line and bounded, without the values and excerpts that the server quotes."""
    plain = _EXCERPT.sub("", _VALUE.sub(r"\1", text))
    line = " ".join("".join(character if character.isprintable() else " " for character in plain).split())
    return line if len(line) <= _LONGEST else line[: _LONGEST - 1] + "…"


def status_of(body: bytes) -> Mapping[str, Any]:
    """The Status in the body of a refusal; {} where a proxy or a broken server sent something else."""
    try:
        status = json.loads(body)
    except ValueError:
        return {}
    return status if isinstance(status, dict) and status.get("kind") == "Status" else {}


def refusal(request: str, code: int, status: Mapping[str, Any], after: str | None = None) -> NodeAgentError:
    """The error for an answer `code` to `request` ("PATCH /api/v1/nodes/a"), or for an ERROR event of a watch.

    `after` is the Retry-After header (RFC 9110 section 10.2.3); only its form in seconds is known to the API server.
    """
    said = words(str(status.get("message") or "the server gave no reason"))
    message = f"{request}: {code}: {said}"
    if code in _NAMED:
        return _NAMED[code](message)
    if code == 429:
        return Throttled(message, _seconds(after, status), _causes(status))
    if code in _INVALID:
        return Invalid([Problem(request, "", f"refused with {code}: {said}")])
    if code >= 500:
        return Unavailable(message, code)
    return Broken(f"{message}; is this an API server, or a proxy before it?")


def _details(status: Mapping[str, Any]) -> Mapping[str, Any]:
    details = status.get("details")
    return details if isinstance(details, dict) else {}


def _seconds(after: str | None, status: Mapping[str, Any]) -> float:
    asked = after if after is not None else str(_details(status).get("retryAfterSeconds", ""))
    return min(float(asked), _LONGEST_WAIT) if asked.isascii() and asked.isdigit() else 0.0


def _causes(status: Mapping[str, Any]) -> frozenset[str]:
    return frozenset(str(cause.get("reason", "")) for cause in _details(status).get("causes") or ())
