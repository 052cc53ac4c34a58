"""When GRUB's menu is written again: whenever what it is made from, or what it must hold, is another."""

from __future__ import annotations

from collections.abc import Mapping

from nodeagent.changes.boot import RegenerateBootMenu
from nodeagent.changes.files import Trace
from nodeagent.changes.units import Reboot
from nodeagent.machineconfig import grub
from nodeagent.machineconfig.applied import Account, Applied, Entry, Kernel, Original, Subject
from nodeagent.machineconfig.desired import Declared, Desired, File
from nodeagent.machineconfig.disruption import Action, ActionType, Policy
from nodeagent.machineconfig.kernelargs import Wanted
from nodeagent.machineconfig.planner import paths_of_interest
from nodeagent.machineconfig.proposal import Proposal, Purpose, Situation, propose
from tests.fakes.disk import Disk, file_state

OURS = grub.dropin(Wanted(("audit=1",)))
COMMAND = (grub.UPDATE,)
AUDITED = Kernel(("audit=1",))
REBOOT = Reboot("kernel arguments")


def dropin(data: bytes = OURS) -> dict[str, Declared]:
    return {grub.DROPIN: File(subject=Subject.KERNEL, data=data, mode=0o644, uid=0, gid=0)}


def proposal(
    disk: Disk, paths: Mapping[str, Declared], kernel: Kernel, applied: Applied, *, stale_menu: bool = False
) -> Proposal:
    wanted = Desired("render-a", paths, {}, Account(), kernel, COMMAND, stale_menu)
    observed = disk.observe(paths_of_interest(wanted, applied))
    around = Situation(observed, {}, disk.originals.__getitem__, (0, 0), True, "boot-1", 7.0, "/state")
    return propose(wanted, applied, Policy(), around, Purpose(applied.generation + 1))


def audited(original: Original | None = None) -> Applied:
    """What is applied once the drop-in has been written, over what stood there first."""
    entry = Entry(Subject.KERNEL, Trace.of(file_state(OURS)), original=original)
    return Applied(1, "render-a", {grub.DROPIN: entry}, kernel=AUDITED)


def withdrawn(disk: Disk, original: Original | None = None) -> Proposal:
    return proposal(disk, {}, Kernel(), audited(original))


def test_a_new_drop_in_reaches_the_menu_and_reboots() -> None:
    plan = proposal(Disk(), dropin(), AUDITED, Applied()).plan
    assert (plan.forward, plan.final) == ((RegenerateBootMenu(COMMAND),), REBOOT)


def test_what_is_applied_needs_no_menu() -> None:
    disk = Disk()
    disk.write(grub.DROPIN, OURS)
    assert not proposal(disk, dropin(), AUDITED, audited()).plan


def test_a_menu_that_lacks_what_is_applied_is_written_again() -> None:
    disk = Disk()
    disk.write(grub.DROPIN, OURS)
    plan = proposal(disk, dropin(), AUDITED, audited(), stale_menu=True).plan
    assert (plan.forward, plan.final) == ((RegenerateBootMenu(COMMAND),), None)


def test_a_drop_in_that_goes_leaves_the_menu_too() -> None:
    disk = Disk()
    disk.write(grub.DROPIN, OURS)
    found = withdrawn(disk)
    assert (found.plan.forward, found.plan.final) == ((RegenerateBootMenu(COMMAND),), REBOOT)
    assert found.plan.compensations == (RegenerateBootMenu(COMMAND),)


def test_a_drop_in_that_gives_back_another_reaches_the_menu_and_is_told_to_reboot() -> None:
    disk = Disk()
    disk.write(grub.DROPIN, b"theirs")
    original = Original.of(disk.states[grub.DROPIN])
    disk.originals[original.trace.digest] = b"theirs"
    disk.write(grub.DROPIN, OURS)
    found = withdrawn(disk, original)
    assert (found.plan.forward, found.plan.final) == ((RegenerateBootMenu(COMMAND),), REBOOT)
    assert list(found.predicted.values()) == [(Action(ActionType.REBOOT),)]


def test_a_drop_in_that_is_gone_already_still_leaves_the_menu() -> None:
    plan = withdrawn(Disk()).plan
    assert (plan.forward, plan.final) == ((RegenerateBootMenu(COMMAND),), REBOOT)
