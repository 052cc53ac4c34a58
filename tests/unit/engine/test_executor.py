"""The executor ends fully before or fully after a plan, whatever fails and wherever the process dies."""

from __future__ import annotations

import pytest

from nodeagent.engine.executor import Outcome, Progress, Result
from nodeagent.engine.plan import Plan
from nodeagent.errors import Broken, NodeAgentError, Transient
from tests.unit.engine.node import AFTER, BEFORE, PLAN, Act, Faults, Node, PowerCut, Put, node


def _steps() -> list[str]:
    """Every step of an execution that nothing disturbs."""
    faults = Faults()
    assert node().executor(faults).execute(PLAN, "1").result is Result.APPLIED
    return faults.taken


STEPS = _steps()
_COMMITTED = STEPS.index("after committed")
FAILURES = [OSError(28, "No space left on device", "/a"), Transient("a unit is busy"), Broken("a unit does not start")]


def _label(index: int) -> str:
    return f"{index}: {STEPS[index]}"


at_every_step = pytest.mark.parametrize("at", range(len(STEPS)), ids=_label)


def test_an_execution_leaves_the_plan_and_nothing_else() -> None:
    machine = node()
    assert machine.executor().execute(PLAN, "1") == Outcome(Result.APPLIED)
    assert machine.values == AFTER
    assert machine.clean
    assert machine.done == ["act reload", "act restart"]


def test_an_empty_plan_changes_nothing_and_opens_no_journal() -> None:
    faults = Faults()
    assert node().executor(faults).execute(Plan(), "1").result is Result.UNCHANGED
    assert faults.taken == []


def test_the_point_of_no_return_is_reported_and_not_crossed() -> None:
    machine = node()
    outcome = machine.executor().execute(Plan.of(PLAN.changes, final=Act("reboot")), "1")
    assert outcome.final == Act("reboot")
    assert "act reboot" not in machine.done


def test_nothing_is_touched_before_the_inverses_are_on_disk_nor_dropped_before_the_end_is() -> None:
    assert STEPS.index("after begin") < STEPS.index("staged /a")
    assert STEPS.index("after done") < STEPS.index("discard /a")
    assert STEPS[-2:] == ["settle", "remove the journal"]


@at_every_step
def test_after_a_power_cut_recovery_ends_before_or_after(at: int) -> None:
    machine = node()
    with pytest.raises(PowerCut):
        machine.executor(Faults(at)).execute(PLAN, "1")
    machine.executor().recover()
    assert machine.values == (AFTER if at >= _COMMITTED else BEFORE)
    assert machine.clean


@at_every_step
def test_after_a_reboot_what_goes_forward_is_left_to_the_boot(at: int) -> None:
    machine = node()
    with pytest.raises(PowerCut):
        machine.executor(Faults(at)).execute(PLAN, "1")
    done = list(machine.done)
    machine.executor(boot="boot-2").recover()
    assert machine.done == done
    assert machine.values == (AFTER if at >= _COMMITTED else BEFORE)
    assert machine.clean


def test_what_no_boot_does_is_done_after_one() -> None:
    changes = [*PLAN.reversible, Act("menu", lasting=True), Act("restart")]
    steps = Faults()
    node().executor(steps).execute(Plan.of(changes), "1")
    for at in range(len(steps.taken)):
        machine = node()
        with pytest.raises(PowerCut):
            machine.executor(Faults(at)).execute(Plan.of(changes), "1")
        before = list(machine.done)
        machine.executor(boot="boot-2").recover()
        assert machine.clean
        assert "act restart" not in machine.done[len(before) :]
        if machine.values == AFTER:
            assert "act menu" in machine.done


@at_every_step
def test_recovery_may_itself_be_cut_anywhere(at: int) -> None:
    for again in range(len(STEPS)):
        machine = node()
        with pytest.raises(PowerCut):
            machine.executor(Faults(at)).execute(PLAN, "1")
        try:
            machine.executor(Faults(again)).recover()
        except PowerCut:
            machine.executor().recover()
        assert machine.values == (AFTER if at >= _COMMITTED else BEFORE), again
        assert machine.clean, again


@at_every_step
@pytest.mark.parametrize("error", FAILURES, ids=lambda error: type(error).__name__)
def test_a_failure_is_undone_at_once_or_said_to_be_unfinished(at: int, error: Exception) -> None:
    machine = node()
    outcome = _attempt(machine, Faults(at, error))
    if STEPS[at] in ("before done", "after done") or "discard" in STEPS[at] or at >= len(STEPS) - 2:
        assert isinstance(outcome, Broken)
        assert "everything is in place, but cleaning up failed" in str(outcome)
        assert machine.values == AFTER
        machine.executor().recover()
        assert machine.values == AFTER
    else:
        assert machine.values == BEFORE
    assert machine.clean


def _attempt(machine: Node, faults: Faults) -> Outcome | NodeAgentError:
    try:
        return machine.executor(faults).execute(PLAN, "1")
    except NodeAgentError as error:
        return error


@at_every_step
def test_what_cannot_be_undone_is_broken_and_the_journal_stays_until_it_can(at: int) -> None:
    machine = node()
    outcome = _attempt(machine, Faults(at, OSError(5, "Input/output error", "/a"), lasting=True))
    assert isinstance(outcome, Broken)
    machine.executor().recover()
    assert machine.values == (AFTER if at >= _COMMITTED else BEFORE)
    assert machine.clean


