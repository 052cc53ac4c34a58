"""The job on one node: from sources to a plan, from a plan to an applied and recorded state, and back.

Holds no state of its own: what is applied is what the state file says, read again whenever it was replaced, so that the
command line and the daemon can take turns under the lock.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from nodeagent.engine.executor import Executor, Outcome, Progress, Result
from nodeagent.engine.plan import Change, Plan
from nodeagent.errors import Broken, Problem, Rejected
from nodeagent.machineconfig import history, inspection
from nodeagent.machineconfig.applied import STATE_FILE, Applied
from nodeagent.machineconfig.disruption import Policy
from nodeagent.machineconfig.history import Generation
from nodeagent.machineconfig.node import Node

if TYPE_CHECKING:
    from nodeagent.machineconfig.desired import Desired
    from nodeagent.machineconfig.proposal import Proposal, Situation
    from nodeagent.machineconfig.render import Rendered

# What plans, and the Ignition model above all, costs more to import than a whole look at 10,000 unchanged files: only
# what reads MachineConfigs imports it, when it does.

_DAY = 86400


class Store(Protocol):
    """The agent's private directory on the node; `path` is its place in the root."""

    path: str

    def read(self, name: str) -> bytes | None: ...

    def stamp(self, name: str) -> tuple[int, ...]: ...

    def write(self, name: str, data: bytes) -> None: ...

    def remove(self, name: str) -> None: ...

    def names(self, directory: str) -> Sequence[tuple[str, int]]: ...


@dataclass(frozen=True)
class Retention:
    """How much history is kept."""

    keep: int
    max_bytes: int


@dataclass(frozen=True)
class Remit:
    """Whose SSH keys and password are managed here, and by path which other job of the agent writes it."""

    user: str
    owned: Callable[[], Mapping[str, str]] = dict


@dataclass(frozen=True)
class Intent:
    """A rendered config with the disruption policy that goes with it, and why it is to be applied.

    `held` is the config that is left by going back. With `force`, what others have added against it is taken away too;
    with `reboot`, the node reboots whatever the policy says; with `wait`, a reboot is left to whoever asked for it.
    """

    rendered: Rendered
    policy: Policy
    cause: str = "apply"
    held: str = ""
    force: bool = False
    reboot: bool = False
    wait: bool = False


