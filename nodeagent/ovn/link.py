"""The northbound database: what it holds, in memory, and transactions into it.

Invariant: `view` is what the database held at one moment; rows change only while its lock is held. A transaction is
carried out whole, and only if what it was planned from still holds; nothing else ever writes.
"""

from __future__ import annotations

import logging
import random
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import ovs.poller
import ovs.stream
from ovs.db import idl

from nodeagent.changes.ovn import Delete, Edit, Insert, Transaction, Update, titled
from nodeagent.errors import Broken, Transient
from nodeagent.observed.northbound import HELD, Northbound, Row
from nodeagent.ovn import parser
from nodeagent.ovn.rows import datum, references, row, written
from nodeagent.ovn.schema import REFERENCES, helper

_log = logging.getLogger(__name__)

_PAUSE: Final = 0.5  # seconds between two attempts to get the schema, at first
_LONGEST_PAUSE: Final = 15.0
_PROBE: Final = 5000  # milliseconds between two questions whether the server is there
_GROUP: Final = "ha_chassis_group"
_TURN: Final = 1000  # milliseconds that a wait may take, so that `close` is heard


@dataclass(frozen=True)
class Credentials:
    """Files for TLS, in PEM."""

    key: str
    certificate: str
    authority: str


@dataclass(frozen=True)
class Follow:
    """How the database is followed: `priorities` are those of the policies that matter; others are left out.

    With `ports`, what ports of switches look like and which switch has them, which costs memory by the pod.
    """

    priorities: Sequence[int]
    ports: bool = False
    connect: float = 10.0  # seconds until the schema must be there
    commit: float = 10.0  # seconds that a transaction may take


class Link:
    """A connection that comes back by itself, to the leader of `remotes`, which have commas between them."""

    def __init__(
        self,
        remotes: str,
        follow: Follow,
        changed: Callable[[], None],
        chance: random.Random,
        credentials: Credentials | None = None,
    ) -> None:
        parser.install()
        if credentials:
            ovs.stream.Stream.ssl_set_private_key_file(credentials.key)
            ovs.stream.Stream.ssl_set_certificate_file(credentials.certificate)
            ovs.stream.Stream.ssl_set_ca_cert_file(credentials.authority)
        self.path = "northbound"  # among the watches of a process
        self._remotes = remotes
        self._follow, self._changed, self._chance = follow, changed, chance
        self._lock = threading.RLock()
        self._stop = threading.Event()
        self._view = Northbound()
        self._heard = float("-inf")
        self._seen = threading.Event()
        self._replica: _Replica | None = None
        self._failure: Broken | None = None
        self._thread = threading.Thread(target=self._run, name="northbound", daemon=True)

    def start(self) -> None:
        """Follow it, on a thread of its own."""
        self._thread.start()

    def close(self) -> None:
        self._stop.set()
        self._thread.join()

    @property
    def synced(self) -> bool:
        """Everything was seen once, or never will be: then `view` tells why."""
        return self._seen.is_set() or self._failure is not None

    def wait(self, seconds: float) -> None:
        """Until everything was seen. Transient if that takes longer; Broken if it cannot be."""
        until = time.monotonic() + seconds
        while not self._seen.wait(min(0.05, max(0.0, until - time.monotonic()))):
            if self._failure:
                raise self._failure
            if time.monotonic() >= until:
                raise Transient(f"{self._remotes}: no northbound database answers")

    def age(self) -> float:
        """Seconds since the server was last known to be there; infinite before the first time."""
        return time.monotonic() - self._heard

    @contextmanager
    def view(self) -> Iterator[Northbound]:
        """The rows, which stay as they are until the block ends. Broken if the database is of no use."""
        if self._failure:
            raise self._failure
        with self._lock:
            yield self._view

    def commit(self, *transactions: Transaction) -> None:
        """Carry out all of them, or none. Transient if that failed, or if the database is not any more what it was."""
        with self._lock:
            if self._replica is None or not self._replica.connected:
                raise Transient(f"{self._remotes}: not connected; {_owners(transactions)} is programmed later")
            try:
                _commit(self._replica, transactions, time.monotonic() + self._follow.commit)
            finally:
                happened = self._take(self._replica)
        if happened:  # others may have written meanwhile
            self._changed()

    # -- following ----------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            replica = self._connected()
        except Broken as error:
            self._failure = error
            self._changed()
            return
        if replica is None:
            return
        self._replica = replica
        while not self._stop.is_set():
            self._turn(replica)
        replica.close()

    def _connected(self) -> _Replica | None:
        """The copy, once a server has told its schema; None if `close` came first."""
        pause = _PAUSE
        while not self._stop.is_set():
            try:
                schema = helper(self._remotes, self._follow.connect, ports=self._follow.ports)
                return _Replica(self._remotes, schema, self._follow.priorities)
            except Transient as error:
                _log.warning("no northbound database", extra={"reason": str(error)})
            self._stop.wait(pause * self._chance.uniform(0.5, 1.0))
            pause = min(pause * 2, _LONGEST_PAUSE)
        return None

    def _turn(self, replica: _Replica) -> None:
        with self._lock:
            replica.run()
            happened = self._take(replica)
            poller = ovs.poller.Poller()
            replica.wait(poller)
        if happened:
            self._changed()
        poller.timer_wait(_TURN)
        poller.block()

    def _take(self, replica: _Replica) -> bool:
        """Bring the view up to date; whether anything has changed."""
        if not replica.connected:
            return False
        self._heard = time.monotonic()
        if replica.renewed:
            self._view = Northbound(replica.everything())
            self._seen.set()
            return True
        return replica.bring(self._view)


