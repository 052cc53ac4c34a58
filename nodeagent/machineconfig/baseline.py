"""Stat fingerprints of paths that were seen to be as applied, so that an unchanged node is checked without reading it.

Invariant: a fingerprint is recorded only together with a look at the contents that found them as applied, and from the
same inode; a path whose fingerprint is the same later (inode, size, mtime, ctime, mode, owner) needs no second look.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Protocol

from nodeagent.machineconfig import inspection
from nodeagent.machineconfig.applied import Applied
from nodeagent.machineconfig.drift import Finding, compare
from nodeagent.machineconfig.node import Node
from nodeagent.observed.files import FileState

FILE = "baseline.json"

Identities = Mapping[str, tuple[int, ...]]


class Cache(Protocol):
    """Where fingerprints, and the ledger of drift, are kept between two runs."""

    def read(self, name: str) -> bytes | None: ...

    def write(self, name: str, data: bytes) -> None: ...


def load(cache: Cache) -> dict[str, tuple[int, ...]]:
    """The recorded fingerprints; none if there is no usable record, which costs a look at everything."""
    try:
        document = json.loads(cache.read(FILE) or b"{}")
        return {path: tuple(identity) for path, identity in document.items()}
    except (ValueError, TypeError, AttributeError):
        return {}


def suspicious(node: Node, applied: Applied, known: Identities) -> list[str]:
    """Paths whose contents have to be looked at, because their fingerprint is not the recorded one."""
    identities = node.identities(inspection.paths(applied))
    return [path for path, identity in identities.items() if known.get(path) != identity]


def sound(observed: Mapping[str, FileState], findings: Iterable[Finding]) -> dict[str, tuple[int, ...]]:
    """The fingerprints of the observed paths that nothing was found about."""
    found = {finding.path for finding in findings}
    return {path: state.identity for path, state in observed.items() if path not in found}


def refresh(node: Node, cache: Cache, applied: Applied) -> list[Finding]:
    """Look at the contents of every path, record the fingerprints of those that are sound; returns the findings."""
    observed = node.states(inspection.paths(applied))
    findings = compare(applied, observed)
    save(cache, sound(observed, findings))
    return findings


def save(cache: Cache, identities: Identities) -> None:
    """Keep fingerprints for the next run."""
    cache.write(FILE, json.dumps(identities, separators=(",", ":")).encode())
