"""The daemon's side of machine configuration: applies what is declared, follows drift, reports.

One tick looks at everything that may have changed, does what has to be done, and says when it wants to look again.
An alert keeps the node Degraded, and new configs away from it, until an administrator has resolved the drift. Work that
disrupts workloads begins when they have been moved away, and nobody waits for that while holding the host lane.
"""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, NamedTuple

from nodeagent.engine.executor import Outcome, Result
from nodeagent.engine.report import Report, State
from nodeagent.errors import Broken, NodeAgentError, Rejected, Transient
from nodeagent.machineconfig.applied import Applied, Pending
from nodeagent.machineconfig.disruption import ActionType
from nodeagent.machineconfig.following import Follower
from nodeagent.machineconfig.job import Intent, Job
from nodeagent.machineconfig.monitor import FORCE_FILE, DriftMonitor
from nodeagent.machineconfig.proposal import Proposal
from nodeagent.machineconfig.surroundings import Absence, Surroundings

__all__ = ["FORCE_FILE", "NAME", "Cause", "MachineConfigController", "Periods"]

NAME = "machineconfig"
_TOLD = ("config", "desired", "generation", "held", "paths")  # of the detail, over a cluster

_HANDOVER = 60.0  # seconds that traffic may take to move before a reboot
_DISRUPTIVE = frozenset({ActionType.DRAIN, ActionType.REBOOT})


class Cause(StrEnum):
    """Why the node is in the state that it is in, as a condition's reason has it."""

    AS_DECLARED = "AsDeclared"
    APPLYING = "Applying"
    DRAINING = "Draining"
    POSTPONED = "Postponed"
    REBOOTING = "Rebooting"
    REBOOT_PENDING = "RebootPending"
    REBOOT_UNCONFIRMED = "RebootUnconfirmed"
    UNRECONCILABLE = "Unreconcilable"
    APPLY_FAILED = "ApplyFailed"
    NOT_DRAINED = "NotDrained"
    DRIFT = "Drift"
    UNREADABLE = "DeclarationRejected"


class Verdict(NamedTuple):
    """The node's state, why in a word, and why for people."""

    state: State
    cause: Cause
    reason: str = ""


@dataclass(frozen=True)
class Periods:
    """Times in seconds."""

    sweep: float
    content: float
    resync: float
    debounce: float


