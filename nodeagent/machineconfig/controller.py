"""The daemon's side of machine configuration: follows sources, applies what they ask for, follows drift, reports.

One tick looks at everything that may have changed, does what has to be done, and says when it wants to look again.
An alert keeps the node Degraded, and new configs away from it, until an administrator has resolved the drift.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any, Protocol

from nodeagent.engine.executor import Outcome, Progress, Result
from nodeagent.engine.handover import Handover
from nodeagent.engine.report import Report, Reporter, State
from nodeagent.errors import Broken, NodeAgentError, Rejected, Transient
from nodeagent.machineconfig import inspection
from nodeagent.machineconfig.applied import Applied, Pending
from nodeagent.machineconfig.drift import Drift
from nodeagent.machineconfig.following import Change, Follower
from nodeagent.machineconfig.job import Intent, Job
from nodeagent.machineconfig.proposal import STATE_FILE, Proposal
from nodeagent.machineconfig.touched import Touched

NAME = "machineconfig"
FORCE_FILE = "/run/machine-config-daemon-force"

_HANDOVER = 60.0  # seconds that traffic may take to move before a reboot


class Watch(Protocol):
    """Wakes the controller when a path changes, or any entry of a directory."""

    def watch(self, paths: Collection[str], entries_of: Collection[str] = ()) -> None: ...

    def problems(self) -> tuple[str, ...]: ...


class Observer(Protocol):
    """Is told what happens, for logs and metrics."""

    def applied(self, outcome: str, seconds: float, what: str) -> None: ...

    def recovered(self, outcome: Outcome) -> None: ...

    def drifted(self, change: Change) -> None: ...

    def remedied(self, drifts: Collection[Drift]) -> None: ...


@dataclass(frozen=True)
class Periods:
    """Times in seconds."""

    sweep: float
    content: float
    resync: float
    debounce: float


@dataclass(frozen=True)
class Surroundings:
    """What the controller needs of the rest of the agent.

    `load` reads the sources (Rejected if they are wrong), `sources` are their paths outside the root, `lock` is the
    host lane, `force` takes the force file away and tells whether it was there, `reboot` is None where the node may not
    be rebooted.
    """

    load: Callable[[], Intent]
    sources: tuple[str, ...]
    outside: Callable[[str], str]
    inside: Callable[[str], str | None]
    lock: Callable[[], AbstractContextManager[None]]
    force: Callable[[], bool]
    reboot: Callable[[], None] | None
    handover: Handover
    watch: Watch
    reporter: Reporter
    observer: Observer


class MachineConfigController:
    """Machine configuration of this node. `woken` may be called from any thread, everything else from the loop's."""

    def __init__(self, job: Job, follower: Follower, around: Surroundings, periods: Periods) -> None:
        self._job = job
        self._follower = follower
        self._around = around
        self._periods = periods
        self._touched = Touched(everything=True)
        self._started = False
        self._watched: tuple[Applied, tuple[str, ...]] | None = None
        self._desired = ""  # the config that the sources ask for
        self._intent: Intent | None = None  # the same whole, for as long as it may have to be applied
        self._doing = ""  # what the loop is at, where that may take long
        self._forced = False  # the force file was there, and what it asks for is not done yet
        self._problem = ""  # why the sources cannot be used
        self._unconfirmed = ""  # why a reboot is not over
        self._unremedied = ""  # why drift cannot be put right
        self._failure: tuple[str, State, str] | None = None  # config that failed, state, why
        self._due = {"sweep": 0.0, "content": 0.0, "resync": 0.0}

    def woken(self, paths: Collection[str], overflow: bool) -> None:
        """Remember what was touched; the loop looks at it."""
        self._touched.add(paths, everything=overflow)

    # -- the loop -----------------------------------------------------------------------------------------------------

    def tick(self) -> float:
        """Look once, act, report; returns the seconds until the next look is due."""
        if not self._started:
            self._start()
        touched, everything = self._touched.take(self._periods.debounce)
        try:
            self._round(touched, everything)
        except (NodeAgentError, OSError):
            self.woken(touched, everything)  # the next try looks at it again
            raise
        return max(0.0, min(self._due.values()) - time.monotonic())

    def _round(self, touched: Collection[str], everything: bool) -> None:
        now = time.monotonic()
        self._confirm()
        if self._is_due("resync", now, self._periods.resync) or everything or self._concerns_sources(touched):
            self._load()
        self._converge()
        self._look(touched, everything, now)
        self._remedy()
        self._report()

    def _start(self) -> None:
        """Finish what was left open before anything new is begun."""
        with self._around.lock():
            for outcome in self._job.recover():
                self._around.observer.recovered(outcome)
        self._started = True
        self._watch(self._job.applied())

    def _confirm(self) -> None:
        """Confirm a reboot: as soon as the node is what it was to boot with, at the latest when somebody mends it."""
        pending = self._job.applied().pending
        awaited = pending is not None and pending.boot == self._job.node.boot
        if awaited or (pending is None and not self._unconfirmed):
            return
        try:
            with self._around.lock():
                self._job.confirm()
        except Broken as error:
            self._unconfirmed = str(error)
        else:
            self._unconfirmed = ""
            self._around.handover.resume()

    def glance(self) -> None:
        """Look at files that were touched, while the loop waits for systemd, and report; the next round does the rest.

        What is on disk does not change meanwhile, and the state file says whether it is the new config or the old one.
        """
        inside = self._inside(self._touched.glance())
        if not inside or not self._started:
            return
        try:
            applied = self._job.applied()
            self._watch_anew(applied)
            self._tell(self._follower.look_at(applied, inside))
            self._publish(State.WORKING, self._doing) if self._doing else self._report()
        except (NodeAgentError, OSError):
            return  # the next round looks at the same paths, and tells what is wrong

    def _is_due(self, what: str, now: float, period: float) -> bool:
        if now < self._due[what]:
            return False
        self._due[what] = now + period
        return True

    def _concerns_sources(self, touched: Collection[str]) -> bool:
        return any(path.startswith(source) for path in touched for source in self._around.sources)

    def _load(self) -> None:
        try:
            self._intent = self._around.load()
        except Rejected as error:
            self._problem = str(error)
            return
        self._desired = self._intent.rendered.name
        self._problem = ""
        if self._failure is not None and (self._failure[0] != self._desired or self._failure[1] is not State.DEGRADED):
            self._failure = None  # nobody asks for it any more, or it was refused, and the node may have been mended

    # -- applying -----------------------------------------------------------------------------------------------------

    def _converge(self) -> None:
        """Apply what the sources ask for, unless something speaks against it."""
        self._forced = self._around.force() or self._forced
        applied = self._job.applied()
        intent = self._intent_beside(applied)
        if self._forced:
            again = intent or self._job.intent_of(applied.generation)
            self._apply(replace(again, cause="force file", force=True, reboot=True))
            self._forced = False
        elif intent is not None and self._wants(intent, applied):
            self._apply(intent)
        elif applied.pending is not None and applied.pending.boot == self._job.node.boot and not applied.pending.wait:
            self._reboot(applied.pending)

    def _intent_beside(self, applied: Applied) -> Intent | None:
        """What the sources ask for; None, and its memory given back, while that is what is applied or held."""
        if self._desired in (applied.config, applied.held) and not self._forced:
            self._intent = None
        elif self._intent is None and self._desired:
            self._load()
        return self._intent

    def _wants(self, intent: Intent, applied: Applied) -> bool:
        name = intent.rendered.name
        if name in (applied.config, applied.held) or self._follower.ledger.alerts():
            return False
        return self._failure is None or self._failure[0] != name

    def _apply(self, intent: Intent) -> None:
        name, began = intent.rendered.name, time.monotonic()
        self._doing = f"applying {name}"
        self._publish(State.WORKING, self._doing)
        try:
            with self._around.lock():
                proposal, outcome = self._attempt(intent)
        except Rejected as error:
            self._failed(name, State.UNRECONCILABLE, str(error), "rejected", began)
        except Transient as error:
            self._publish(State.WORKING, f"waiting to apply {name}: {error}")
            raise
        except NodeAgentError as error:
            self._failed(name, State.DEGRADED, str(error), "failed", began)
        else:
            self._ended(name, outcome, proposal, began)
        finally:
            self._doing = ""

    def _attempt(self, intent: Intent) -> tuple[Proposal, Outcome]:
        """Apply once; Transient if it failed for a reason that may pass, whether or not services came back."""
        proposal = self._job.propose(intent)
        try:
            outcome = self._job.apply(proposal.plan, _unwatched)
        except Broken as error:
            if isinstance(error.__cause__, Transient):
                raise Transient(str(error)) from error
            raise
        if outcome.passing:
            raise Transient(f"{outcome.why}; everything is as it was before")
        return proposal, outcome

    def _ended(self, name: str, outcome: Outcome, proposal: Proposal, began: float) -> None:
        if outcome.result is Result.UNDONE:
            self._failed(name, State.DEGRADED, f"{outcome.why}; everything is as it was before", "undone", began)
            return
        self._failure = self._intent = None
        self._around.observer.applied(str(outcome.result), time.monotonic() - began, name)
        self._follower.settled()
        self._watch(proposal.applied)
        self._due["content"] = 0.0
        pending = self._job.applied().pending
        if pending is not None:
            self._reboot(pending)

    def _failed(self, name: str, state: State, why: str, outcome: str, began: float) -> None:
        self._failure = (name, state, why)
        self._around.observer.applied(outcome, time.monotonic() - began, name)

    def _reboot(self, pending: Pending) -> None:
        """Reboot if that is allowed, once the node's traffic has moved away."""
        if self._around.reboot is None:
            return
        self._publish(State.WORKING, f"rebooting: {pending.why}")
        self._around.handover.prepare("a reboot", _HANDOVER)
        self._around.reboot()

    # -- drift --------------------------------------------------------------------------------------------------------

    def _look(self, touched: Collection[str], everything: bool, now: float) -> None:
        applied = self._job.applied()
        self._watch_anew(applied)
        if applied.generation == 0:
            self._due["sweep"] = self._due["content"] = now + self._periods.sweep
            return
        inside = self._inside(touched)
        if everything or self._is_due("content", now, self._periods.content):
            self._due["content"], self._due["sweep"] = now + self._periods.content, now + self._periods.sweep
            self._tell(self._follower.look_at_everything(applied))
        elif self._is_due("sweep", now, self._periods.sweep):
            self._tell(self._follower.sweep(applied))
        elif inside:
            self._tell(self._follower.look_at(applied, inside))
            if applied.units and any(map(inspection.concerns_units, inside)):
                self._report()  # the files' drift first: asking systemd takes a while
                self._tell(self._follower.look_at_units(applied))

    def _inside(self, touched: Collection[str]) -> set[str]:
        """Those of the touched paths that lie in the root, as the node has them."""
        return {path for each in touched if (path := self._around.inside(each)) is not None}

    def _tell(self, change: Change) -> None:
        if change:
            self._around.observer.drifted(change)

    def _remedy(self) -> None:
        """Put right what the policy wants put right; files and services, never a reboot."""
        if not self._follower.ledger.drifts:
            self._unremedied = ""
        drifts = self._follower.to_remedy()
        applied = self._job.applied()
        if not drifts or applied.generation == 0:
            return
        paths = {drift.finding.path for drift in drifts}
        self._unremedied = self._put_right(paths)
        self._follower.remedied(paths)
        self._follower.settled()
        if not self._unremedied:
            self._around.observer.remedied(drifts)
        self._tell(self._follower.look_at(applied, paths))
        if any(map(inspection.concerns_units, paths)):
            self._tell(self._follower.look_at_units(applied))

    def _put_right(self, paths: Collection[str]) -> str:
        """Put single paths right: why that failed, "" if it did not."""
        try:
            with self._around.lock():
                why = self._job.apply(self._job.remedy(paths), _unwatched).why
        except Transient:
            raise
        except NodeAgentError as error:
            why = str(error)
        return why and f"drift cannot be put right: {why}"

    def _watch_anew(self, applied: Applied) -> None:
        """Follow what others have applied (`nodeagent apply`, a rollback), and directories of links that are new."""
        before, directories = self._watched or (None, ())
        if applied is not before:
            self._follower.settled()
            self._failure = None  # whoever has applied something has dealt with what failed here
        if applied is not before or directories != inspection.rest_directories(self._job.node, applied):
            self._watch(applied)

    def _watch(self, applied: Applied) -> None:
        """Watch everything whose change may be drift, the sources, the force file and the agent's own state."""
        directories = inspection.rest_directories(self._job.node, applied)
        self._watched = applied, directories
        outside = self._around.outside
        paths = [*inspection.paths(applied), *inspection.rest_paths(self._job.node, applied)]
        paths += [FORCE_FILE, f"{self._job.store.path}/{STATE_FILE}"]
        entries = [outside(path) for path in directories]
        self._around.watch.watch([outside(path) for path in paths], [*entries, *self._around.sources])

    # -- reporting ----------------------------------------------------------------------------------------------------

    def _report(self) -> None:
        state, reason = self._verdict()
        self._publish(state, reason)

    def _verdict(self) -> tuple[State, str]:
        """The node's state, and why."""
        if self._failure is not None:
            return self._failure[1], self._failure[2]
        if trouble := self._unconfirmed or self._unremedied or self._alarm() or self._problem:
            return State.DEGRADED, trouble
        pending = self._job.applied().pending
        return (State.WORKING, f"a reboot is pending: {pending.why}") if pending is not None else (State.DONE, "")

    def _alarm(self) -> str:
        """What drift waits for an administrator, and who caused it; "" if none does."""
        alerts = self._follower.ledger.alerts()
        named = ", ".join(sorted({drift.finding.path for drift in alerts})[:5])
        return f"drift: {named}; by {alerts[0].who()}" if alerts else ""

    def _publish(self, state: State, reason: str) -> None:
        self._around.reporter.publish(Report(NAME, state, reason, self._detail()))

    def _detail(self) -> dict[str, Any]:
        applied = self._job.applied()
        return {
            "config": applied.config,
            "desired": self._desired,
            "generation": applied.generation,
            "held": applied.held,
            "pending": vars(applied.pending) if applied.pending else None,
            "paths": len(applied.entries),
            "drift": [drift.facts() for drift in self._follower.ledger.drifts],
            "sources": self._problem,
            "watch": list(self._around.watch.problems()),
        }


def _unwatched(_: Progress) -> None:
    """The daemon shows no progress bar."""
