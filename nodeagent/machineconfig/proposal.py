"""From what is desired and what is there to a plan: changes, the actions that follow, the agent's own records. Pure.

Actions follow the disruption policy. A plan that changes units always ends by having systemd read its unit files again,
whatever the policy says, since nothing else would be true of the node until then.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial

from nodeagent.changes.boot import RegenerateBootMenu
from nodeagent.changes.files import FileChange, KeepOriginal, Phase, Trace, WriteFile
from nodeagent.changes.units import (
    UNIT_DIRECTORY,
    DaemonReload,
    Reboot,
    ReloadUnit,
    RestartUnit,
    StopUnit,
    UnitChange,
)
from nodeagent.engine.plan import Change, Plan
from nodeagent.machineconfig.applied import STATE_FILE, Applied, Entry, Pending, Subject
from nodeagent.machineconfig.desired import Desired
from nodeagent.machineconfig.disruption import (
    Action,
    ActionType,
    Changed,
    Policy,
    action_for_file,
    action_for_unit,
    actions,
)
from nodeagent.machineconfig.drift import UNIT_PREFIX
from nodeagent.machineconfig.planner import Difference, difference
from nodeagent.observed.files import ABSENT, FileState, FileType
from nodeagent.observed.units import UnitState

_UNIT_SUBJECTS = (Subject.UNIT, Subject.DROPIN, Subject.MASK, Subject.ENABLEMENT)


@dataclass(frozen=True)
class Situation:
    """Everything about the node that planning depends on.

    `observed` has the state of all paths of interest and of the state file; `units` those that actions may touch.
    `now` is in seconds since the epoch.
    """

    observed: Mapping[str, FileState]
    units: Mapping[str, UnitState]
    originals: Callable[[str], bytes]
    owner: tuple[int, int]
    running: bool
    boot: str
    now: float
    state_dir: str
    foreign_dropins: tuple[tuple[str, str], ...] = ()  # (unit, path)


@dataclass(frozen=True)
class Proposal:
    """A plan, what will be true once it is carried out, and the actions that the policy asks for.

    `actions` are predicted even where they cannot be made because the root is not that of a running system.
    """

    plan: Plan
    applied: Applied
    actions: tuple[Action, ...]
    foresee: Callable[[], Mapping[Change, tuple[Action, ...]]] = field(repr=False)

    @cached_property
    def predicted(self) -> Mapping[Change, tuple[Action, ...]]:
        """The actions that each single change asks for; found when somebody wants to see them."""
        return self.foresee()


@dataclass(frozen=True)
class Purpose:
    """What a plan is for: the number that a new config will have, the config that is left.

    With `reboot` the node reboots whatever the policy says; with `wait` a reboot stays pending until somebody makes it.
    """

    generation: int
    held: str = ""
    reboot: bool = False
    wait: bool = False


def propose(desired: Desired, applied: Applied, policy: Policy, situation: Situation, purpose: Purpose) -> Proposal:
    """Plan the way from what is there to `desired`; Rejected if something that may not be replaced is in the way."""
    found = difference(desired, applied, situation.observed, situation.originals, situation.owner)
    changed = _changed(found.changes, found.entries, applied, desired)
    taken = actions(replace(changed, force=purpose.reboot), policy)
    after = _after(desired, applied, found, purpose, situation)
    forward, final = _forward(found.changes, changed, taken, desired, situation)
    if final is not None:
        after = replace(after, pending=Pending(situation.boot, final.why, situation.now, purpose.wait))
    plan = Plan.of(
        [*found.changes, *forward],
        records=() if after == applied else (_record(after, situation),),
        compensations=_compensations(forward, situation),
        final=final,
    )
    return Proposal(plan, after, taken, partial(_predict, found.changes, found.entries, applied, policy))


def remedy(desired: Desired, applied: Applied, policy: Policy, situation: Situation, paths: Collection[str]) -> Plan:
    """Plan to put single drifted paths right, and the actions that follow them; never a reboot.

    A unit ("unit:<name>") is put right by having systemd read its files again.
    """
    found = difference(desired, applied, situation.observed, situation.originals, situation.owner)
    chosen = tuple(change for change in found.changes if change.path in paths)
    changed = _changed(chosen, found.entries, applied, desired)
    forward, _ = _forward(chosen, changed, actions(changed, policy), desired, situation)
    if situation.running and any(path.startswith(UNIT_PREFIX) for path in paths):
        forward.append(DaemonReload())
    return Plan.of([*chosen, *forward], compensations=_compensations(forward, situation))


def _after(desired: Desired, applied: Applied, found: Difference, purpose: Purpose, situation: Situation) -> Applied:
    same = replace(
        applied,
        config=desired.config,
        entries=found.entries,
        units=desired.units,
        account=desired.account,
        kernel=desired.kernel,
        removed=found.removed,
        held=purpose.held,
        pending=_still_pending(applied.pending, situation.boot),
        foreign_dropins=_foreign(desired, applied, situation),
    )
    if same == applied:
        return applied
    return same if desired.config == applied.config else replace(same, generation=purpose.generation)


def _still_pending(pending: Pending | None, boot: str) -> Pending | None:
    """A reboot is pending until the node has another boot id; the plan then makes sure of the rest."""
    return pending if pending is not None and pending.boot == boot else None


def _foreign(desired: Desired, applied: Applied, situation: Situation) -> tuple[str, ...]:
    """Dropins of others: those that stood beside a unit when it was first managed, for as long as they stand."""
    standing = {path: unit for unit, path in situation.foreign_dropins}
    ours = {*desired.paths, *applied.entries}
    known = {path for path in applied.foreign_dropins if path in standing}
    first_seen = {path for path, unit in standing.items() if unit not in applied.units and path not in ours}
    return tuple(sorted(known | first_seen))


def _changed(
    changes: Sequence[FileChange], entries: Mapping[str, Entry], applied: Applied, desired: Desired
) -> Changed:
    """What the disruption policy wants to know."""
    files, units, ssh, kernel = set[str](), set[str](), False, desired.kernel != applied.kernel
    for change in changes:
        if _incidental(change, entries, applied):
            continue
        unit = _unit_of(change.path, entries, applied)
        if unit:
            units.add(unit)
        elif change.phase == Phase.ACCOUNT:
            ssh = True
        elif change.phase == Phase.KERNEL:
            kernel = True
        else:
            files.add(change.path)
    return Changed(files=tuple(sorted(files)), units=tuple(sorted(units)), ssh=ssh, kernel_arguments=kernel)


def _incidental(change: FileChange, entries: Mapping[str, Entry], applied: Applied) -> bool:
    """Whether a change only serves another one: an original that is kept, a directory for what is declared in it."""
    entry = entries.get(change.path) or applied.entries.get(change.path)
    return isinstance(change, KeepOriginal) or (entry is not None and entry.subject is Subject.PARENT)


def _unit_of(path: str, entries: Mapping[str, Entry], applied: Applied) -> str:
    entry = entries.get(path) or applied.entries.get(path)
    return entry.unit if entry is not None and entry.subject in _UNIT_SUBJECTS else ""


def _forward(
    changes: Sequence[FileChange],
    changed: Changed,
    taken: Sequence[Action],
    desired: Desired,
    situation: Situation,
) -> tuple[list[Change], Reboot | None]:
    """The forward changes that follow, and the reboot if one is needed."""
    forward: list[Change] = []
    if desired.boot_menu and (desired.stale_menu or changed.kernel_arguments):
        forward.append(RegenerateBootMenu(desired.boot_menu))
    if not situation.running:
        return forward, None
    if any(change.path.startswith(UNIT_DIRECTORY + "/") for change in changes):
        forward.append(DaemonReload())
    gone = _gone(changes, situation)
    forward += [change for action in taken if (change := _unit_change(action, gone, situation)) is not None]
    reboot = any(action.type is ActionType.REBOOT for action in taken)
    return forward, Reboot(_why(changed)) if reboot else None


def vendor_path(unit: str) -> str:
    """Where a distribution's package puts a unit."""
    return f"/usr/lib/systemd/system/{unit}"


