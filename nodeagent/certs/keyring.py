"""The keys by which API servers encrypt at rest, and the order in which they are rotated. Pure.

Invariant: a revision follows another only once every API server has confirmed the one before, so at any moment each of
them has this revision or the last; and of two that follow each other, each can read whatever the other writes. A key is
taken away only when nothing is written under it any more. Nothing ever goes back: once a revision is out that writes
under a new key, the only way is on.

    SETTLED ──► READING (the new key is known) ──► WRITING (it is used) ──► MIGRATING (all is written anew) ──► SETTLED
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Final

from nodeagent.engine.formats import refuse_later
from nodeagent.errors import Broken

IDENTITY: Final = ""  # in the place of a key's name: not encrypted
KEY_BYTES: Final = 32  # AES-256
_FORMAT: Final = 1


class Phase(StrEnum):
    """Where in a rotation the ring is."""

    SETTLED = "settled"
    READING = "reading"
    WRITING = "writing"
    MIGRATING = "migrating"


@dataclass(frozen=True)
class Key:
    """A key of AES-GCM. Its name is never given to another; `made` is in seconds since the epoch."""

    name: str
    secret: str = field(repr=False)  # base64
    made: float


@dataclass(frozen=True)
class Ring:
    """What all API servers have to have. `keys` are the newest first.

    `encrypted` are the resources that are written encrypted since the last rotation has ended, `wanted` those that are
    to be. `retired` names keys that were taken away: an API server may lose them, and no others.
    """

    revision: int = 0
    phase: Phase = Phase.SETTLED
    keys: tuple[Key, ...] = ()
    encrypted: tuple[str, ...] = ()
    wanted: tuple[str, ...] = ()
    retired: tuple[str, ...] = ()

    @property
    def migrates(self) -> tuple[str, ...]:
        """The resources whose objects are written anew, those that are no longer encrypted included; sorted."""
        return tuple(sorted({*self.encrypted, *self.wanted}))

    def providers(self) -> dict[str, tuple[str, ...]]:
        """By resource the names of the keys that read it, the one that writes it first; IDENTITY is among them."""
        return {resource: self._providers(resource) for resource in self._known()}

    def _known(self) -> tuple[str, ...]:
        return self.encrypted if self.phase is Phase.SETTLED else self.migrates

    def _providers(self, resource: str) -> tuple[str, ...]:
        names = [key.name for key in self.keys]
        if self.phase is Phase.READING:
            if resource not in self.encrypted:
                return (IDENTITY, *names)
            new, *old = names
            return (old[0], new, *old[1:], IDENTITY)
        if self.phase is not Phase.SETTLED and resource not in self.wanted:
            return (IDENTITY, *names)
        return (*names, IDENTITY)

    def facts(self) -> dict[str, Any]:
        """The ring as a JSON object, with its secrets."""
        return {
            "format": _FORMAT,
            "revision": self.revision,
            "phase": str(self.phase),
            "keys": [{"name": key.name, "secret": key.secret, "made": key.made} for key in self.keys],
            "encrypted": list(self.encrypted),
            "wanted": list(self.wanted),
            "retired": list(self.retired),
        }

    @classmethod
    def from_facts(cls, facts: Mapping[str, Any]) -> Ring:
        """The ring that `facts()` described; Broken, without quoting it, if it is damaged or of a later version."""
        try:
            refuse_later("the key ring", facts.get("format"), _FORMAT)
            keys = tuple(Key(each["name"], each["secret"], float(each["made"])) for each in facts["keys"])
            lists = (tuple(map(str, facts[name])) for name in ("encrypted", "wanted", "retired"))
            return cls(int(facts["revision"]), Phase(facts["phase"]), keys, *lists)
        except (KeyError, TypeError, ValueError, AttributeError):
            raise Broken("the key ring is damaged: restore its Secret from a backup") from None


@dataclass(frozen=True)
class Demand:
    """What is asked for: the resources, sorted, the seconds that a key is used, and how many keys are kept."""

    resources: tuple[str, ...]
    interval: float
    keep: int = 8


@dataclass(frozen=True)
class Progress:
    """What has come about: `members` have to confirm, `confirmed` have done so for the ring's revision.

    `migrated` is true once every object of the ring's resources was written anew in this phase.
    """

    members: frozenset[str]
    confirmed: frozenset[str]
    migrated: bool = False

    @property
    def settled(self) -> bool:
        """Whether everybody has confirmed; nobody at all is not everybody."""
        return bool(self.members) and self.members <= self.confirmed


def advance(ring: Ring, demand: Demand, progress: Progress, now: float, secret: str) -> Ring:
    """The ring after the next step, or as it is while there is something to wait for.

    `secret` (base64 of KEY_BYTES) is what a new key is made of, should there be one.
    """
    if ring.keys and not progress.settled:
        return ring
    match ring.phase:
        case Phase.SETTLED:
            return _begun(ring, demand, now, secret) if _due(ring, demand, now) else ring
        case Phase.READING:
            return replace(ring, revision=ring.revision + 1, phase=Phase.WRITING)
        case Phase.WRITING:
            return replace(ring, phase=Phase.MIGRATING)
        case Phase.MIGRATING:
            return _ended(ring, demand.keep) if progress.migrated else ring


def _due(ring: Ring, demand: Demand, now: float) -> bool:
    """Whether a rotation is to begin: for other resources at once, else when the newest key has been used for long."""
    if not demand.resources and not ring.encrypted:
        return False
    return demand.resources != ring.encrypted or now - ring.keys[0].made >= demand.interval


def _begun(ring: Ring, demand: Demand, now: float, secret: str) -> Ring:
    revision = ring.revision + 1
    new = Key(f"nodeagent-{revision}", secret, now)
    return replace(ring, revision=revision, phase=Phase.READING, keys=(new, *ring.keys), wanted=demand.resources)


def _ended(ring: Ring, keep: int) -> Ring:
    kept, dropped = ring.keys[:keep], ring.keys[keep:]
    retired = (*ring.retired, *(key.name for key in dropped))
    return Ring(ring.revision + 1, Phase.SETTLED, kept, ring.wanted, ring.wanted, retired)


def lost(ring: Ring, stands: Mapping[str, str]) -> tuple[str, ...]:
    """Names of keys that stand on a node (with their secrets) and would be lost by this ring, sorted.

    What was retired may go. A key of the same name with another secret is another key.
    """
    kept = {key.name: key.secret for key in ring.keys}
    going = (name for name, secret in stands.items() if kept.get(name) != secret)
    return tuple(sorted(name for name in going if name in kept or name not in ring.retired))
