"""A plan is the whole of what will be done, known before anything is done.

Invariants: the changes are sorted, so the same input gives the same plan; there is at most one point of no return and
it comes last; the fingerprint covers everything an administrator would want to have agreed to.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import groupby
from typing import Any, Protocol, runtime_checkable


@runtime_checkable
class Change(Protocol):
    """One change, as data.

    `reversible` changes are journalled with their inverse and made as one batch; the others go forward only and must
    be idempotent. `order` sorts the plan. `facts` is a JSON object that describes the change whole, without the
    contents of files; `"lasting": true` in it says that a boot does not make the change, nor make it needless.
    """

    @property
    def reversible(self) -> bool: ...

    @property
    def order(self) -> tuple[int, str]: ...

    def describe(self) -> str: ...

    def facts(self) -> Mapping[str, Any]: ...


@dataclass(frozen=True)
class Plan:
    """What will be done, in order.

    `changes` is what an administrator sees and agrees to. `records` are the agent's own state files, written in the
    same batch as the reversible changes; they hold times and are no part of the fingerprint. `compensations` are done
    after an undo, to bring back what the forward changes had set in motion. `final` is the point of no return.
    """

    changes: tuple[Change, ...] = ()
    records: tuple[Change, ...] = ()
    compensations: tuple[Change, ...] = ()
    final: Change | None = None

    @classmethod
    def of(
        cls,
        changes: Iterable[Change],
        *,
        records: Iterable[Change] = (),
        compensations: Iterable[Change] = (),
        final: Change | None = None,
    ) -> Plan:
        """A plan of `changes` in any order; repeats are dropped."""
        ordered = _sorted(changes)
        return cls(ordered, _sorted(records), _sorted(compensations), final)

    def recording(self, record: Change) -> Plan:
        """The same plan with one more record; the fingerprint stays, since records are no part of it."""
        more = replace(self, records=(*self.records, record))
        vars(more).update({name: value for name, value in vars(self).items() if name == "fingerprint"})
        return more

    def __bool__(self) -> bool:
        return bool(self.changes) or self.final is not None

    @property
    def reversible(self) -> tuple[Change, ...]:
        """The batch: reversible changes in order, the agent's own records last."""
        return tuple(change for change in self.changes if change.reversible) + self.records

    @property
    def forward(self) -> tuple[Change, ...]:
        return tuple(change for change in self.changes if not change.reversible)

    @property
    def steps(self) -> tuple[Change, ...]:
        """Everything an administrator sees, the point of no return last."""
        return self.changes if self.final is None else (*self.changes, self.final)

    @cached_property
    def fingerprint(self) -> str:
        """Hex digest over all steps: two plans that would do the same have the same one."""
        document = json.dumps([change.facts() for change in self.steps], sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(document.encode()).hexdigest()[:32]


def _sorted(changes: Iterable[Change]) -> tuple[Change, ...]:
    """In order and without repeats. Most changes have their place alone and are not hashed with all they will write."""
    kept: list[Change] = []
    for _, group in groupby(sorted(changes, key=_place), key=_place):
        alike = list(group)
        kept += alike if len(alike) == 1 else dict.fromkeys(alike)
    return tuple(kept)


def _place(change: Change) -> tuple[tuple[int, str], str]:
    return change.order, type(change).__name__