class MachineConfigController:
    """Machine configuration of this node. `woken` and `declared_anew` may be called from any thread."""

    def __init__(self, job: Job, follower: Follower, around: Surroundings, periods: Periods) -> None:
        self._job = job
        self._around = around
        self._monitor = DriftMonitor(
            job, follower, around, sweep=periods.sweep, content=periods.content, debounce=periods.debounce
        )
        self._resync = periods.resync
        self._load_due = 0.0
        self._started = False
        self._desired = ""  # the config that is declared
        self._intent: Intent | None = None  # the same whole, for as long as it may have to be applied
        self._doing: Verdict | None = None  # what the loop is at, where that may take long
        self._forced = False  # the force file was there, and what it asks for is not done yet
        self._problem: Verdict | None = None  # why what is declared cannot be used
        self._misses = 0  # times in a row that it could not be read
        self._unconfirmed = ""  # why a reboot is not over
        self._failure: tuple[str, Verdict] | None = None  # config that failed, and how

    def woken(self, paths: Collection[str], overflow: bool) -> None:
        """Remember what was touched; the loop looks at it."""
        self._monitor.woken(paths, everything=overflow)

    def declared_anew(self) -> None:
        """Have the next round read again what is declared."""
        self._load_due = 0.0

    @property
    def started(self) -> bool:
        """What an agent before this one left open is finished."""
        return self._started

    # -- the loop -----------------------------------------------------------------------------------------------------

    def tick(self) -> float:
        """Look once, act, report; returns the seconds until the next look is due."""
        if not self._started:
            self._start()
        touched, everything = self._monitor.take()
        try:
            self._round(touched, everything)
        except (NodeAgentError, OSError):
            self._monitor.woken(touched, everything=everything)  # the next try looks at it again
            raise
        return max(0.0, min(self._monitor.due, self._load_due) - time.monotonic())

    def _round(self, touched: Collection[str], everything: bool) -> None:
        self._confirm()
        if everything or time.monotonic() >= self._load_due or self._concerns_sources(touched):
            self._load_due = time.monotonic() + self._resync
            self._load()
        self._converge()
        self._look(touched, everything)
        self._monitor.remedy()
        self._settle_workloads()
        self._report()

    def _start(self) -> None:
        """Finish what was left open before anything new is begun."""
        with self._around.lock():
            for outcome in self._job.recover():
                self._around.observer.recovered(outcome)
        self._started = True
        self._monitor.watch(self._job.applied())

    def _confirm(self) -> None:
        """Confirm a reboot: as soon as the node is what it was to boot with, at the latest when somebody mends it."""
        pending = self._job.applied().pending
        if self._is_awaited(pending) or (pending is None and not self._unconfirmed):
            return
        try:
            with self._around.lock():
                self._job.confirm()
        except Broken as error:
            self._unconfirmed = str(error)
        else:
            self._unconfirmed = ""
            self._around.handover.resume()

    def _is_awaited(self, pending: Pending | None) -> bool:
        """Whether this boot is the one that a pending reboot is to end."""
        return pending is not None and pending.boot == self._job.node.boot

    def glance(self) -> None:
        """Look at files that were touched, while the loop waits for systemd, and report; the next round does the rest.

        What is on disk does not change meanwhile, and the state file says whether it is the new config or the old one.
        """
        if not self._started:
            return
        try:
            applied = self._job.applied()
            if self._monitor.glance(applied):
                self._follow(applied)
                self._report()
        except (NodeAgentError, OSError):
            return  # the next round looks at the same paths, and tells what is wrong

    def _concerns_sources(self, touched: Collection[str]) -> bool:
        return any(path.startswith(source) for path in touched for source in self._around.sources)

    def _load(self) -> None:
        try:
            self._intent = self._around.load()
        except Rejected as error:
            self._problem = Verdict(State.DEGRADED, Cause.UNREADABLE, str(error))
            return
        except Transient as error:
            self._misses += 1
            self._load_due = time.monotonic() + self._around.retry(self._misses)
            self._problem = Verdict(State.WORKING, Cause.POSTPONED, f"what is declared cannot be read now: {error}")
            return
        self._desired = self._intent.rendered.name if self._intent is not None else ""
        self._problem, self._misses = None, 0
        if self._failure is not None:
            config, verdict = self._failure
            if config != self._desired or verdict.cause is Cause.UNRECONCILABLE:
                self._failure = None  # nobody asks for it any more, or the node may have been mended

    # -- applying -----------------------------------------------------------------------------------------------------

    def _converge(self) -> None:
        """Apply what is declared, unless something speaks against it."""
        self._doing = None
        self._forced = self._around.force() or self._forced
        applied = self._job.applied()
        intent = self._intent_beside(applied)
        if self._forced:
            again = intent or self._job.intent_of(applied.generation)
            if self._apply(replace(again, cause="force file", force=True, reboot=True)):
                self._forced = False
        elif intent is not None and self._wants(intent, applied):
            self._apply(intent)
        elif applied.pending is not None and self._is_awaited(applied.pending) and not applied.pending.wait:
            self._reboot(applied.config, applied.pending)

    def _intent_beside(self, applied: Applied) -> Intent | None:
        """What is declared; None, and its memory given back, while that is what is applied or held."""
        if self._desired in (applied.config, applied.held) and not self._forced:
            self._intent = None
        elif self._intent is None and self._desired:
            self._load()
        return self._intent

    def _wants(self, intent: Intent, applied: Applied) -> bool:
        name = intent.rendered.name
        if name in (applied.config, applied.held) or self._monitor.alerts:
            return False
        return self._failure is None or self._failure[0] != name

    def _apply(self, intent: Intent) -> bool:
        """Apply a config, once the node's workloads are out of its way; False if they are still awaited."""
        name, began = intent.rendered.name, time.monotonic()
        try:
            with self._around.lock():
                proposal = self._job.propose(intent)
                if not self._vacated(name, proposal):
                    return False
                self._do(Verdict(State.WORKING, Cause.APPLYING, f"applying {name}"))
                outcome = self._carry_out(proposal)
        except Rejected as error:
            self._failed(name, Verdict(State.UNRECONCILABLE, Cause.UNRECONCILABLE, str(error)), "rejected", began)
        except Transient as error:
            self._do(Verdict(State.WORKING, Cause.POSTPONED, f"waiting to apply {name}: {error}"))
            raise
        except NodeAgentError as error:
            self._failed(name, Verdict(State.DEGRADED, Cause.APPLY_FAILED, str(error)), "failed", began)
        else:
            self._ended(name, outcome, proposal, began)
        return True

    def _vacated(self, name: str, proposal: Proposal) -> bool:
        """Whether the work may begin: at once if it disrupts no workload, else when they have been moved away."""
        if not any(action.type in _DISRUPTIVE for action in proposal.actions):
            return True
        self._job.check(proposal.plan)  # what cannot be applied moves no workload
        return self._drained(name)

    def _drained(self, name: str) -> bool:
        absence = self._around.workloads.away(name)
        if absence is Absence.LEAVING:
            self._do(Verdict(State.WORKING, Cause.DRAINING, f"waiting until the node is drained for {name}"))
        elif absence is Absence.OVERDUE:
            self._do(Verdict(State.DEGRADED, Cause.NOT_DRAINED, f"the node has not been drained for {name} in time"))
        return absence is Absence.GONE

    def _carry_out(self, proposal: Proposal) -> Outcome:
        """Apply once; Transient if it failed for a reason that may pass, whether or not services came back."""
        try:
            outcome = self._job.apply(proposal.plan, lambda _: None)
        except Broken as error:
            if isinstance(error.__cause__, Transient):
                raise Transient(str(error)) from error
            raise
        if outcome.passing:
            raise Transient(f"{outcome.why}; everything is as it was before")
        return outcome

    def _ended(self, name: str, outcome: Outcome, proposal: Proposal, began: float) -> None:
        if outcome.result is Result.UNDONE:
            why = f"{outcome.why}; everything is as it was before"
            self._failed(name, Verdict(State.DEGRADED, Cause.APPLY_FAILED, why), "undone", began)
            return
        self._failure = self._intent = self._doing = None
        self._around.observer.applied(str(outcome.result), time.monotonic() - began, name)
        self._monitor.settled(proposal.applied)
        pending = self._job.applied().pending
        if pending is not None:
            self._reboot(name, pending)

    def _failed(self, name: str, verdict: Verdict, outcome: str, began: float) -> None:
        self._failure, self._doing = (name, verdict), None
        self._around.observer.applied(outcome, time.monotonic() - began, name)

    def _reboot(self, name: str, pending: Pending) -> None:
        """Reboot if that is allowed, once the node's workloads and traffic have moved away."""
        if self._around.reboot is None:
            return
        if not self._drained(name):
            return
        self._do(Verdict(State.WORKING, Cause.REBOOTING, f"rebooting: {pending.why}"))
        self._around.handover.prepare("a reboot", _HANDOVER)
        self._around.reboot()

    def _settle_workloads(self) -> None:
        """Let workloads come back, unless the node waits for them to go or is about to reboot."""
        pending = self._job.applied().pending
        reboots = pending is not None and not pending.wait and self._around.reboot is not None
        if not reboots and (self._doing is None or self._doing.cause not in (Cause.DRAINING, Cause.NOT_DRAINED)):
            self._around.workloads.back()

    # -- drift --------------------------------------------------------------------------------------------------------

    def _look(self, touched: Collection[str], everything: bool) -> None:
        applied = self._job.applied()
        self._follow(applied)
        if self._monitor.look(applied, touched, everything=everything):
            self._report()  # the files' drift first: asking systemd takes a while
            self._monitor.look_at_units(applied)

    def _follow(self, applied: Applied) -> None:
        if self._monitor.follow(applied):
            self._failure = None  # whoever has applied something has dealt with what failed here

    # -- reporting ----------------------------------------------------------------------------------------------------

    def _do(self, doing: Verdict) -> None:
        self._doing = doing
        self._report()

    def _report(self) -> None:
        state, cause, reason = self._verdict()
        detail = self._detail()
        summary = {key: detail[key] for key in _TOLD} | {"drift": len(detail["drift"])}
        rest = f"{detail['config'] or 'no config'} is in place"
        self._around.reporter.publish(Report(NAME, state, reason, str(cause), detail, summary, rest=rest))

    def _verdict(self) -> Verdict:
        """The node's state, and why."""
        return self._doing or (self._failure and self._failure[1]) or self._trouble() or self._rest()

    def _trouble(self) -> Verdict | None:
        """What is wrong with the node, or with what is declared."""
        if self._unconfirmed:
            return Verdict(State.DEGRADED, Cause.REBOOT_UNCONFIRMED, self._unconfirmed)
        if drift := self._monitor.trouble():
            return Verdict(State.DEGRADED, Cause.DRIFT, drift)
        return self._problem

    def _rest(self) -> Verdict:
        pending = self._job.applied().pending
        if pending is not None:
            return Verdict(State.WORKING, Cause.REBOOT_PENDING, f"a reboot is pending: {pending.why}")
        return Verdict(State.DONE, Cause.AS_DECLARED)

    def _detail(self) -> dict[str, Any]:
        applied = self._job.applied()
        return {
            "config": applied.config,
            "desired": self._desired,
            "generation": applied.generation,
            "held": applied.held,
            "pending": vars(applied.pending) if applied.pending else None,
            "paths": len(applied.entries),
            "drift": [drift.facts() for drift in self._monitor.drifts],
            "sources": self._problem.reason if self._problem is not None else "",
            "watch": list(self._around.watch.problems()),
        }
