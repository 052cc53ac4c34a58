"""Drift: where the node is no longer what the agent applied. Pure comparison, and the record that outlives restarts.

A finding says what differs now. A drift is a finding that is being followed: since when, who caused it, what is done
about it. Neither holds contents: files show as digests, keys as fingerprints.
"""

from __future__ import annotations

import fnmatch
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Any, Protocol

from nodeagent.changes.units import UNIT_DIRECTORY
from nodeagent.engine.formats import refuse_later
from nodeagent.errors import Broken
from nodeagent.machineconfig.applied import LABEL, Applied, Entry, Subject
from nodeagent.observed.files import ABSENT, FileState, FileType
from nodeagent.observed.writers import Writer

FORMAT = 1
UNIT_PREFIX = "unit:"  # begins the "path" of a finding that concerns a unit as systemd knows it


class Kind(StrEnum):
    """What is different."""

    CONTENT = "content"
    MODE = "mode"
    OWNER = "owner"
    ATTRIBUTES = "attributes"
    TYPE = "type"
    TARGET = "target"
    MISSING = "missing"
    RESURRECTED = "resurrected"
    DROPIN = "dropin"
    ENABLEMENT = "enablement"
    MASK = "mask"
    DAEMON_RELOAD = "daemon-reload"
    SSH_KEYS = "ssh-keys"
    PASSWORD = "password"  # noqa: S105 - a word, no secret
    KERNEL_ARGUMENTS = "kernel-arguments"


class Response(StrEnum):
    """What is done about drift of a path."""

    ALERT = "alert"
    REMEDIATE = "remediate"
    IGNORE = "ignore"


class Rule(Protocol):
    """One line of the drift policy."""

    @property
    def path(self) -> str: ...

    @property
    def action(self) -> str: ...


@dataclass(frozen=True, order=True)
class Finding:
    """One difference. `expected` and `actual` are digests, modes, owners, targets or fingerprints, never contents."""

    path: str
    kind: Kind
    expected: str
    actual: str
    sources: tuple[str, ...] = ()


@dataclass(frozen=True)
class Drift:
    """A finding that is being followed. `since` is in seconds since the epoch; `unknown` says why nobody is named."""

    finding: Finding
    response: Response
    since: float
    writers: tuple[Writer, ...] = ()
    unknown: str = ""

    def facts(self) -> dict[str, Any]:
        """JSON form."""
        return asdict(self)

    @classmethod
    def from_facts(cls, facts: Mapping[str, Any]) -> Drift:
        found = facts["finding"]
        finding = Finding(**(found | {"kind": Kind(found["kind"]), "sources": tuple(found["sources"])}))
        writers = tuple(Writer(**writer) for writer in facts["writers"])
        return cls(finding, Response(facts["response"]), facts["since"], writers, facts["unknown"])

    def who(self) -> str:
        """Who caused it, for people."""
        if self.writers:
            return "; ".join(writer.describe() for writer in self.writers)
        return f"unknown: {self.unknown}"


def compare(applied: Applied, observed: Mapping[str, FileState]) -> list[Finding]:
    """How the paths in `observed` differ from what was applied."""
    found = [
        finding
        for path, state in observed.items()
        if (entry := applied.entries.get(path)) is not None
        for finding in _differences(path, entry, state)
    ]
    found += [
        Finding(path, Kind.RESURRECTED, "absent", _shown(observed[path]))
        for path in applied.removed
        if observed.get(path, ABSENT).type is not FileType.ABSENT
    ]
    return sorted(found)


def _differences(path: str, entry: Entry, state: FileState) -> Iterator[Finding]:
    expected = entry.trace
    if state.type is not expected.type:
        yield Finding(path, _type_kind(entry, state), _wanted(entry), _shown(state), entry.sources)
        return
    if expected.type is FileType.LINK and state.target != expected.target:
        kind = {Subject.MASK: Kind.MASK, Subject.ENABLEMENT: Kind.ENABLEMENT}.get(entry.subject, Kind.TARGET)
        yield Finding(path, kind, expected.target, state.target, entry.sources)
    if expected.type is FileType.FILE and not entry.any_contents and state.digest != expected.digest:
        yield Finding(path, Kind.CONTENT, f"sha256 {expected.digest}", f"sha256 {state.digest}", entry.sources)
    if expected.type in (FileType.FILE, FileType.DIRECTORY):
        if state.mode != expected.mode:
            yield Finding(path, Kind.MODE, f"{expected.mode:04o}", f"{state.mode:04o}", entry.sources)
        attributes = _attributes(entry, state)
        if attributes is not None:
            yield Finding(path, Kind.ATTRIBUTES, *attributes, entry.sources)
    if expected.type is not FileType.ABSENT and (state.uid, state.gid) != (expected.uid, expected.gid):
        yield Finding(path, Kind.OWNER, f"{expected.uid}:{expected.gid}", f"{state.uid}:{state.gid}", entry.sources)


