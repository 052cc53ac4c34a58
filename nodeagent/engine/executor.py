"""Carries a plan out so that the node ends fully before or fully after it, whatever happens in between.

The reversible changes are one batch: their inverses are journalled, the new state is staged beside the old, and only
then put in place. Until the journal says `committed`, any failure or interruption is undone; from then on the forward
changes are resumed. If a forward change fails, the whole batch is undone and the compensations bring services back.
The point of no return is not ours to cross: it is reported in the outcome, after everything else has been done.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, Protocol

from nodeagent.engine.formats import refuse_later
from nodeagent.engine.journal import Journal, Record, Transaction
from nodeagent.engine.plan import Change, Plan
from nodeagent.errors import Broken, NodeAgentError, Transient

Facts = Mapping[str, Any]

_FORMAT: Final = 1  # of a transaction's records; how a line is framed must never change, or the first is not found


class Effects(Protocol):
    """What changes the node. All methods raise NodeAgentError or OSError when they fail.

    `inverses` tells, without touching anything, how each change will be taken back. `stage` makes the new state ready
    where nobody reads it, `commit` puts it in place, `undo` takes it back from wherever it got to and leaves nothing
    aside (it may be called after any interruption, and again). `discard`, called only when all is done, drops what was
    put aside; it too may be called again. `settle` returns once everything that was touched has reached stable storage.
    `perform` makes forward changes in order, up to the first that fails, and may be called again.
    """

    def check(self, changes: Sequence[Change]) -> None: ...

    def inverses(self, changes: Sequence[Change], transaction: str) -> Sequence[Facts]: ...

    def stage(self, changes: Sequence[Change], inverses: Sequence[Facts]) -> None: ...

    def commit(self, changes: Sequence[Change], inverses: Sequence[Facts]) -> None: ...

    def undo(self, inverses: Sequence[Facts]) -> None: ...

    def discard(self, inverses: Sequence[Facts]) -> None: ...

    def settle(self) -> None: ...

    def perform(self, changes: Sequence[Change]) -> None: ...

    def decode(self, facts: Facts) -> Change: ...


class Result(StrEnum):
    """How an execution ended."""

    UNCHANGED = "unchanged"
    APPLIED = "applied"
    UNDONE = "undone"
    RESUMED = "resumed"


@dataclass(frozen=True)
class Outcome:
    """How it ended; `why` names the failure where the batch was undone, `final` is what remains to be crossed.

    `passing` tells that the failure was Transient: the same plan may succeed later.
    """

    result: Result
    why: str = ""
    final: Change | None = None
    passing: bool = False


@dataclass(frozen=True)
class Progress:
    """How far the execution is: `done` of `total` steps, and what is being done."""

    done: int
    total: int
    doing: str


def _silent(_: Progress) -> None:
    """Progress that nobody watches."""


class Executor:
    """Executes plans, one at a time, against one node. `boot` is the node's current boot id."""

    def __init__(self, journal: Journal, effects: Effects, boot: str) -> None:
        self._journal = journal
        self._effects = effects
        self._boot = boot

    def execute(self, plan: Plan, transaction: str, progress: Callable[[Progress], None] = _silent) -> Outcome:
        """Carry out `plan` under the id `transaction` (ids sort by age).

        Returns APPLIED, UNCHANGED or UNDONE (a change failed; everything is as before, and `why` says what failed).
        Raises Rejected if the node cannot take the plan (nothing was touched), Transient if the node changed since
        the plan was made, Broken if the node could not be brought back either.
        """
        if self.recover():
            raise Transient("an earlier batch had been left half-way and was finished first; plan again")
        if not plan and not plan.records:
            return Outcome(Result.UNCHANGED)
        try:
            self._effects.check(plan.reversible)
            inverses = self._effects.inverses(plan.reversible, transaction)
            opened = self._journal.begin(transaction)
        except OSError as error:
            raise _for_caller(error) from error
        with opened:
            return self._carry_out(opened, plan, inverses, _Steps(plan, progress))

    def _carry_out(self, opened: Transaction, plan: Plan, inverses: Sequence[Facts], steps: _Steps) -> Outcome:
        try:
            opened.append(_beginning(plan, inverses, self._boot))
            self._put(plan.reversible, inverses, steps)
            opened.append({"at": "committed"})
        except (OSError, NodeAgentError) as error:
            self._take_back(opened, inverses, (), error)
            raise _for_caller(error) from error
        return self._go_forward(opened, inverses, plan, steps)

    def _put(self, batch: Sequence[Change], inverses: Sequence[Facts], steps: _Steps) -> None:
        steps.say("stage")
        self._effects.stage(batch, inverses)
        self._effects.settle()
        steps.say("put in place")
        self._effects.commit(batch, inverses)
        self._effects.settle()
        steps.advance(len(batch))

    def _go_forward(self, opened: Transaction, inverses: Sequence[Facts], plan: Plan, steps: _Steps) -> Outcome:
        try:
            if plan.forward:
                steps.say(", ".join(change.describe() for change in plan.forward))
                opened.append({"at": "started"})
                self._effects.perform(plan.forward)
                steps.advance(len(plan.forward))
        except (OSError, NodeAgentError) as error:
            self._take_back(opened, inverses, plan.compensations, error)
            return Outcome(Result.UNDONE, why=_said(error), passing=isinstance(error, Transient))
        self._finish(opened, inverses)
        steps.say("done")
        return Outcome(Result.APPLIED, final=plan.final)

    def _finish(self, opened: Transaction, inverses: Sequence[Facts]) -> None:
        """Drop what was put aside, then the journal, which must not go before what it would have us drop again."""
        try:
            opened.append({"at": "done"})
            self._effects.discard(inverses)
            self._effects.settle()
            opened.remove()
        except (OSError, NodeAgentError) as error:
            raise Broken(
                f"everything is in place, but cleaning up failed: {_said(error)}; it is tried again at the next start"
            ) from error

    def _take_back(
        self,
        opened: Transaction,
        inverses: Sequence[Facts],
        compensations: Sequence[Change],
        error: Exception,
    ) -> None:
        """Undo the batch, then bring services back; Broken if the node cannot be brought back."""
        try:
            _announce(opened, error)
            self._effects.undo(inverses)
            self._effects.settle()
        except (OSError, NodeAgentError) as failure:
            raise Broken(
                f"{_said(error)}; and taking it back failed too: {_said(failure)}; it is tried again at the next start"
            ) from failure
        failures = self._compensate(compensations)
        try:
            opened.remove()
        except OSError as failure:
            failures.append(f"could not remove the journal: {_said(failure)}")
        if failures:
            raise Broken(f"{_said(error)}; the files are as before, but: {'; '.join(failures)}") from error

    def _compensate(self, compensations: Sequence[Change]) -> list[str]:
        """Make every compensation; returns what failed, since one failure must not keep the others from it."""
        failures = []
        for change in compensations:
            try:
                self._effects.perform([change])
            except (OSError, NodeAgentError) as error:
                failures.append(f"could not {change.describe()}: {_said(error)}")
        return failures

    def recover(self) -> tuple[Outcome, ...]:
        """Finish what earlier runs left open: undo what was not committed, resume what was. Broken if that fails."""
        outcomes = []
        try:
            with ExitStack() as files:
                for opened, records in self._left_open(files):
                    outcomes.append(self._recover_one(opened, records))
        except OSError as error:
            raise Broken(f"the journal cannot be read: {_said(error)}; it is tried again at the next start") from error
        return tuple(outcomes)

    def _left_open(self, files: ExitStack) -> list[tuple[Transaction, tuple[Record, ...]]]:
        """What earlier runs left open, newest first, and its records; Broken if a later version wrote any of it."""
        found = [(files.enter_context(opened), opened.records()) for opened in self._journal.unfinished()]
        for opened, records in found:
            refuse_later(f"the journal {opened.name}", records[0].get("format") if records else None, _FORMAT)
        return found

    def _recover_one(self, opened: Transaction, records: Sequence[Record]) -> Outcome:
        if not records:  # not even the inverses were journalled: nothing was touched
            opened.remove()
            return Outcome(Result.UNDONE, why="interrupted before anything was changed")
        begin, seen = records[0], {record["at"] for record in records}
        if begin["at"] != "begin":
            raise Broken(
                f"the journal {opened.name} is damaged and does not tell how to take back what was interrupted; "
                "compare the node with nodeagent verify, put it right, then remove that file from the state directory"
            )
        if "done" in seen:
            self._finish(opened, begin["inverses"])
            return Outcome(Result.RESUMED)
        if "committed" in seen and "undoing" not in seen:
            return self._resume(opened, begin)
        return self._undo_interrupted(opened, begin, records)

    def _undo_interrupted(self, opened: Transaction, begin: Record, records: Sequence[Record]) -> Outcome:
        whys = [record["why"] for record in records if record["at"] == "undoing"]
        why = whys[0] if whys else "interrupted before it was whole"
        started = any(record["at"] == "started" for record in records)
        compensations = self._left_to_do(begin, "compensations") if started else ()
        self._take_back(opened, begin["inverses"], compensations, Transient(why))
        return Outcome(Result.UNDONE, why=why)

    def _resume(self, opened: Transaction, begin: Record) -> Outcome:
        """Make the forward changes again."""
        plan = Plan(self._left_to_do(begin, "forward"), compensations=self._left_to_do(begin, "compensations"))
        outcome = self._go_forward(opened, begin["inverses"], plan, _Steps(plan, _silent))
        return Outcome(Result.RESUMED) if outcome.result is Result.APPLIED else outcome

    def _left_to_do(self, begin: Record, kind: str) -> tuple[Change, ...]:
        """The forward changes or compensations of a batch; after a reboot the boot has made all but lasting ones."""
        same_boot = begin["boot"] == self._boot
        return tuple(self._effects.decode(facts) for facts in begin[kind] if same_boot or facts.get("lasting"))


