"""The events of a watch, one JSON object a line (API concepts, "Efficient detection of changes").

Invariant: what is held is one line, and a line is bounded; a refusal inside the stream raises like one before it; a
stream that is closed from another thread ends instead of waiting for its server.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, Self

from nodeagent.errors import Broken
from nodeagent.kube.credentials import unreachable
from nodeagent.kube.errors import Unavailable, refusal

ADDED, MODIFIED, DELETED, BOOKMARK = "ADDED", "MODIFIED", "DELETED", "BOOKMARK"
_ERROR: Final = "ERROR"
_CHUNK: Final = 1 << 16
LONGEST_LINE: Final = 8 << 20  # bytes; an object is capped near 1.5 MiB, its JSON may escape


@dataclass(frozen=True)
class Event:
    """One step of an object's life: ADDED, MODIFIED, DELETED, or BOOKMARK, whose object holds a version only."""

    type: str
    object: dict[str, Any]

    @property
    def version(self) -> str:
        """The resourceVersion from which a watch goes on after this event."""
        version: str = self.object["metadata"]["resourceVersion"]
        return version


def lines(chunks: Iterable[bytes], request: str, longest: int = LONGEST_LINE) -> Iterator[bytes]:
    """The complete lines in `chunks`, without their ends. Raises Broken for one of more than `longest` bytes."""
    rest = bytearray()
    for chunk in chunks:
        *whole, last = chunk.split(b"\n")
        for part in whole:
            yield bytes(rest + part)
            rest.clear()
        rest += last
        if len(rest) > longest:
            raise Broken(f"{request}: an event has more than {longest} bytes, too many to read")


def event(line: bytes, request: str) -> Event:
    """Raises the error that an ERROR event stands for, Unavailable for what is no event."""
    try:
        said = json.loads(line)
        kind, subject = said["type"], said["object"]
        if kind == _ERROR:
            raise refusal(request, int(subject.get("code") or 500), subject)
        found = Event(kind, subject)
        known = isinstance(found.version, str) and kind in (ADDED, MODIFIED, DELETED, BOOKMARK)
    except (ValueError, TypeError, KeyError, AttributeError):
        known = False
    if not known:
        raise Unavailable(f"{request}: the stream holds something else than events")
    return found


class Stream:
    """Iterates over the events of an open watch, until the server ends it or `close` is called."""

    def __init__(self, answer: Any, request: str) -> None:
        self._answer = answer
        self._request = request

    def __iter__(self) -> Iterator[Event]:
        with unreachable(self._request):
            for line in lines(self._answer.stream(_CHUNK), self._request):
                yield event(line, self._request)

    def interrupt(self) -> None:
        """End the stream for the thread that reads it; for any other thread."""
        with suppress(OSError, ValueError, RuntimeError):  # it ended by itself meanwhile
            self._answer.shutdown()

    def close(self) -> None:
        """Give the connection up; only for the thread that reads."""
        self._answer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