class Job:
    """Machine configuration of one node. The caller holds the store's lock around everything that writes."""

    def __init__(
        self,
        node: Node,
        store: Store,
        check: Callable[[Sequence[Change]], None],
        executor: Callable[[], Executor],
        remit: Remit,
        retention: Retention,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.node = node
        self.store = store
        self._check = check
        self._executor = executor
        self._remit = remit
        self._retention = retention
        self._clock = clock
        self._known: tuple[tuple[int, ...], Applied] | None = None

    # -- state --------------------------------------------------------------------------------------------------------

    def applied(self) -> Applied:
        """What is applied; nothing on a node that the agent has never touched."""
        stamp = self.store.stamp(STATE_FILE)
        if self._known is None or self._known[0] != stamp:
            data = self.store.read(STATE_FILE)
            self._known = stamp, Applied() if data is None else Applied.decode(data)
        return self._known[1]

    def generations(self) -> tuple[Generation, ...]:
        """All kept generations, oldest first."""
        names = (name for name, _ in self.store.names(history.DIRECTORY) if history.number_of(name) is not None)
        return tuple(self._generation(name) for name in sorted(names))

    def _generation(self, name: str) -> Generation:
        return Generation.decode(self.store.read(f"{history.DIRECTORY}/{name}") or b"", name)

    def generation(self, number: int) -> Generation:
        """One kept generation; Rejected, naming those that are kept, if it is not there."""
        name = history.file_name(number)
        if self.store.read(f"{history.DIRECTORY}/{name}") is None:
            kept = ", ".join(str(number) for number, _ in self._numbers()) or "none"
            raise Rejected([Problem("history", "", f"there is no generation {number}", f"kept are: 0, {kept}")])
        return self._generation(name)

    def _numbers(self) -> list[tuple[int, str]]:
        names = [name for name, _ in self.store.names(history.DIRECTORY)]
        return sorted((number, name) for name in names if (number := history.number_of(name)) is not None)

    # -- planning -----------------------------------------------------------------------------------------------------

    def propose(self, intent: Intent) -> Proposal:
        """Plan the way to `intent`; Rejected with every reason if the node cannot have it."""
        from nodeagent.machineconfig.proposal import Purpose, propose  # noqa: PLC0415 - see above

        applied = self.applied()
        desired = self.resolve(intent.rendered, applied)
        if intent.force:
            desired = replace(desired, unwanted=inspection.unwanted(self.node, applied))
        situation = self._situation(desired, applied, intent.policy)
        proposal = propose(
            desired,
            applied,
            intent.policy,
            situation,
            Purpose(self._next(applied), intent.held, intent.reboot, intent.wait),
        )
        return self._with_history(proposal, applied, intent, situation)

    def resolve(self, rendered: Rendered, applied: Applied) -> Desired:
        """What the node should have under `rendered`."""
        from nodeagent.machineconfig.resolve import resolve  # noqa: PLC0415 - see above

        today = int(self._clock()) // _DAY
        return resolve(rendered, self.node, applied, user=self._remit.user, today=today, owned=self._remit.owned())

    def _next(self, applied: Applied) -> int:
        newest = max((number for number, _ in self._numbers()), default=0)
        return max(applied.generation, newest) + 1

    def _situation(self, desired: Desired, applied: Applied, policy: Policy) -> Situation:
        from nodeagent.machineconfig.planner import paths_of_interest  # noqa: PLC0415 - see above
        from nodeagent.machineconfig.proposal import Situation, vendor_path  # noqa: PLC0415

        actors = {path: declared.actor for path, declared in desired.paths.items() if declared.actor is not None}
        restarted = sorted(policy.services())
        interest = (
            *paths_of_interest(desired, applied),
            f"{self.store.path}/{STATE_FILE}",
            *map(vendor_path, restarted),
        )
        return Situation(
            observed=self.node.states(interest, actors),
            units=self.node.unit_states(restarted),
            originals=self.node.original,
            owner=self.node.owner,
            running=self.node.running,
            boot=self.node.boot,
            now=self._clock(),
            state_dir=self.store.path,
            foreign_dropins=tuple(inspection.dropins(self.node, desired.units)),
        )

    def _with_history(self, proposal: Proposal, applied: Applied, intent: Intent, situation: Situation) -> Proposal:
        """The proposal with a record of the new generation, if it makes one."""
        if proposal.applied.generation == applied.generation:
            return proposal
        from nodeagent.machineconfig import policydocument  # noqa: PLC0415 - see above
        from nodeagent.machineconfig.proposal import state_file  # noqa: PLC0415

        generation = Generation(
            number=proposal.applied.generation,
            config=proposal.applied.config,
            cause=intent.cause,
            when=situation.now,
            plan=proposal.plan.fingerprint,
            changes=tuple(change.describe() for change in proposal.plan.steps),
            rendered=intent.rendered.encode(),
            provenance=dict(intent.rendered.provenance),
            policy=policydocument.document_of(intent.policy),
        )
        path = f"{self.store.path}/{history.DIRECTORY}/{generation.name}"
        record = state_file(path, generation.encode(), situation)
        return replace(proposal, plan=proposal.plan.recording(record))

    def intent_of(self, number: int) -> Intent:
        """What generation `number` was; 0 is the node as it was before the agent came."""
        from nodeagent.machineconfig import policydocument  # noqa: PLC0415 - see above
        from nodeagent.machineconfig.render import EMPTY, Rendered  # noqa: PLC0415

        if number == 0:
            return Intent(EMPTY("worker"), Policy())
        generation = self.generation(number)
        rendered = replace(Rendered.from_document(generation.document()), provenance=generation.provenance)
        return Intent(rendered, policydocument.from_document(generation.policy))

    def rollback(self, number: int | None) -> Intent:
        """What to apply to go back to generation `number`, or to the one before the current.

        What is current is held: the daemon does not apply it again until the sources change.
        """
        applied = self.applied()
        if number is None:
            earlier = [each for each, _ in self._numbers() if each < applied.generation]
            number = earlier[-1] if earlier else 0
        intent = self.intent_of(number)
        return replace(intent, cause=f"rollback to generation {number}", held=applied.config)

    def remedy(self, paths: Collection[str]) -> Plan:
        """Plan to put single drifted paths right, as the current generation declares them."""
        from nodeagent.machineconfig.proposal import remedy  # noqa: PLC0415 - see above

        applied = self.applied()
        intent = self.intent_of(applied.generation)
        desired = replace(self.resolve(intent.rendered, applied), unwanted=inspection.unwanted(self.node, applied))
        return remedy(desired, applied, intent.policy, self._situation(desired, applied, intent.policy), paths)

    def check(self, plan: Plan) -> None:
        """Rejected, with every problem, if the node cannot take the plan; nothing is touched."""
        self._check(plan.reversible)

    # -- doing --------------------------------------------------------------------------------------------------------

    def apply(self, plan: Plan, progress: Callable[[Progress], None]) -> Outcome:
        """Carry a plan out, then drop history that has expired."""
        outcome = self._executor().execute(plan, f"{time.time_ns():020d}", progress)
        if outcome.result is Result.APPLIED:
            self._expire()
            if self.node.labelled:
                self._adopt_labels()
        return outcome

    def recover(self) -> tuple[Outcome, ...]:
        """Finish or take back what an earlier process left half-done."""
        return self._executor().recover()

    def _adopt_labels(self) -> None:
        """From now on, what SELinux has labelled new paths with is what they must have."""
        applied = self.applied()
        states = self.node.states(applied.entries)
        entries = {path: entry.labelled(states[path]) for path, entry in applied.entries.items()}
        if entries != applied.entries:
            self.store.write(STATE_FILE, replace(applied, entries=entries).encode())

    def _expire(self) -> None:
        current = self.applied().generation
        kept = self._retention
        for name in history.expired(self.store.names(history.DIRECTORY), current, kept.keep, kept.max_bytes):
            self.store.remove(f"{history.DIRECTORY}/{name}")

    def confirm(self) -> bool:
        """After a reboot: the pending config is what the node booted with. True if there was one to confirm.

        Broken if the node has booted and does not have what was applied.
        """
        applied = self.applied()
        if applied.pending is None or applied.pending.boot == self.node.boot:
            return False
        findings = inspection.look_at_paths(self.node, applied, inspection.paths(applied))
        if findings:
            named = ", ".join(sorted({finding.path for finding in findings})[:5])
            raise Broken(f"the node has rebooted into {applied.config}, but differs from it: {named}")
        self.store.write(STATE_FILE, replace(applied, pending=None).encode())
        return True
