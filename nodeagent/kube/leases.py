"""Which of several coordinators acts, by a Lease (coordination.k8s.io/v1), as client-go elects leaders.

Invariant: who leads has renewed the Lease less than `renew_deadline` seconds ago, counted from before the request was
sent; another takes it only after having seen it unchanged for `lease_seconds`. Both count on their own monotonic
clocks, so clocks that differ do no harm: what the record says about time is for people. As `renew_deadline` is the
shorter, a leader stops before it can be replaced, even if its loop hangs or its server is away.
"""

from __future__ import annotations

import math
import random
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from nodeagent.engine.controller import jittered
from nodeagent.errors import NodeAgentError
from nodeagent.kube.connection import Connection
from nodeagent.kube.errors import Missing

_LEAST: Final = 0.1  # seconds that a request gets at least


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True)
class Seat:
    """The Lease that is run for, and who runs: `identity` differs for each process."""

    namespace: str
    name: str
    identity: str

    @property
    def collection(self) -> str:
        return f"/apis/coordination.k8s.io/v1/namespaces/{self.namespace}/leases"

    @property
    def path(self) -> str:
        return f"{self.collection}/{self.name}"


@dataclass(frozen=True)
class Sighting:
    """What a Lease said when it was last seen, and since when it has said so, by our own monotonic clock."""

    spec: dict[str, Any] = field(default_factory=dict)
    since: float = 0.0


@dataclass(frozen=True)
class Terms:
    """Seconds: how long the Lease protects its holder, when a holder gives up, how often each tries. client-go's."""

    lease: float = 15.0
    renew: float = 10.0
    retry: float = 2.0

    def __post_init__(self) -> None:
        if not self.retry < self.renew < self.lease:
            raise ValueError("a leader must retry before it gives up, and give up before its Lease can be taken")


TERMS: Final = Terms()


