"""One object of the API, by name, as the server last told it.

Invariant: `current` is never older than what it was before; `changed` is called after it changed, and only wakes. The
LIST by name at resourceVersion 0 and the watch cost the server next to nothing (no etcd, no other objects).
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

from nodeagent.kube.connection import Connection
from nodeagent.kube.reflector import PACE, Changed, Pace, Reflector, Scope
from nodeagent.kube.stream import DELETED, Event


class ObjectWatch:
    """Follows the object `name` of the collection at `path` ("/api/v1/nodes") on a thread of its own."""

    def __init__(
        self,
        connection: Connection,
        path: str,
        name: str,
        changed: Changed,
        chance: random.Random,
        pace: Pace = PACE,
    ) -> None:
        self._changed = changed
        self._current: dict[str, Any] | None = None
        scope = Scope(path, {"fieldSelector": f"metadata.name={name}"}, cached=True)
        self._reflector = Reflector(connection, scope, self, chance, pace)
        self.path = scope.path
        self.start = self._reflector.start
        self.close = self._reflector.close
        self.age = self._reflector.age
        self.problems = self._reflector.problems

    @property
    def synced(self) -> bool:
        """The server has said whether the object exists."""
        return self._reflector.synced

    def current(self) -> dict[str, Any] | None:
        """The object as last seen, to be read only; None where it does not exist, or before `synced`."""
        return self._current

    def replaced(self, objects: Iterator[dict[str, Any]]) -> None:
        found = list(objects)
        self._current = found[0] if found else None
        self._changed()

    def happened(self, event: Event) -> None:
        self._current = None if event.type == DELETED else event.object
        self._changed()
