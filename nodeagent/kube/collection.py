"""All objects of a collection, each reduced to what its reader needs.

Invariant: a snapshot is what the server held at one moment, never a list half read; objects are projected as they
arrive, so that a page is the most that is held of them whole.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, Generic, TypeVar

from nodeagent.kube.connection import Connection
from nodeagent.kube.reflector import PACE, Changed, Pace, Reflector, Scope
from nodeagent.kube.stream import DELETED, Event

T = TypeVar("T")
Key = tuple[str, str]  # namespace ("" for what is cluster-wide) and name


class Collection(Generic[T]):
    """Follows the objects in `scope` on a thread of its own; each is kept as what `project` makes of it."""

    def __init__(
        self,
        connection: Connection,
        scope: Scope,
        project: Callable[[dict[str, Any]], T],
        changed: Changed,
        chance: random.Random,
        pace: Pace = PACE,
    ) -> None:
        self._project = project
        self._changed = changed
        self._lock = threading.Lock()
        self._objects: dict[Key, T] = {}
        self._snapshot: Mapping[Key, T] | None = None
        self._reflector = Reflector(connection, scope, self, chance, pace)
        self.path = scope.path
        self.start = self._reflector.start
        self.close = self._reflector.close
        self.age = self._reflector.age
        self.problems = self._reflector.problems

    @property
    def synced(self) -> bool:
        """The collection was listed to its end at least once."""
        return self._reflector.synced

    def snapshot(self) -> Mapping[Key, T]:
        """The objects by namespace and name; stays as it is whatever happens later."""
        with self._lock:
            if self._snapshot is None:
                self._snapshot = MappingProxyType(dict(self._objects))
            return self._snapshot

    def replaced(self, objects: Iterator[dict[str, Any]]) -> None:
        found = {_key(each): self._project(each) for each in objects}
        with self._lock:
            self._objects, self._snapshot = found, None
        self._changed()

    def happened(self, event: Event) -> None:
        key = _key(event.object)
        with self._lock:
            if event.type == DELETED:
                self._objects.pop(key, None)
            else:
                self._objects[key] = self._project(event.object)
            self._snapshot = None
        self._changed()


def _key(each: Mapping[str, Any]) -> Key:
    metadata = each["metadata"]
    return metadata.get("namespace", ""), metadata["name"]
