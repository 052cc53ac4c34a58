"""What refusals become, and what they never tell."""

from __future__ import annotations

import json

import pytest

from nodeagent.errors import Broken, NodeAgentError, Rejected, Transient
from nodeagent.kube import errors

_SECRET = "hunter2"


@pytest.mark.parametrize(
    ("code", "kind", "does"),
    [
        (301, Broken, Broken),
        (400, errors.Invalid, Rejected),
        (401, errors.Unauthorised, Broken),
        (403, errors.Forbidden, Broken),
        (404, errors.Missing, Transient),
        (409, errors.Conflict, Transient),
        (410, errors.Expired, Transient),
        (413, errors.Invalid, Rejected),
        (422, errors.Invalid, Rejected),
        (429, errors.Throttled, Transient),
        (500, errors.Unavailable, Transient),
        (503, errors.Unavailable, Transient),
    ],
)
def test_the_kind_says_what_to_do(code: int, kind: type[NodeAgentError], does: type[NodeAgentError]) -> None:
    error = errors.refusal("GET /x", code, {"message": "because"})
    assert type(error) is kind
    assert isinstance(error, does)
    assert "GET /x" in str(error)
    assert "because" in str(error)


@pytest.mark.parametrize(
    "message",
    [
        f'Node "a" is invalid: metadata.annotations: Invalid value: "{_SECRET}": must be short',
        f'spec.x: Invalid value: "a \\" b {_SECRET}": no',
        f"spec.x: Unsupported value: {_SECRET}: supported values: 1",
        f'spec.items[0]: Duplicate value: "{_SECRET}"',
        f"cannot unmarshal, error found in #10 byte of ...|{_SECRET}|..., bigger context ...|{_SECRET}|...",
    ],
)
def test_values_are_not_quoted(message: str) -> None:
    assert _SECRET not in str(errors.refusal("PATCH /x", 422, {"message": message}))


def test_text_is_one_bounded_line() -> None:
    said = errors.words("a\x1b[31m\nb" * 1000)
    assert len(said) == 300
    assert said.isprintable()


def test_a_body_that_is_no_status_is_not_told() -> None:
    assert errors.status_of(b"<html>hunter2</html>") == {}
    assert errors.status_of(b'["hunter2"]') == {}
    assert errors.status_of(json.dumps({"kind": "Secret", "message": "hunter2"}).encode()) == {}


@pytest.mark.parametrize(
    ("header", "seconds"), [("7", 7.0), (None, 3.0), ("soon", 0.0), ("²", 0.0), ("9" * 400, 300.0)]
)
def test_how_long_to_wait(header: str | None, seconds: float) -> None:
    error = errors.refusal("GET /x", 429, {"details": {"retryAfterSeconds": 3}}, header)
    assert isinstance(error, errors.Throttled)
    assert error.after == seconds
