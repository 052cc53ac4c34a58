"""Renews what is due by itself, when it may: the daemon's side of a rotation.

Invariant: after a renewal that was taken back nothing is tried again by itself until the certificates are others, or
somebody renews by hand: a loop of restarts is worse than a certificate that ends soon, which alerts tell of.
"""

from __future__ import annotations

import datetime
import json
import logging
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from nodeagent.agent.certificates import Inspector
from nodeagent.agent.jobs import Context
from nodeagent.agent.rotation import Rotation
from nodeagent.agent.turn import Turn
from nodeagent.agent.workplace import Workplace
from nodeagent.certs.catalog import Manager
from nodeagent.certs.due import ClockReading, Rule, clock_doubts
from nodeagent.certs.facts import Certificate
from nodeagent.certs.findings import Code, Finding, Severity
from nodeagent.certs.monitor import Look
from nodeagent.certs.renewal import Wanted, is_reissued, is_requested
from nodeagent.certs.repair import Repair, Restart, called_for
from nodeagent.certs.served import ending
from nodeagent.certs.turn import etcd_members, etcd_peers, out_of_turn, postponed, too_few
from nodeagent.engine.executor import Progress, Result
from nodeagent.engine.formats import refuse_later
from nodeagent.errors import NodeAgentError
from nodeagent.observed.certificates import Endpoint

_log = logging.getLogger("nodeagent")

LEASE: Final = "nodeagent-certs"
STATE: Final = "certs.json"
RESULTS: Final = ("renewed", "undone", "failed")
_FORMAT: Final = 1  # of the state
_STEADY: Final = 6 * 3600.0  # seconds that a clock has to go right after it moved, until it is believed again
_TURN: Final = 20.0  # seconds to wait for our turn


