"""Follows a collection of the API: lists it once and watches from there, for as long as it runs.

Invariant: a sink that was told everything is as far as the last event, and is told of each later one once and in order.
After a cut the watch goes on from the last event or bookmark; after a gap (410) the collection is listed again, from
what etcd holds. Between two tries there is always a pause with full jitter, so neither a server that cuts nor a fleet
that comes back makes a storm. While the server is away the sink keeps what it has.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from nodeagent.engine.controller import Backoff
from nodeagent.errors import NodeAgentError
from nodeagent.kube.connection import Connection, Query
from nodeagent.kube.errors import Expired, Throttled, Unavailable
from nodeagent.kube.stream import BOOKMARK, Event, Stream

PAGE: Final = 500  # objects that one LIST answers, as client-go's
_ANY, _NEWEST = "0", ""  # resourceVersion of a LIST: whatever the server has cached; what etcd holds


class Sink(Protocol):
    """Takes what a reflector sees, on the reflector's thread."""

    def replaced(self, objects: Iterator[dict[str, Any]]) -> None:
        """These are all objects; the iterator may raise, after which everything stays as it was."""

    def happened(self, event: Event) -> None:
        """An object was ADDED, MODIFIED or DELETED."""


@dataclass(frozen=True)
class Pace:
    """Times in seconds: pauses after failures, how long a watch is asked to last, how long it may be silent.

    An API server sends a bookmark about each minute, so silence means that it, or the way to it, is dead.
    """

    backoff: Backoff = field(default_factory=lambda: Backoff(shortest=1.0, longest=30.0))
    lasting: tuple[int, int] = (30 * 60, 60 * 60)
    silence: float = 300.0


PACE: Final = Pace()


@dataclass(frozen=True)
class Scope:
    """What is followed: the path of a collection ("/api/v1/nodes") and selectors as of LIST.

    `cached` lets the first LIST answer what the server has in memory, which may be a little old. It costs no etcd, and
    comes in one piece whatever `page` says, so it is for few objects.
    """

    path: str
    selectors: Mapping[str, str] = field(default_factory=dict)
    cached: bool = False
    page: int = PAGE


class Reflector:
    """One thread that follows `scope` and tells `sink`."""

    def __init__(
        self, connection: Connection, scope: Scope, sink: Sink, chance: random.Random, pace: Pace = PACE
    ) -> None:
        self._connection = connection
        self._scope = scope
        self._sink = sink
        self._chance = chance
        self._pace = pace
        self._version: str | None = None  # from where a watch can go on
        self._base = _ANY if scope.cached else _NEWEST
        self._failures = 0
        self._last_error = ""
        self._heard: float | None = None
        self._stream: Stream | None = None
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"watch {scope.path}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self, deadline: float = 5.0) -> bool:
        """Stop following; False if the thread is still at it after `deadline` seconds."""
        self._stopping.set()
        with self._lock:
            if self._stream is not None:
                self._stream.interrupt()
        if self._thread.ident is not None:
            self._thread.join(deadline)
        return not self._thread.is_alive()

    @property
    def synced(self) -> bool:
        """Everything was listed at least once."""
        return self._heard is not None

    def age(self) -> float:
        """Seconds since the server was last heard of; infinite before the first LIST."""
        return float("inf") if self._heard is None else time.monotonic() - self._heard

    def problems(self) -> tuple[str, ...]:
        """What keeps us from following, while it does; () if all is well."""
        if not self._failures:
            return ()
        since = f"as of {self.age():.0f} s ago" if self.synced else "not known yet"
        return (f"{self._scope.path} is {since}; tried {self._failures} times in vain: {self._last_error}",)

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._stopping.wait(self._step())

    def _step(self) -> float:
        """List if there is no version to go on from, watch until that ends; the seconds to pause."""
        try:
            if self._version is None:
                self._list()
            self._follow(self._version or "")
        except (NodeAgentError, OSError) as error:
            return 0.0 if self._stopping.is_set() else self._failed(error)
        return self._pace.backoff.delay(1, self._chance)

    def _failed(self, error: Exception) -> float:
        self._failures += 1
        self._last_error = str(error)
        if isinstance(error, Expired) or (isinstance(error, Unavailable) and error.status):
            self._version, self._base = None, _NEWEST  # a server that answers so may not know our version
        asked = error.after if isinstance(error, Throttled) else 0.0
        return asked + self._pace.backoff.delay(self._failures, self._chance)

    def _list(self) -> None:
        self._sink.replaced(self._objects())
        self._heard_of()

    def _objects(self) -> Iterator[dict[str, Any]]:
        """All objects, page by page; leaves the version of the LIST behind."""
        query: dict[str, Any] = dict(self._scope.selectors)
        if self._base:
            query["resourceVersion"] = self._base
        query["limit"] = self._scope.page
        while True:
            page = self._page(query)
            yield from page.pop("items", None) or ()
            token = page["metadata"].get("continue")
            if not token:
                break
            query.pop("resourceVersion", None)  # the token holds it
            query["continue"] = token
        self._version = page["metadata"]["resourceVersion"]

    def _page(self, query: Query) -> dict[str, Any]:
        page = self._connection.get(self._scope.path, query)
        if not isinstance(page, dict) or "resourceVersion" not in (page.get("metadata") or {}):
            raise Unavailable(f"GET {self._scope.path}: the answer is no list of objects")
        return page

    def _follow(self, version: str) -> None:
        lasting = self._chance.randint(*self._pace.lasting)
        query: dict[str, str | int] = {**self._scope.selectors, "watch": True, "allowWatchBookmarks": True}
        query |= {"resourceVersion": version, "timeoutSeconds": lasting}
        with self._connection.stream(self._scope.path, query, self._pace.silence) as stream:
            self._opened(stream)
            began = time.monotonic()
            try:
                for event in stream:
                    self._take(event)
            finally:
                self._opened(None)
        if time.monotonic() - began < self._pace.backoff.shortest:
            raise Unavailable(f"GET {self._scope.path}: the server ended the watch at once")

    def _opened(self, stream: Stream | None) -> None:
        with self._lock:
            self._stream = stream
            if stream is not None and self._stopping.is_set():
                stream.interrupt()

    def _take(self, event: Event) -> None:
        if event.type != BOOKMARK:
            self._sink.happened(event)
        self._version = event.version
        self._heard_of()

    def _heard_of(self) -> None:
        self._heard = time.monotonic()
        self._failures = 0


Changed = Callable[[], None]  # is called on the reflector's thread: must only wake somebody