def _gone(changes: Sequence[FileChange], situation: Situation) -> frozenset[str]:
    """Units that cannot be started any more: masked, or their file goes and no package brings another."""
    ours = {posixpath.basename(each.path): each for each in changes if posixpath.dirname(each.path) == UNIT_DIRECTORY}
    return frozenset(unit for unit, change in ours.items() if _cannot_start(unit, change.after, situation))


def _cannot_start(unit: str, after: Trace, situation: Situation) -> bool:
    if after.type is FileType.ABSENT:
        return situation.observed.get(vendor_path(unit), ABSENT).type is FileType.ABSENT
    return after.type is FileType.LINK and after.target == "/dev/null"


def _unit_change(action: Action, gone: frozenset[str], situation: Situation) -> UnitChange | None:
    """What an action comes to; a unit that is gone cannot be started again, so it is only stopped."""
    match action.type:
        case ActionType.RESTART | ActionType.RELOAD if action.service in gone:
            return StopUnit(action.service) if _is_up(action.service, situation) else None
        case ActionType.DAEMON_RELOAD:
            return DaemonReload()
        case ActionType.RELOAD:
            return ReloadUnit(action.service)
        case ActionType.RESTART:
            return RestartUnit(action.service)
        case _:
            return None  # nothing to do, the coordinator's to do, or the point of no return


