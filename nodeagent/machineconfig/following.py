"""Follows drift while the daemon runs: looks, attributes, remembers, and says what has to be put right.

Looks come in three widths: single paths after an event, fingerprints of everything in a sweep, contents of everything
at start and now and then. Who caused a drift is asked when it is first seen; what nobody knows is said to be unknown.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from nodeagent.errors import Broken
from nodeagent.machineconfig import baseline, inspection
from nodeagent.machineconfig.applied import Applied
from nodeagent.machineconfig.baseline import Cache
from nodeagent.machineconfig.drift import UNIT_PREFIX, Drift, Finding, Ledger, Response, Rule, compare, response
from nodeagent.machineconfig.node import Node
from nodeagent.observed.writers import Writer

LEDGER = "drift.json"

_REMEDIED = 5  # so often within the window, and somebody keeps changing the path back: a person has to look
_WINDOW = 300.0  # seconds
_NAMED = 3  # writers that are named at most, the last ones


class Attribution(Protocol):
    """Names who changed a path since a time (seconds since the epoch), or explains why it cannot."""

    def writers(self, path: str, since: float, /) -> tuple[Writer, ...]: ...

    def explain(self, path: str, since: float, /) -> str: ...


@dataclass(frozen=True)
class Change:
    """What a look changed in the ledger: drifts that are new or have changed, and drifts that are gone."""

    opened: tuple[Drift, ...] = ()
    closed: tuple[Drift, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.opened or self.closed)

    def __add__(self, other: Change) -> Change:
        return Change(self.opened + other.opened, self.closed + other.closed)


class Follower:
    """The open drifts of one node. `outside` gives a path as processes outside the root see it."""

    def __init__(
        self,
        node: Node,
        cache: Cache,
        attribution: Attribution,
        rules: Sequence[Rule],
        outside: Callable[[str], str],
        clock: Callable[[], float],
    ) -> None:
        self._node = node
        self._cache = cache
        self._attribution = attribution
        self._rules = rules
        self._outside = outside
        self._clock = clock
        self._fingerprints: dict[str, tuple[int, ...]] = {}
        self._clean_since: dict[str, float] = {}
        self._began = clock()
        self._remedied: dict[str, deque[float]] = {}
        self.ledger = self._load()

    def _load(self) -> Ledger:
        """The ledger as the last run left it; one that cannot be read is started over: every drift is found again."""
        try:
            return Ledger.decode(self._cache.read(LEDGER) or b"[]")
        except Broken:
            return Ledger()

    # -- looking ------------------------------------------------------------------------------------------------------

    def look_at(self, applied: Applied, paths: Collection[str]) -> Change:
        """Look at single paths, and at what else may have changed beside them."""
        managed = set(inspection.paths(applied))
        wanted = sorted(managed.intersection(paths))
        return self._absorb(self._look(applied, wanted), set(wanted)) + self._look_at_rest(applied, managed)

    def sweep(self, applied: Applied) -> Change:
        """Look at every path whose fingerprint has changed, and at the rest."""
        suspects = baseline.suspicious(self._node, applied, self._fingerprints)
        covered = {*suspects, *(drift.finding.path for drift in self.ledger.drifts)} & set(inspection.paths(applied))
        return self._absorb(self._look(applied, sorted(covered)), covered) + self._look_at_rest(
            applied, set(inspection.paths(applied))
        )

    def look_at_everything(self, applied: Applied) -> Change:
        """Look at the contents of every path, at the rest, and at what systemd knows."""
        managed = set(inspection.paths(applied))
        self._fingerprints.clear()
        changed = self._absorb(self._look(applied, sorted(managed)), managed)
        baseline.save(self._cache, self._fingerprints)
        return changed + self._look_at_rest(applied, managed) + self.look_at_units(applied)

    def look_at_units(self, applied: Applied) -> Change:
        """Ask systemd whether it has read the unit files as they are."""
        findings = inspection.look_at_units(self._node, applied)
        return self._record(findings, lambda path: path.startswith(UNIT_PREFIX))

    def _look(self, applied: Applied, paths: Sequence[str]) -> list[Finding]:
        observed = self._node.states(paths)
        findings = compare(applied, observed)
        self._fingerprints |= baseline.sound(observed, findings)
        for finding in findings:
            self._fingerprints.pop(finding.path, None)
        return findings

    def _look_at_rest(self, applied: Applied, managed: set[str]) -> Change:
        findings = [each for each in inspection.look_at_rest(self._node, applied) if each.path not in managed]
        return self._record(findings, lambda path: path not in managed and not path.startswith(UNIT_PREFIX))

    def _absorb(self, findings: Sequence[Finding], looked_at: set[str]) -> Change:
        return self._record(findings, looked_at.__contains__)

    def _record(self, findings: Sequence[Finding], looked_at: Callable[[str], bool]) -> Change:
        before = self.ledger
        self.ledger = before.updated(findings, looked_at, self._follow)
        now, then = set(map(_key, self.ledger.drifts)), set(map(_key, before.drifts))
        opened = tuple(drift for drift in self.ledger.drifts if _key(drift) not in then)
        closed = tuple(drift for drift in before.drifts if _key(drift) not in now)
        self._clean_since |= {drift.finding.path: self._clock() for drift in closed}
        if self.ledger != before:
            self._cache.write(LEDGER, self.ledger.encode())
        return Change(opened, closed)

    # -- who, and what to do ------------------------------------------------------------------------------------------

    def _follow(self, finding: Finding, earlier: Drift | None) -> Drift:
        if earlier is not None and earlier.finding == finding:
            return replace(earlier, response=self._response(finding.path))
        known, unknown = self._who(finding.path)
        started = earlier.since if earlier is not None else self._clock()
        return Drift(finding, self._response(finding.path), started, known, unknown)

    def _who(self, path: str) -> tuple[tuple[Writer, ...], str]:
        """The last writers of a path that have a name, or why there is none."""
        if path.startswith(UNIT_PREFIX):
            return (), "systemd does not tell who changed a unit's files; see the drift of the files"
        since = self._clean_since.get(path, self._began)
        writers = self._attribution.writers(self._outside(path), since)
        known = tuple(writer for writer in writers if writer.command)[-_NAMED:]
        return known, "" if known else self._attribution.explain(self._outside(path), since)

    def _response(self, path: str) -> Response:
        chosen = response(path, self._rules)
        return Response.ALERT if chosen is Response.REMEDIATE and self._contested(path) else chosen

    def _contested(self, path: str) -> bool:
        times = self._remedied.get(path, ())
        return sum(self._clock() - when < _WINDOW for when in times) >= _REMEDIED

    def to_remedy(self) -> tuple[Drift, ...]:
        """Open drifts that the policy wants put right."""
        return tuple(drift for drift in self.ledger.drifts if drift.response is Response.REMEDIATE)

    def remedied(self, paths: Collection[str]) -> None:
        """Note that these paths have been put right; one that needs it again and again is left to a person."""
        for path in paths:
            self._remedied.setdefault(path, deque(maxlen=_REMEDIED)).append(self._clock())

    def settled(self) -> None:
        """Everything that changed up to now was our own doing: nobody is named for it."""
        self._began = self._clock()
        self._clean_since.clear()


def _key(drift: Drift) -> tuple[Finding, Response]:
    return drift.finding, drift.response