def _type_kind(entry: Entry, state: FileState) -> Kind:
    if entry.subject is Subject.MASK or state.target == "/dev/null":
        return Kind.MASK
    if entry.subject is Subject.ENABLEMENT:
        return Kind.ENABLEMENT
    return Kind.MISSING if state.type is FileType.ABSENT else Kind.TYPE


def _attributes(entry: Entry, state: FileState) -> tuple[str, str] | None:
    """Names of the extended attributes that differ; the SELinux label counts from when it is known."""
    expected, actual = dict(entry.xattrs), dict(state.xattrs)
    if LABEL not in expected:
        actual.pop(LABEL, None)
    differing = sorted(name for name in expected.keys() | actual.keys() if expected.get(name) != actual.get(name))
    if not differing:
        return None
    return _presence(differing, expected), _presence(differing, actual)


def _presence(names: Iterable[str], attributes: Mapping[str, bytes]) -> str:
    return ", ".join(f"{name} {'set' if name in attributes else 'not set'}" for name in names)


def _wanted(entry: Entry) -> str:
    trace = entry.trace
    return f"link to {trace.target}" if trace.type is FileType.LINK else str(trace.type)


def _shown(state: FileState) -> str:
    return f"link to {state.target}" if state.type is FileType.LINK else str(state.type)


def response(path: str, rules: Sequence[Rule]) -> Response:
    """What the policy says of a path: the first glob that matches, else an alert. For a unit its file's path counts."""
    if path.startswith(UNIT_PREFIX):
        path = f"{UNIT_DIRECTORY}/{path.removeprefix(UNIT_PREFIX)}"
    return next((Response(rule.action) for rule in rules if fnmatch.fnmatchcase(path, rule.path)), Response.ALERT)


@dataclass(frozen=True)
class Ledger:
    """All open drifts, by path and kind. Survives restarts in a state file of its own."""

    drifts: tuple[Drift, ...] = ()

    def updated(
        self,
        findings: Iterable[Finding],
        looked_at: Callable[[str], bool],
        follow: Callable[[Finding, Drift | None], Drift],
    ) -> Ledger:
        """The ledger after a look: drifts of paths that were looked at and show no finding any more are closed.

        `follow` makes a drift of a finding, given the drift that it continues.
        """
        open_ = {(drift.finding.path, drift.finding.kind): drift for drift in self.drifts}
        kept = {key: drift for key, drift in open_.items() if not looked_at(key[0])}
        kept |= {(each.path, each.kind): follow(each, open_.get((each.path, each.kind))) for each in findings}
        return Ledger(tuple(drift for _, drift in sorted(kept.items())))

    def alerts(self) -> tuple[Drift, ...]:
        return tuple(drift for drift in self.drifts if drift.response is Response.ALERT)

    def without(self, paths: Iterable[str]) -> Ledger:
        gone = set(paths)
        return replace(self, drifts=tuple(drift for drift in self.drifts if drift.finding.path not in gone))

    def encode(self) -> bytes:
        document = {"format": FORMAT, "drifts": [drift.facts() for drift in self.drifts]}
        return json.dumps(document, separators=(",", ":")).encode()

    @classmethod
    def decode(cls, data: bytes) -> Ledger:
        """The ledger of a state file; Broken if it is damaged, or of a later version."""
        try:
            document = json.loads(data)
            if isinstance(document, list):  # before there were formats
                document = {"drifts": document}
            refuse_later("the record of drift", document.get("format"), FORMAT)
            return cls(tuple(Drift.from_facts(facts) for facts in document["drifts"]))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise Broken(f"the record of drift is damaged ({error}): remove it; drift is then found anew") from error
