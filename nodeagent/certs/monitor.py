"""Follows the node's certificates: looks, says how they are, and tells each thing that is wrong once.

Invariant: nothing is changed here. What is told follows from the look alone, so a restart tells the same again, and
never more than a bounded part of it.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol

from nodeagent.certs.facts import rfc3339
from nodeagent.certs.findings import Finding, Severity, ordered
from nodeagent.certs.inventory import Inventory
from nodeagent.certs.served import Answer
from nodeagent.certs.survey import Survey
from nodeagent.engine.report import Report, Reporter, State

NAME: Final = "certs"
_DEGRADING: Final = (Severity.CRITICAL, Severity.HIGH)
_NAMED: Final = 3  # findings in the reason
_KEPT: Final = 200  # findings in the status file
_TOLD: Final = 10  # Events of one look


@dataclass(frozen=True)
class Look:
    """What was found at `now`: the files judged, what the components served when they were last asked.

    `tended` is what there is to say of renewals that are due.
    """

    now: datetime.datetime
    inventory: Inventory
    answers: tuple[Answer, ...]
    tended: tuple[Finding, ...] = ()

    @property
    def findings(self) -> tuple[Finding, ...]:
        """All of them, most urgent first."""
        served = (each for answer in self.answers for each in answer.findings)
        return ordered([*self.inventory.findings, *served, *self.tended])


class Inspector(Protocol):
    """Looks at the certificates of one node."""

    def survey(self) -> Survey: ...

    def inventory(self, found: Survey, now: datetime.datetime) -> Inventory: ...

    def answers(self, found: Survey, now: datetime.datetime) -> tuple[Answer, ...]: ...


class Events(Protocol):
    """Writes Events on the Node; `kind` is Normal or Warning."""

    def record(self, kind: str, reason: str, message: str, /) -> None: ...


@dataclass(frozen=True)
class Pace:
    """Seconds between two looks at the files, and between two at what is served."""

    files: float
    probes: float


@dataclass(frozen=True)
class Audience:
    """Who is told: `looked` gets every look, for metrics and whoever else reads the inventory.

    `tend` comes before all: it may renew what is due, and tells why it did not.
    """

    reporter: Reporter
    events: Events
    looked: Callable[[Look], None]
    tend: Callable[[Look], tuple[Finding, ...]] = lambda _look: ()


class CertificateMonitor:
    """The loop's body. `clock` is the wall clock, `ticks` monotonic seconds; it probes only while it `may_probe`."""

    def __init__(
        self,
        inspector: Inspector,
        audience: Audience,
        pace: Pace,
        clock: Callable[[], datetime.datetime],
        ticks: Callable[[], float],
        may_probe: Callable[[], bool],
    ) -> None:
        self._inspector = inspector
        self._audience = audience
        self._pace = pace
        self._clock = clock
        self._ticks = ticks
        self._may_probe = may_probe
        self._answers: tuple[Answer, ...] = ()
        self._probed: float | None = None
        self._open: frozenset[Finding] = frozenset()

    def tick(self) -> float:
        """Look once; returns the seconds until the next look."""
        now, found = self._clock(), self._inspector.survey()
        if self._is_time_to_probe():
            self._answers = self._inspector.answers(found, now)
            self._probed = self._ticks()
        look = Look(now, self._inspector.inventory(found, now), self._answers)
        look = replace(look, tended=self._audience.tend(look))
        self._audience.looked(look)
        self._audience.reporter.publish(report(look))
        self._tell(look.findings)
        return self._pace.files

    def _is_time_to_probe(self) -> bool:
        if not self._may_probe():
            self._answers, self._probed = (), None
            return False
        return self._probed is None or self._ticks() - self._probed >= self._pace.probes

    def _tell(self, findings: Collection[Finding]) -> None:
        """An Event for each finding that is new, most urgent first, and for each that is gone."""
        alarming = [each for each in findings if each.severity is not Severity.INFO]
        new = [each for each in alarming if each not in self._open]
        gone = sorted(self._open.difference(alarming), key=str)
        for each in new[:_TOLD]:
            self._audience.events.record("Warning", reason_of(each), sentence(each))
        for each in gone[:_TOLD]:
            self._audience.events.record("Normal", "CertificateFindingGone", f"{each.path}: no longer: {each.message}")
        self._open = frozenset(alarming)


def report(look: Look) -> Report:
    """What the look amounts to. Degraded is what needs a person soon: findings that are high or critical."""
    findings = look.findings
    bad = [each for each in findings if each.severity in _DEGRADING]
    certificates = [(entry, entry.certificate) for entry in look.inventory.entries if entry.certificate is not None]
    ends = min(((found.not_after, entry.path) for entry, found in certificates), default=None)
    summary: dict[str, Any] = {
        "certificates": len(certificates),
        "findings": {str(each): sum(one.severity is each for one in findings) for each in Severity},
        "first_end": {"path": ends[1], "notAfter": rfc3339(ends[0])} if ends else None,
    }
    detail = summary | {
        "found": [each.facts() for each in findings[:_KEPT]],
        "probes": [answer.facts() for answer in look.answers],
    }
    if bad:
        return Report(NAME, State.DEGRADED, _reason(bad), reason_of(bad[0]), detail, summary)
    rest = f"{len(certificates)} certificates are in order" if certificates else "there are no certificates here"
    return Report(NAME, State.DONE, "", "CertificatesInOrder", detail, summary, rest=rest)


def reason_of(finding: Finding) -> str:
    """The finding's code as one CamelCase word."""
    return "Certificate" + "".join(part.capitalize() for part in finding.code.split("-"))


def sentence(finding: Finding) -> str:
    """The finding for people, without its severity."""
    text = f"{finding.path}: {finding.message}"
    return f"{text}; {finding.advice}" if finding.advice else text


def _reason(bad: Collection[Finding]) -> str:
    named = [f"{each.path}: {each.message}" for each in list(bad)[:_NAMED]]
    more = len(bad) - len(named)
    return "; ".join([*named, f"and {more} more"] if more else named)


def inventory_document(look: Look, node: str, limit: int) -> dict[str, Any]:
    """The inventory for others to read, as JSON: schema 1, at most `limit` certificates, no findings' advice.

    It holds nothing that changes as long as the certificates do not, so that it is written only then.
    """
    entries = [entry for entry in look.inventory.entries if entry.certificate is not None]
    kept = ("path", "kind", "subject", "issuer", "serial", "notBefore", "notAfter", "managed_by", "next_renewal")
    return {
        "schema": 1,
        "node": node,
        "certificates": [
            {"name": entry.name} | {key: value for key, value in entry.facts().items() if key in kept}
            for entry in entries[:limit]
        ],
        "left_out": max(0, len(entries) - limit),
    }