class _Replica(idl.Idl):  # type: ignore[misc] # the library has no types
    """The library's copy, which says what has changed in it."""

    def __init__(self, remotes: str, schema: idl.SchemaHelper, priorities: Sequence[int]) -> None:
        self._notices: list[tuple[str, idl.Row]] = []
        self.renewed = False
        super().__init__(remotes, schema, _PROBE)
        self.cond_change("Logical_Router_Policy", [["priority", "==", each] for each in priorities])

    @property
    def connected(self) -> bool:
        """The copy is one of the server's, and is kept up to date."""
        return self.state == self.IDL_S_MONITORING and bool(self._session.is_connected())

    def restart_fsm(self) -> None:
        """Connected anew: what was missed is not told row by row."""
        self.renewed = True
        super().restart_fsm()

    def notify(self, event: str, found: idl.Row, updates: Any = None) -> None:
        del updates
        self._notices.append((event, found))

    def everything(self) -> Iterator[Row]:
        self.renewed = False
        self._notices.clear()
        for table in self.tables.values():
            yield from (row(each) for each in table.rows.values())

    def bring(self, view: Northbound) -> bool:
        """Change `view` as the notices say; whether there were any."""
        notices, self._notices = self._notices, []
        for event, found in notices:
            if event == idl.ROW_DELETE:
                view.drop(found._table.name, str(found.uuid))  # noqa: SLF001 - the row has no public name for it
            else:
                view.put(row(found))
        return bool(notices)


# -- transactions -----------------------------------------------------------------------------------------------------


def _commit(replica: _Replica, transactions: Sequence[Transaction], until: float) -> None:
    change = idl.Transaction(replica)
    try:
        for transaction in transactions:
            made: dict[str, idl.Row] = {}  # labels are a transaction's own
            for edit in transaction.edits:
                _make(edit, change, replica, made)
        status = _completed(change, replica, until)
    finally:
        if replica.txn is change:
            change.abort()
    if status not in (idl.Transaction.SUCCESS, idl.Transaction.UNCHANGED):
        why = change.get_error() if status == idl.Transaction.ERROR else idl.Transaction.status_to_string(status)
        raise Transient(f"{_owners(transactions)}: the northbound database refuses the transaction: {why}")


def _owners(transactions: Sequence[Transaction]) -> str:
    return ", ".join(each.owner for each in transactions)


def _completed(change: idl.Transaction, replica: _Replica, until: float) -> str:
    """The transaction's end; it counts as refused where none comes in time."""
    while (status := change.commit()) == idl.Transaction.INCOMPLETE and time.monotonic() < until:
        replica.run()
        poller = ovs.poller.Poller()
        replica.wait(poller)
        change.wait(poller)
        poller.timer_wait(_TURN)
        poller.block()
    return str(status)


def _make(edit: Edit, change: idl.Transaction, replica: _Replica, made: dict[str, idl.Row]) -> None:
    match edit:
        case Insert():
            fresh = made[edit.label] = change.insert(replica.tables[edit.table])
            _set(change, fresh, edit.columns, made)
            if edit.holder:
                _there(replica, edit.holder).addvalue(HELD[edit.table][1], fresh.uuid)
        case Update():
            standing = _there(replica, edit.row, tuple(edit.columns))
            _set(change, standing, edit.columns, made)
        case Delete():
            standing = _there(replica, edit.row, ("external_ids",))
            if edit.holder:
                _there(replica, edit.holder).delvalue(HELD[edit.row.table][1], standing.uuid)
            if edit.row.columns.get(_GROUP):  # the server counts the references of what it is about to take away
                setattr(standing, _GROUP, [])
            else:
                standing.delete()


def _set(change: idl.Transaction, target: idl.Row, columns: Any, made: dict[str, idl.Row]) -> None:
    known = target._table.columns  # noqa: SLF001 - the row has no public name for it
    for name, value in columns.items():
        given = references(value, made) if name in REFERENCES else written(value, made)
        change._write(target, known[name], datum(known[name], given))  # noqa: SLF001 - else all is converted twice


def _there(replica: _Replica, seen: Row, columns: Sequence[str] = ()) -> idl.Row:
    """The row, if these columns still are what was seen of them; the server holds them to it until the commit."""
    found = replica.tables[seen.table].rows.get(uuid.UUID(seen.uuid))
    now = row(found).columns if found and columns else {}  # a router with many policies is costly to read
    if found is None or any(now[name] != seen.columns.get(name) for name in columns):
        raise Transient(f"{seen.table} {titled(seen)} has changed meanwhile")
    for name in columns:
        found.verify(name)
    return found
