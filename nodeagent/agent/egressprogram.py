"""Writes what gateways ask for that we program: rows, addresses, finalizers, status.

Invariant: no row is written for an object that could go without our noticing, which a finalizer prevents; what is said
to be withdrawn, is: the status is written after the rows. What fails for one gateway costs no other anything.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Protocol

from nodeagent.changes.ovn import Transaction
from nodeagent.egress import bfdport
from nodeagent.egress.allocation import waiting
from nodeagent.egress.gateway import OURS
from nodeagent.egress.inventory import Inventory
from nodeagent.egress.programming import addresses, departures, ip_object, relabelled
from nodeagent.egress.sight import Sight, planned, standing
from nodeagent.egress.status import Outcome, Status, refused, status
from nodeagent.egress.withdrawal import Record, Withdrawal, heard, remembered, withdrawal
from nodeagent.errors import NodeAgentError
from nodeagent.kube.conditions import timestamp
from nodeagent.kube.gateways import GatewayApi
from nodeagent.observed.northbound import Northbound

_log = logging.getLogger(__name__)

TOGETHER: Final = 64  # gateways in one transaction at most: each costs the server a look at the router's policies
_WATCHFUL, _BUSY, _IDLE = 0.5, 2.0, 60.0  # seconds to the next round


class Database(Protocol):
    """The northbound database."""

    def view(self) -> AbstractContextManager[Northbound]: ...

    def commit(self, *transactions: Transaction) -> None: ...


@dataclass
class Programmer:
    """Works the gateways of an inventory; what it remembers between rounds is how steady their sessions were.

    `clock` has monotonic seconds, `now` the time of day.
    """

    api: GatewayApi
    database: Database
    clock: Callable[[], float]
    now: Callable[[], datetime]
    _records: dict[str, dict[str, Record]] = field(default_factory=dict)

    def work(self, found: Inventory, told: Sequence[Sight]) -> float:
        """One round over all objects; the seconds to the next."""
        ours = [each for each in told if each.read.kind in found.programmed]
        failed = [*self._allocate(found), *self._depart(found), *self._watch(found)]
        ready = [each for each in ours if not (each.problems or each.read.deleting) and self._held(each, failed)]
        decisions = {each.key: self._decide(each, found) for each in ready}
        failures = self._write(ready, decisions)
        for each in ours:
            if not each.read.deleting:
                failed += self._tell(each, self._status(each, found, decisions.get(each.key), failures))
        self._records = {key: each for key, each in self._records.items() if key in decisions}
        return self._pause(failed or failures, decisions.values())

    # -- rows ---------------------------------------------------------------------------------------------------------

    def _decide(self, sight: Sight, found: Inventory) -> Withdrawal:
        """What of it is withdrawn now."""
        assert sight.asked is not None  # noqa: S101 - it has no problems
        nodes, stands = found.site.nodes, standing(sight.read)
        said = heard(sight.asked, sight.sessions, nodes, stands)
        records = remembered(sight.asked, said, self._records.get(sight.key, {}), self.clock())
        self._records[sight.key] = records
        return withdrawal(sight.asked, nodes, records, stands)

    def _write(self, ready: Iterable[Sight], decisions: Mapping[str, Withdrawal]) -> dict[str, str]:
        """Bring all rows to what they should be; why not, by gateway."""
        with self.database.view() as seen:
            plans = [
                planned(each.asked, seen, frozenset(decisions[each.key].taken))
                for each in ready
                if each.asked is not None
            ]
        return self._commit([each for each in plans if each])

    def _commit(self, plans: Sequence[Transaction]) -> dict[str, str]:
        failures: dict[str, str] = {}
        for start in range(0, len(plans), TOGETHER):
            chunk = plans[start : start + TOGETHER]
            try:
                self.database.commit(*chunk)
            except NodeAgentError:
                failures |= self._commit_each(chunk)
        return failures

    def _commit_each(self, plans: Iterable[Transaction]) -> dict[str, str]:
        """One by one: what keeps one from being carried out is no matter of the others."""
        failures = {}
        for each in plans:
            try:
                self.database.commit(each)
            except NodeAgentError as error:
                failures[each.owner] = str(error)
                _log.warning("rows not written", extra={"gateway": each.owner, "reason": str(error)})
        return failures

    def _depart(self, found: Inventory) -> Iterator[str]:
        """Delete the rows of gateways that go, then let their objects go; what failed."""
        with self.database.view() as seen:
            plans = departures(found, seen)
        failures = self._commit_each(each for each in plans if each)
        yield from failures.values()
        for each in (*found.objects.values(), *found.clashing):
            if each.deleting and each.held and each.key not in failures:
                yield from _failure(self.api.release, each.kind, each.key)

    def _watch(self, found: Inventory) -> Iterator[str]:
        """Make the BFD ports of Vpcs that nobody else makes; what failed."""
        with self.database.view() as seen:
            plans = tuple(each for each in bfdport.plans(found, seen) if each)
        yield from self._commit_each(plans).values()

    # -- objects ------------------------------------------------------------------------------------------------------

    def _allocate(self, found: Inventory) -> Iterator[str]:
        """Make and delete IP objects; what failed."""
        change = addresses(found)
        for claim, owner in change.wanted:
            yield from _failure(self.api.claim, ip_object(claim, owner))
        yield from _failure(self.api.give_back, change.unwanted)

    def _held(self, sight: Sight, failed: list[str]) -> bool:
        """Whether the object cannot go without us; why not is added to `failed`."""
        if not sight.read.held:
            reasons = list(_failure(self.api.hold, sight.read.kind, sight.key))
            failed += reasons
            return not reasons
        return True

    def _status(
        self, sight: Sight, found: Inventory, decision: Withdrawal | None, failures: Mapping[str, str]
    ) -> Status | None:
        """The status to write; None where nothing can be said."""
        now = timestamp(self.now())
        if sight.problems:
            return refused(sight, now)
        if decision is None or sight.read.gateway is None:
            return None
        if failure := failures.get(sight.key, ""):
            decision = Withdrawal(standing(sight.read))  # nothing has changed there
        return status(sight, found.site, Outcome(failure, waiting(sight.read.gateway, found.site), decision), now)

    def _tell(self, sight: Sight, wanted: Status | None) -> Iterator[str]:
        """Write labels and status where they differ; what failed."""
        read = sight.read
        if wanted is None:
            return
        if not sight.problems and (labels := relabelled(sight)):
            yield from _failure(self.api.label, read.kind, read.key, labels)
        if any(read.status.get(name) != value for name, value in wanted.items()):
            yield from _failure(self.api.tell, read.kind, read.key, wanted, whole=read.kind == OURS)

    def _pause(self, failed: object, decisions: Iterable[Withdrawal]) -> float:
        records = [record for each in self._records.values() for record in each.values()]
        if any(each.contradicted is not None for each in records):
            return _WATCHFUL
        moving = any(each.taken or each.refused for each in decisions) or any(each.suppressed for each in records)
        return _BUSY if failed or moving else _IDLE


def _failure(act: Callable[..., None], *words: object, **more: object) -> Iterator[str]:
    """Do it; why it failed, if it did."""
    try:
        act(*words, **more)
    except NodeAgentError as error:
        _log.warning("not written to the API server", extra={"reason": str(error)})
        yield str(error)