class Rotator:
    """Tends to what is due, on the thread of the certificates' loop."""

    def __init__(self, context: Context, inspector: Inspector, turn: Turn) -> None:
        self._place = context.place
        self._rotation = Rotation(context.place, inspector, context.handover)
        self._inspector = inspector
        self._turn = turn
        self._events = context.events
        self._renewals = context.registry.counters(
            "nodeagent_cert_renewals", "Renewals by the daemon, by how they ended", "result", RESULTS
        )
        self._memory = _Memory(context.place)
        self._free_at = 0.0  # monotonic time at which our turn ends

    def tend(self, look: Look) -> tuple[Finding, ...]:
        """Renew what is due if it may be renewed now; what is to be said about it if not."""
        if self._turn.held and time.monotonic() >= self._free_at:
            self._turn.give_back()
        doubts = self._memory.doubts(look)
        due = self._due(look)
        if not due:
            return ()
        if stopped := self._memory.stopped(due.serials):
            advice = "`nodeagent certs renew` tries again"
            return (_finding(due, Severity.HIGH, f"was not renewed: {stopped}", advice),)
        try:
            if reason := self._obstacle(look, due, doubts):
                return (_finding(due, Severity.INFO, f"is due, and not renewed yet: {reason}", ""),)
            self._renew(look, due)
        except NodeAgentError as error:
            self._renewals["failed"].inc()
            return (_finding(due, Severity.HIGH, f"cannot be renewed: {error}", "`nodeagent certs plan` says more"),)
        return ()

    def _due(self, look: Look) -> _Due:
        """What is due. Before anything starts anew it is asked again, since the look may remember older answers."""
        rule = self._inspector.policy.rule
        due = _due(look, rule)
        if due.remembered:
            due = _due(replace(look, answers=self._inspector.answers(self._inspector.survey(), look.now)), rule)
        if not called_for(look.inventory):
            return due
        survey = self._inspector.survey()
        reissued = tuple(
            (entry.name, entry.path, entry.certificate)
            for entry in look.inventory.entries
            if entry.certificate is not None and is_reissued(entry, survey, look.now)
        )
        found = self._rotation.repairs(survey, look.inventory, Wanted(), look.now, self._memory.tried)
        return replace(due, certificates=(*due.certificates, *reissued), repairs=found)

    def _obstacle(self, look: Look, due: _Due, doubts: Sequence[str]) -> str:
        settings = self._place.settings.certs
        left = due.ends - look.now
        if reason := postponed(look.now, left, settings.windows, doubts):
            return reason
        if due.disturbs_nobody:
            return ""
        unsaid = self._turn.take(_TURN)
        if not unsaid:
            self._free_at = time.monotonic() + settings.spacing
            return ""
        flags = self._inspector.survey().pods.flags("etcd") or {}
        cluster = flags.get("initial-cluster", "")
        spacing = datetime.timedelta(seconds=settings.spacing)
        name = look.inventory.node.name
        return out_of_turn(look.now, left, name, etcd_members(cluster), spacing) or self._too_few(cluster, name)

    def _too_few(self, cluster: str, node: str) -> str:
        """Why etcd could not do without this node; each other member is asked for no more than its certificate."""
        from nodeagent.host.probe import TlsProbe  # noqa: PLC0415 - ssl, by need

        probe = TlsProbe(self._place.settings.certs.probe_timeout)
        others = [Endpoint(address, port) for name, address, port in etcd_peers(cluster) if name != node]
        answering = 1 + sum(bool(probe.served(each).der) for each in others)
        return too_few(len(etcd_members(cluster)), answering)

    def _renew(self, look: Look, due: _Due) -> None:
        settings = self._place.settings
        seconds = settings.certs.lifetime
        wanted = Wanted(lifetime=datetime.timedelta(seconds=seconds) if seconds else None)
        with self._place.store.locked(settings.apply.lock_timeout):
            self._place.job.recover()
            proposal = self._rotation.propose(wanted, look.now, self._memory.tried)
            outcome = self._rotation.renew(proposal, _silent)
        names = ", ".join(due.names)
        if outcome.result is Result.APPLIED:
            self._memory.try_once(each.serial for each in proposal.repairs if isinstance(each, Restart))
            self._tell(due)
            return
        self._renewals["undone"].inc()
        self._memory.stop(due.serials, outcome.why)
        self._events.record("Warning", "CertificateRenewalUndone", f"{outcome.why}; everything is as it was before")
        _log.error("a renewal was taken back", extra={"certificates": names, "reason": outcome.why})

    def _tell(self, due: _Due) -> None:
        if due.certificates:
            names = ", ".join(sorted({name for name, _, _ in due.certificates}))
            self._renewals["renewed"].inc()
            self._events.record("Normal", "CertificatesRenewed", f"renewed: {names}")
            _log.info("certificates renewed", extra={"certificates": names})
        for each in due.repairs:
            self._events.record("Normal", "KubeletCertificateRepaired", each.describe())
            _log.info("repaired", extra={"repair": each.describe()})


@dataclass(frozen=True)
class _Due:
    """What is due, by name and path; with `remembered` what components served when they were last asked."""

    certificates: tuple[tuple[str, str, Certificate], ...]
    remembered: bool = False
    repairs: tuple[Repair, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.certificates or self.repairs)

    @property
    def disturbs_nobody(self) -> bool:
        """Whether nothing starts anew."""
        return not self.certificates and not any(isinstance(each, Restart) for each in self.repairs)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(sorted({name for name, _, _ in self.certificates} | {each.name for each in self.repairs}))

    @property
    def serials(self) -> list[str]:
        """What tells this attempt from another: what it would renew, and what it would repair."""
        return sorted([str(found.serial) for _, _, found in self.certificates] + [each.path for each in self.repairs])

    @property
    def ends(self) -> datetime.datetime:
        """When the first of it ends; a repair of what does not work is as urgent as can be."""
        ended = [datetime.datetime.min.replace(tzinfo=datetime.UTC)] if self.repairs else []
        return min([*(found.not_after for _, _, found in self.certificates), *ended])

    @property
    def path(self) -> str:
        return min([*(path for _, path, _ in self.certificates), *(each.path for each in self.repairs)])


