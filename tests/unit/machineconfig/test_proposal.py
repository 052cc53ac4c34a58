"""Which actions follow a change, what brings services back, and what a plan records."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import cast

from nodeagent.changes.files import FileChange, Phase, WriteFile
from nodeagent.changes.units import DaemonReload, Reboot, ReloadUnit, RestartUnit, StopUnit
from nodeagent.machineconfig.applied import STATE_FILE, Account, Applied, Kernel, Pending, Subject, Unit
from nodeagent.machineconfig.desired import Declared, Desired, File
from nodeagent.machineconfig.disruption import Action, ActionType, Policy
from nodeagent.machineconfig.planner import paths_of_interest
from nodeagent.machineconfig.proposal import Proposal, Purpose, Situation, propose, remedy, vendor_path
from nodeagent.observed.files import FileState, FileType
from nodeagent.observed.units import UnitState
from tests.fakes.disk import Disk

RESTART_X = (Action(ActionType.RESTART, "x.service"),)
POLICY = Policy(
    files={"/etc/x.conf": RESTART_X, "/etc/y.conf": (Action(ActionType.RELOAD, "y.service"),)},
    units={"x.service": (Action(ActionType.DAEMON_RELOAD), *RESTART_X)},
)


def file(path: str, unit: str = "") -> tuple[str, Declared]:
    subject = Subject.UNIT if unit else Subject.FILE
    return path, File(subject=subject, data=b"new", mode=0o644, uid=0, gid=0, unit=unit)


UNIT_X = file("/etc/systemd/system/x.service", "x.service")


def desired(*paths: tuple[str, Declared], config: str = "render-a") -> Desired:
    units = {declared.unit: Unit() for _, declared in paths if declared.unit}
    return Desired(config, dict(paths), units, Account(), Kernel())


def situation(
    wanted: Desired, applied: Applied, disk: Disk, units: Mapping[str, str] | None = None, *, running: bool = True
) -> Situation:
    states = {name: UnitState(name, "loaded", active, "", "") for name, active in (units or {}).items()}
    observed = disk.observe(paths_of_interest(wanted, applied))
    return Situation(observed, states, disk.originals.__getitem__, (0, 0), running, "boot-1", 7.0, "/state")


def proposal(
    *paths: tuple[str, Declared],
    applied: Applied = Applied(),  # noqa: B008 - frozen
    units: Mapping[str, str] | None = None,
    running: bool = True,
    reboot: bool = False,
) -> Proposal:
    wanted = desired(*paths)
    around = situation(wanted, applied, Disk(), units, running=running)
    return propose(wanted, applied, POLICY, around, Purpose(applied.generation + 1, reboot=reboot))


def removal(active: str, *vendor: str) -> Proposal:
    """A plan that takes x.service away again, where `vendor` units come with packages."""
    disk, wanted = Disk(), desired(UNIT_X)
    first = propose(wanted, Applied(), POLICY, situation(wanted, Applied(), disk), Purpose(1))
    disk.carry_out(cast("tuple[FileChange, ...]", first.plan.reversible))
    none = desired(config="render-b")
    around = situation(none, first.applied, disk, {"x.service": active})
    standing = {vendor_path(unit): FileState(FileType.FILE) for unit in vendor}
    return propose(none, first.applied, POLICY, replace(around, observed={**around.observed, **standing}), Purpose(2))


def test_a_unit_that_goes_is_stopped_and_not_restarted() -> None:
    assert removal("active").plan.forward == (DaemonReload(), StopUnit("x.service"))
    assert removal("active").plan.compensations == (DaemonReload(), RestartUnit("x.service"))
    assert removal("inactive").plan.forward == (DaemonReload(),)
    assert removal("active", "x.service").plan.forward == (DaemonReload(), RestartUnit("x.service"))


def test_a_changed_unit_is_read_again_before_it_is_restarted() -> None:
    assert proposal(UNIT_X).plan.forward == (DaemonReload(), RestartUnit("x.service"))


def test_actions_are_in_a_stable_order_and_stand_once() -> None:
    plan = proposal(file("/etc/y.conf"), file("/etc/x.conf"), UNIT_X).plan
    assert plan.forward == (DaemonReload(), ReloadUnit("y.service"), RestartUnit("x.service"))


def test_a_unit_that_no_policy_names_reboots_and_the_reboot_is_last() -> None:
    found = proposal(file("/etc/systemd/system/z.service", "z.service"), file("/etc/x.conf"))
    assert found.plan.final == Reboot("z.service, /etc/x.conf")
    assert found.plan.steps[-1] == found.plan.final
    assert found.plan.forward == (DaemonReload(),)
    assert found.applied.pending == Pending("boot-1", "z.service, /etc/x.conf", 7.0)


def test_where_no_systemd_runs_actions_are_predicted_and_not_made() -> None:
    found = proposal(file("/etc/x.conf"), running=False)
    assert found.actions == RESTART_X
    assert found.plan.forward == ()


def test_after_an_undo_each_unit_runs_as_it_ran_before() -> None:
    up = proposal(UNIT_X, units={"x.service": "active"}).plan.compensations
    down = proposal(UNIT_X, units={"x.service": "inactive"}).plan.compensations
    assert up == (DaemonReload(), RestartUnit("x.service"))
    assert down == (DaemonReload(), StopUnit("x.service"))


def test_each_change_tells_the_actions_it_causes() -> None:
    found = proposal(file("/etc/x.conf"), file("/etc/plain"))
    predicted = {change.facts()["path"]: actions for change, actions in found.predicted.items()}
    assert predicted["/etc/x.conf"] == RESTART_X
    assert predicted["/etc/plain"] == (Action(ActionType.NONE),)


def test_the_new_state_is_recorded_in_the_same_batch_and_is_no_part_of_the_fingerprint() -> None:
    first, again = proposal(UNIT_X), proposal(UNIT_X)
    record = first.plan.records[0]
    assert isinstance(record, WriteFile)
    assert (record.path, record.mode, record.phase) == (f"/state/{STATE_FILE}", 0o600, Phase.RECORD)
    assert Applied.decode(record.data) == first.applied
    assert first.plan.fingerprint == again.plan.fingerprint
    assert first.plan.reversible[-1] == record


def test_nothing_to_do_is_an_empty_plan_without_records() -> None:
    applied = replace(proposal().applied)
    assert not proposal(applied=applied).plan
    assert proposal(applied=applied).plan.records == ()


def test_a_forced_reboot_needs_no_change() -> None:
    applied = proposal().applied
    found = proposal(applied=applied, reboot=True)
    assert found.plan.final == Reboot("asked for")
    assert bool(found.plan)


def test_a_reboot_of_an_earlier_boot_is_pending_no_more() -> None:
    applied = replace(proposal().applied, pending=Pending("boot-0", "x", 1.0))
    assert proposal(applied=applied).applied.pending is None
    assert proposal(applied=replace(applied, pending=Pending("boot-1", "x", 1.0))).applied.pending is not None


def test_a_remedy_takes_only_its_paths_and_their_actions_and_never_reboots() -> None:
    wanted = desired(file("/etc/x.conf"), file("/etc/systemd/system/z.service", "z.service"))
    around = situation(wanted, Applied(), Disk())
    plan = remedy(wanted, Applied(), POLICY, around, {"/etc/x.conf"})
    assert [change.facts().get("path") for change in plan.reversible] == ["/etc/x.conf"]
    assert plan.forward == (RestartUnit("x.service"),)
    assert (plan.final, plan.records) == (None, ())
    assert remedy(wanted, Applied(), POLICY, around, {"/etc/systemd/system/z.service"}).final is None


def test_a_unit_that_systemd_has_not_read_is_put_right_by_reading_it() -> None:
    wanted = desired()
    around = situation(wanted, Applied(), Disk())
    assert remedy(wanted, Applied(), POLICY, around, {"unit:x.service"}).changes == (DaemonReload(),)