def test_the_error_names_what_failed_and_what_became_of_it() -> None:
    outcome = _attempt(node(), Faults(STEPS.index("staged /b"), FAILURES[0]))
    assert str(outcome) == "/a: No space left on device; nothing was changed"


def test_a_failing_undo_tells_both_failures() -> None:
    faults = Faults(STEPS.index("swapped /a"), OSError(5, "Input/output error", "/a"), lasting=True)
    assert str(_attempt(node(), faults)) == (
        "/a: Input/output error; and taking it back failed too: /a: Input/output error; "
        "it is tried again at the next start"
    )


@pytest.mark.parametrize("failing", ["act reload", "act restart"])
def test_a_failing_action_takes_the_batch_back_and_the_services_with_it(failing: str) -> None:
    machine = node()
    outcome = machine.executor(Faults(STEPS.index(failing), Broken("chrony.service failed"))).execute(PLAN, "1")
    assert outcome == Outcome(Result.UNDONE, why="chrony.service failed")
    assert machine.values == BEFORE
    assert machine.done[-1] == "act bring back"
    assert machine.clean


def test_a_failing_compensation_does_not_keep_the_others_from_it() -> None:
    machine = node()
    plan = Plan.of(PLAN.changes, compensations=[Act("one"), Act("two")])

    class Refusing(Faults):
        def step(self, name: str) -> None:
            super().step(name)
            if name in ("act reload", "act one"):
                raise Broken(f"cannot {name}")

    with pytest.raises(Broken, match="cannot act reload; the files are as before, but: could not act one: cannot"):
        machine.executor(Refusing()).execute(plan, "1")
    assert machine.done == ["act two"]
    assert machine.values == BEFORE
    assert machine.clean


def test_a_full_disk_does_not_keep_a_batch_from_being_undone() -> None:
    """The journal cannot grow either, but as long as nothing says `committed` it need not."""
    machine = node()

    class Full(Faults):
        def step(self, name: str) -> None:
            super().step(name)
            if name in ("staged /b", "before undoing"):
                raise OSError(28, "No space left on device", "/b")

    outcome = _attempt(machine, Full())
    assert str(outcome) == "/b: No space left on device; nothing was changed"
    assert machine.values == BEFORE
    assert machine.clean


def test_a_batch_that_may_be_committed_is_not_undone_unannounced() -> None:
    machine = node()

    class Uncertain(Faults):
        def step(self, name: str) -> None:
            super().step(name)
            if name in ("after committed", "before undoing"):
                raise OSError(5, "Input/output error")

    assert isinstance(_attempt(machine, Uncertain()), Broken)
    assert machine.values == AFTER
    assert machine.executor().recover() == (Outcome(Result.RESUMED),)
    assert machine.values == AFTER
    assert machine.clean


def test_what_an_earlier_run_left_open_is_finished_before_anything_is_begun() -> None:
    machine = node()
    with pytest.raises(PowerCut):
        machine.executor(Faults(STEPS.index("swapped /b"))).execute(PLAN, "1")
    other = Plan.of([Put("/c", "new c", "old c")])
    with pytest.raises(Transient, match="plan again"):
        machine.executor().execute(other, "2")
    assert machine.values == BEFORE
    assert machine.executor().execute(other, "2").result is Result.APPLIED
    assert machine.values == BEFORE | {"/c": "new c"}


def test_what_came_last_is_taken_back_first() -> None:
    machine = Node({"/a": "new a", "/b": "new b"}, aside={"/a": "old a", "/b": "old b"})
    for number, name in enumerate("ab"):
        inverses = [Put(f"/{name}", f"new {name}", f"old {name}").facts()]
        begin = {"at": "begin", "boot": "boot-1", "inverses": inverses, "forward": [], "compensations": []}
        machine.journal[str(number)] = [begin]
    taken = Faults()
    machine.executor(taken).recover()
    assert [step for step in taken.taken if step.startswith("undo ")] == ["undo /b", "undo /a"]
    assert machine.values == {"/a": "old a", "/b": "old b"}
    assert machine.clean


def test_recovery_tells_why_a_batch_was_undone() -> None:
    machine = node()
    faults = Faults(STEPS.index("act restart"), Broken("chrony.service failed"))
    with pytest.raises(PowerCut):
        _cut_while_undoing(machine, faults)
    assert machine.executor().recover() == (Outcome(Result.UNDONE, why="chrony.service failed"),)
    assert machine.done[-1] == "act bring back"


def _cut_while_undoing(machine: Node, faults: Faults) -> None:
    class Cut(Faults):
        def step(self, name: str) -> None:
            if name == "undo /a":
                raise PowerCut
            faults.step(name)

    machine.executor(Cut()).execute(PLAN, "1")


def test_a_journal_that_has_lost_its_beginning_is_for_a_person() -> None:
    machine = node()
    machine.journal["1"] = [{"at": "committed"}]
    with pytest.raises(Broken, match="damaged"):
        machine.executor().recover()
    assert "1" in machine.journal


def test_progress_counts_to_the_total() -> None:
    seen: list[Progress] = []
    node().executor().execute(PLAN, "1", seen.append)
    assert seen[0] == Progress(0, 4, "stage")
    assert seen[-1] == Progress(4, 4, "done")
    assert [each.done for each in seen] == sorted(each.done for each in seen)