def _due(look: Look, rule: Rule) -> _Due:
    files = tuple(
        (entry.name, entry.path, entry.certificate)
        for entry in look.inventory.entries
        if entry.due and entry.manager is Manager.AGENT and entry.certificate is not None and not is_requested(entry)
    )
    loopbacks = tuple(
        (f"loopback certificate of {answer.target.component}", answer.target.label, answer.certificate)
        for answer in ending(look.answers, rule, look.now)
        if answer.certificate is not None
    )
    return _Due((*files, *loopbacks), bool(loopbacks))


def _silent(_: Progress) -> None:
    """The log tells the outcome."""


def _finding(due: _Due, severity: Severity, message: str, advice: str) -> Finding:
    return Finding(due.path, Code.RENEWAL_FAILED if severity.rank else Code.RENEWAL_DUE, severity, message, advice)


class _Memory:
    """What outlives the process: the last reading of the clocks, and what was given up."""

    def __init__(self, place: Workplace) -> None:
        self._place = place
        self._known: dict[str, Any] = _decoded(place.store.read(STATE))
        self._suspect: ClockReading | None = None  # the first reading after the clock moved

    def doubts(self, look: Look) -> tuple[str, ...]:
        """Why the clock is not to be believed now; a clock that is believed is what the next look compares with."""
        now = ClockReading(look.now, time.clock_gettime(time.CLOCK_BOOTTIME), self._place.node.boot)
        certificates = [entry.certificate for entry in look.inventory.entries if entry.certificate is not None]
        doubts = clock_doubts(now, _reading(self._known.get("clock")), certificates)
        if doubts and not self._steady(now, certificates):
            return doubts
        self._suspect = None
        self._known["clock"] = {"wall": now.wall.timestamp(), "boot": now.boot, "boot_id": now.boot_id}
        return ()

    def _steady(self, now: ClockReading, certificates: Sequence[Certificate]) -> bool:
        """Whether a clock that moved has gone right for long enough since: somebody has set it."""
        if self._suspect is None or clock_doubts(now, self._suspect, certificates):
            self._suspect = now
        return now.boot - self._suspect.boot >= _STEADY

    @property
    def tried(self) -> frozenset[str]:
        """Serials for which the kubelet was restarted once, and is not again."""
        return frozenset(self._known.get("restarted", ()))

    def try_once(self, serials: Iterable[str]) -> None:
        """Remember that the kubelet was restarted for these; what was there before is gone by now."""
        if tried := sorted(set(serials)):
            self._known["restarted"] = tried
            self._keep()

    def stopped(self, serials: Sequence[str]) -> str:
        """Why nothing is tried with just these certificates; "" if something may be."""
        given_up = self._known.get("stopped", {})
        return str(given_up.get("why", "")) if given_up.get("serials") == list(serials) else ""

    def stop(self, serials: Sequence[str], why: str) -> None:
        self._known["stopped"] = {"serials": list(serials), "why": why}
        self._keep()

    def _keep(self) -> None:
        self._place.store.write(STATE, json.dumps(self._known | {"format": _FORMAT}).encode())


def _decoded(data: bytes | None) -> dict[str, Any]:
    """What was kept; a file that is damaged costs what it held, and nothing else."""
    try:
        found = json.loads(data or b"{}")
    except ValueError:
        return {}
    if not isinstance(found, dict):
        return {}
    refuse_later(STATE, found.get("format"), _FORMAT)
    return found


def _reading(kept: dict[str, Any] | None) -> ClockReading | None:
    if not kept:
        return None
    return ClockReading(datetime.datetime.fromtimestamp(kept["wall"], datetime.UTC), kept["boot"], kept["boot_id"])
