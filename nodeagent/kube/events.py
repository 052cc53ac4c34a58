"""Events (core/v1) on the Node, for those who watch or describe it.

Invariant: telling never blocks and never fails; what waits and what is remembered is bounded, and what had to be
dropped is counted. The same Event again is counted on the one that stands there, as client-go does it.
"""

from __future__ import annotations

import random
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from nodeagent.engine.controller import Controller, Watcher
from nodeagent.kube.conditions import timestamp
from nodeagent.kube.connection import Connection, Patch
from nodeagent.kube.errors import Invalid, Missing

_WAITING, _REMEMBERED = 64, 256  # different Events
_LONGEST: Final = 1000  # characters of a message; the server takes 1,024 bytes of a note
_BURST: Final = 10  # Events that may be written at once after a time of quiet
_IDLE: Final = 3600.0
COORDINATOR: Final = "nodeagent-coordinator"
_PATH: Final = "/api/v1/namespaces/default/events"  # where Events of what has no namespace live

Key = tuple[str, str, str]  # type (Normal or Warning), reason, message


@dataclass(frozen=True)
class _Series:
    """How often an Event was told, since when, until when; `name` of its object, "" before it is written."""

    count: int
    first: str
    last: str
    name: str = ""


class Budget:
    """A token bucket: `hourly` tokens an hour, at most `burst` at a time. Times are monotonic seconds."""

    def __init__(self, hourly: int, now: float) -> None:
        self._burst = min(hourly, _BURST)
        self._rate = hourly / 3600
        self._tokens = float(self._burst)
        self._at = now

    def take(self, now: float) -> float:
        """0 if a token was taken, else the seconds until there is one."""
        self._tokens = min(float(self._burst), self._tokens + (now - self._at) * self._rate)
        self._at = now
        if self._tokens < 1:
            return (1 - self._tokens) / self._rate
        self._tokens -= 1
        return 0.0


class EventRecorder:
    """Writes Events on the Node `node` from a loop of its own. `now` is the wall clock, which Events show."""

    def __init__(
        self,
        connection: Connection,
        node: str,
        hourly: int,
        now: Callable[[], datetime],
        watcher: Watcher,
        chance: random.Random,
    ) -> None:
        self._connection = connection
        self._node = node
        self._now = now
        self._chance = chance
        self._budget = Budget(hourly, time.monotonic())
        self._lock = threading.Lock()
        self._waiting: OrderedDict[Key, _Series] = OrderedDict()
        self._written: OrderedDict[Key, _Series] = OrderedDict()
        self._dropped = 0
        self._paid = False  # a token was taken for a request that failed
        self._controller = Controller("events", self._tick, watcher, chance)
        self.start = self._controller.start
        self.stop = self._controller.stop

    @property
    def dropped(self) -> int:
        """Events that were not written because too many were waiting, or that the server refused for good."""
        return self._dropped

    def record(self, type_: str, reason: str, message: str) -> None:
        """Tell that something happened: `type_` is Normal or Warning, `reason` one CamelCase word."""
        key, now = (type_, reason, message[:_LONGEST]), timestamp(self._now())
        with self._lock:
            if key not in self._waiting and len(self._waiting) >= _WAITING:
                self._dropped += 1
                return
            self._waiting[key] = _counted(self._waiting.get(key), _Series(1, now, now))
        self._controller.wake()

    def _tick(self) -> float:
        while (key := self._next()) is not None:
            if not self._paid and (delay := self._budget.take(time.monotonic())):
                return delay
            self._paid = True
            self._write(key)
            self._paid = False
        return _IDLE

    def _next(self) -> Key | None:
        with self._lock:
            return next(iter(self._waiting), None)

    def _write(self, key: Key) -> None:
        with self._lock:
            news = self._waiting[key]
        try:
            told = self._tell(key, _counted(self._written.get(key), news))
        except Invalid:
            told = None
        with self._lock:
            self._settle(key, news)
            self._dropped += told is None
        if told is not None:
            self._written[key] = told
            self._written.move_to_end(key)
            if len(self._written) > _REMEMBERED:
                self._written.popitem(last=False)

    def _settle(self, key: Key, told: _Series) -> None:
        """Forget what was told of a waiting Event, but not what came meanwhile."""
        rest = self._waiting[key].count - told.count
        if rest:
            self._waiting[key] = replace(self._waiting[key], count=rest)
        else:
            del self._waiting[key]

    def _tell(self, key: Key, series: _Series) -> _Series:
        """Count on the Event that stands there; make one where there is none, or where it has expired."""
        if series.name:
            patch = {"count": series.count, "lastTimestamp": series.last}
            try:
                self._connection.patch(f"{_PATH}/{series.name}", patch, Patch.MERGE)
            except Missing:
                return self._tell(key, replace(series, name=""))
            return series
        named = replace(series, name=f"{self._node}.{self._chance.getrandbits(64):016x}")
        self._connection.create(_PATH, _event(self._node, key, named))
        return named


def _counted(before: _Series | None, news: _Series) -> _Series:
    return replace(before, count=before.count + news.count, last=news.last) if before else news


def announcement(
    connection: Connection, subject: str, name: str, told: Key, now: datetime, uid: str = "", namespace: str = ""
) -> None:
    """Write one Event on the `subject` (a kind) called `name`, from a coordinator.

    Without its `uid` it is told as of a Node, which tools look for by name. `namespace` is the object's.
    """
    when = timestamp(now)
    event = _event(name, told, _Series(1, when, when, f"{name}.{time.time_ns():x}"))
    event["source"] = {"component": COORDINATOR}
    event |= {"reportingComponent": COORDINATOR, "reportingInstance": COORDINATOR}
    event["involvedObject"] |= {"kind": subject, "uid": uid or name}
    event["message"] = told[2][:_LONGEST]
    if namespace:
        event["metadata"]["namespace"] = event["involvedObject"]["namespace"] = namespace
    connection.create(f"/api/v1/namespaces/{event['metadata']['namespace']}/events", event)


def _event(node: str, key: Key, series: _Series) -> dict[str, Any]:
    """The Event as `kubectl describe node` looks for it: like the kubelet's, its object's uid is the Node's name."""
    kind, reason, message = key
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": series.name, "namespace": "default"},
        "involvedObject": {"kind": "Node", "name": node, "uid": node},
        "type": kind,
        "reason": reason,
        "message": message,
        "count": series.count,
        "firstTimestamp": series.first,
        "lastTimestamp": series.last,
        "source": {"component": "nodeagent", "host": node},
        "reportingComponent": "nodeagent",
        "reportingInstance": node,
    }