def _announce(opened: Transaction, error: Exception) -> None:
    """Journal that the batch is being undone. Where the disk is full that may fail, which only matters if a start
    after a power cut could otherwise find the batch committed."""
    try:
        opened.append({"at": "undoing", "why": _said(error)})
    except OSError:
        if any(record["at"] == "committed" for record in opened.records()):
            raise


def _beginning(plan: Plan, inverses: Sequence[Facts], boot: str) -> Record:
    return {
        "at": "begin",
        "format": _FORMAT,
        "plan": plan.fingerprint,
        "boot": boot,
        "inverses": list(inverses),
        "forward": [change.facts() for change in plan.forward],
        "compensations": [change.facts() for change in plan.compensations],
    }


def _for_caller(error: Exception) -> NodeAgentError:
    """What a failed batch means to the caller; by now everything has been taken back."""
    if isinstance(error, NodeAgentError):
        return error
    return Broken(f"{_said(error)}; nothing was changed")


def _said(error: Exception) -> str:
    """An error in words for people: a system call's failure by path and cause, without its number."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return str(error)


class _Steps:
    """Counts steps and tells the watcher."""

    def __init__(self, plan: Plan, progress: Callable[[Progress], None]) -> None:
        self._total = len(plan.reversible) + len(plan.forward)
        self._done = 0
        self._progress = progress

    def advance(self, steps: int) -> None:
        self._done += steps

    def say(self, doing: str) -> None:
        self._progress(Progress(self._done, self._total, doing))