class Election:
    """Takes part in the election for `seat` on a thread of its own.

    `started` and `stopped` are called on that thread and must only wake somebody; who acts asks `leading`, or
    `remaining` for a deadline, before each step. `now` is the wall clock, which the record shows. `sighting` may be
    set, before the start, to that of an election before, whose time counts then.
    """

    def __init__(
        self,
        connection: Connection,
        seat: Seat,
        started: Callable[[], None],
        stopped: Callable[[], None],
        chance: random.Random,
        terms: Terms = TERMS,
        now: Callable[[], datetime] = _now,
    ) -> None:
        self._connection = connection
        self._seat, self._terms = seat, terms
        self._started, self._stopped = started, stopped
        self._chance = chance
        self._now = now
        self._until = 0.0  # monotonic time at which leading ends unless renewed
        self._announced = False
        self.sighting = Sighting()
        self._last_error = ""
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"lease {seat.name}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self, deadline: float = 5.0) -> bool:
        """Stop leading, and give the Lease back so that another need not wait; False if that takes longer.

        Another may lead at once: what was done under the Lease must have ended before.
        """
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join(deadline)
        return not self._thread.is_alive()

    @property
    def leading(self) -> bool:
        return self.remaining > 0

    @property
    def remaining(self) -> float:
        """Seconds for which this one surely leads; 0 if it does not."""
        return 0.0 if self._stopping.is_set() else max(0.0, self._until - time.monotonic())

    @property
    def holder(self) -> str:
        """Who held the Lease when it was last seen; "" for nobody."""
        return _holder(self.sighting.spec)

    def problems(self) -> tuple[str, ...]:
        """What keeps us from taking part; () if all is well."""
        return (self._last_error,) if self._last_error else ()

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._step()
            self._stopping.wait(self._pause())
        self._announce(leads=False)
        if self._until > time.monotonic():
            self._release()
        self._until = 0.0

    def _pause(self) -> float:
        """Until the next try; a leader that cannot renew wakes at the end of its time, to say so."""
        pause, left = jittered(self._terms.retry, self._chance), self._until - time.monotonic()
        return min(pause, left) if left > 0 else pause

    def _step(self) -> None:
        try:
            self._try()
        except (NodeAgentError, OSError) as error:
            self._last_error = str(error)
        else:
            self._last_error = ""
        self._announce(leads=self._until > time.monotonic())

    def _announce(self, *, leads: bool) -> None:
        if leads != self._announced:
            self._announced = leads
            (self._started if leads else self._stopped)()

    def _try(self) -> None:
        """Acquire or renew; raises Conflict where another was faster."""
        try:
            lease = self._connection.get(self._seat.path, deadline=self._patience())
        except Missing:
            self._hold(self._connection.create, self._seat.collection, self._lease({}))
            return
        self._observe(lease)
        if self._may_take(time.monotonic()):
            self._hold(self._connection.replace, self._seat.path, lease | {"spec": self._lease(lease["spec"])["spec"]})
        else:
            self._until = 0.0

    def _observe(self, lease: dict[str, Any]) -> None:
        """Remember since when the record has been as it is, by our own clock."""
        spec = lease.setdefault("spec", {})
        if spec != self.sighting.spec:
            self.sighting = Sighting(dict(spec), time.monotonic())

    def _may_take(self, now: float) -> bool:
        if self.holder in ("", self._seat.identity):
            return True
        granted = float(self.sighting.spec.get("leaseDurationSeconds") or self._terms.lease)
        return now > self.sighting.since + max(granted, self._terms.lease)

    def _hold(self, write: Callable[..., Any], path: str, lease: dict[str, Any]) -> None:
        """Write the Lease in our name; from before the request on, our time runs."""
        asked = time.monotonic()
        self.sighting = Sighting(write(path, lease, deadline=self._patience())["spec"], asked)
        self._until = asked + self._terms.renew

    def _release(self) -> None:
        try:
            release(self._connection, self._seat, self._patience(), self._now)
        except (NodeAgentError, OSError) as error:
            self._last_error = str(error)  # it runs out by itself

    def _patience(self) -> float:
        """How long a request may take: a leader is not kept waiting beyond the end of its time."""
        left = self._until - time.monotonic()
        return max(_LEAST, left) if left > 0 else self._terms.renew / 2

    def _lease(self, before: dict[str, Any]) -> dict[str, Any]:
        """The Lease in our name; keeps since when it is ours, counts the change of hands else."""
        ours = before.get("holderIdentity") == self._seat.identity
        changes = int(before.get("leaseTransitions") or 0)
        spec = {
            "holderIdentity": self._seat.identity,
            "leaseDurationSeconds": max(1, round(self._terms.lease)),
            "acquireTime": before.get("acquireTime") if ours else _stamp(self._now),
            "renewTime": _stamp(self._now),
            "leaseTransitions": changes if ours or not before else changes + 1,
        }
        metadata = {"name": self._seat.name, "namespace": self._seat.namespace}
        return {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec}


def holder(connection: Connection, seat: Seat, deadline: float) -> str:
    """Who holds the Lease by what it says now; "" for nobody."""
    try:
        return _holder(connection.get(seat.path, deadline=deadline).get("spec") or {})
    except Missing:
        return ""


def renewed(connection: Connection, seat: Seat, now: datetime, deadline: float) -> float:
    """Seconds since somebody has renewed the Lease, by its own word; infinite if nobody holds it."""
    try:
        spec = connection.get(seat.path, deadline=deadline).get("spec") or {}
    except Missing:
        spec = {}
    said = str(spec.get("renewTime") or "")
    return (now - datetime.fromisoformat(said)).total_seconds() if _holder(spec) and said else math.inf


def release(connection: Connection, seat: Seat, deadline: float, now: Callable[[], datetime] = _now) -> None:
    """Give the Lease back, if it is ours: another need not wait. Each of two requests takes `deadline` at most."""
    lease = connection.get(seat.path, deadline=deadline)
    if _holder(lease["spec"]) == seat.identity:
        lease["spec"] |= {"holderIdentity": "", "leaseDurationSeconds": 1, "renewTime": _stamp(now)}
        connection.replace(seat.path, lease, deadline=deadline)


def _holder(spec: Mapping[str, Any]) -> str:
    return str(spec.get("holderIdentity") or "")


def _stamp(now: Callable[[], datetime]) -> str:
    return now().strftime("%Y-%m-%dT%H:%M:%S.%fZ")  # meta/v1 MicroTime
