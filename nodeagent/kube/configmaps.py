"""Keeps one ConfigMap saying what was published last, from a loop of its own.

Invariant: nothing queues up while the API server is away, and what stands there already is not written again. Other
keys, labels and annotations of the ConfigMap are left alone.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Mapping
from typing import Any, Final

from nodeagent.engine.controller import Controller, Watcher
from nodeagent.kube.connection import Connection, Patch
from nodeagent.kube.errors import Missing
from nodeagent.kube.nodestatus import MANAGER

_IDLE: Final = 6 * 3600.0  # seconds until a look whether somebody has changed or removed it


class ConfigMapWriter:
    """Writes `namespace`/`name`, as the loop `loop`."""

    def __init__(
        self, connection: Connection, namespace: str, name: str, loop: str, watcher: Watcher, chance: random.Random
    ) -> None:
        self._connection = connection
        self._collection = f"/api/v1/namespaces/{namespace}/configmaps"
        self._name = name
        self._lock = threading.Lock()
        self._wanted: dict[str, str] | None = None
        self.loop = Controller(loop, self._tick, watcher, chance)

    def publish(self, data: Mapping[str, str]) -> None:
        """Have these keys of the data say this, soon. Never blocks and never fails."""
        with self._lock:
            if data == self._wanted:
                return
            self._wanted = dict(data)
        self.loop.wake()

    def _tick(self) -> float:
        with self._lock:
            wanted = self._wanted
        if wanted is not None:
            self._write(wanted)
        return _IDLE

    def _write(self, wanted: dict[str, str]) -> None:
        query = {"fieldManager": MANAGER}
        try:
            there: Mapping[str, Any] = self._connection.get(f"{self._collection}/{self._name}")
        except Missing:
            document = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": self._name}, "data": wanted}
            self._connection.create(self._collection, document, query)
            return
        stands = there.get("data") or {}
        if any(stands.get(key) != value for key, value in wanted.items()):
            self._connection.patch(f"{self._collection}/{self._name}", {"data": wanted}, Patch.MERGE, query)