def _why(changed: Changed) -> str:
    """What made the reboot necessary, in a few words."""
    causes = ["kernel arguments"] if changed.kernel_arguments else []
    causes += [*changed.units, *changed.files]
    shown = causes[:3] + ([f"{len(causes) - 3} more"] if len(causes) > 3 else [])
    return ", ".join(shown) or "asked for"


def _compensations(forward: Sequence[Change], situation: Situation) -> list[Change]:
    """What brings services back after an undo: each unit runs again as it ran before."""
    bring_back: list[Change] = []
    for change in forward:
        match change:
            case DaemonReload() | RegenerateBootMenu() | ReloadUnit():
                bring_back.append(change)
            case RestartUnit():
                bring_back.append(change if _is_up(change.unit, situation) else StopUnit(change.unit))
            case StopUnit():
                bring_back.append(RestartUnit(change.unit))
    return bring_back


def _is_up(unit: str, situation: Situation) -> bool:
    state = situation.units.get(unit)
    return state is not None and state.active in ("active", "reloading", "activating")


def _record(applied: Applied, situation: Situation) -> WriteFile:
    path = f"{situation.state_dir}/{STATE_FILE}"
    return state_file(path, applied.encode(), situation)


def state_file(path: str, data: bytes, situation: Situation) -> WriteFile:
    """One of the agent's own files, written along with the changes."""
    uid, gid = situation.owner
    before = situation.observed.get(path, ABSENT)
    return WriteFile(path=path, before=before, data=data, mode=0o600, uid=uid, gid=gid, phase=Phase.RECORD)


def _predict(
    changes: Sequence[FileChange], entries: Mapping[str, Entry], applied: Applied, policy: Policy
) -> dict[Change, tuple[Action, ...]]:
    """The actions that each single change asks for, for people to see which one causes the reboot."""
    predicted: dict[Change, tuple[Action, ...]] = {}
    for change in changes:
        if _incidental(change, entries, applied):
            continue
        unit = _unit_of(change.path, entries, applied)
        if unit:
            predicted[change] = action_for_unit(unit, policy)
        elif change.phase == Phase.KERNEL:
            predicted[change] = (Action(ActionType.REBOOT),)
        elif change.phase == Phase.ACCOUNT:
            predicted[change] = policy.sshkey
        else:
            predicted[change] = action_for_file(change.path, policy)
    return predicted
