"""The daemon's decisions, round by round, on a real scratch root."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from nodeagent.agent import intent
from nodeagent.engine.report import State
from nodeagent.errors import Transient
from nodeagent.machineconfig.applied import STATE_FILE, Pending
from nodeagent.machineconfig.surroundings import Absence
from nodeagent.observed.writers import Writer
from tests.fakes.daemon import PERIODS, Daemon, daemon
from tests.unit.cli.conftest import HEAD, machine_config


@dataclass(frozen=True)
class Rule:
    path: str
    action: str


def declare(found: Daemon, text: str, path: str = "/etc/x") -> None:
    (found.source / "50-x.yaml").write_text(machine_config("50-x", (path, text)))


def test_what_the_sources_declare_is_applied_and_reported(tmp_path: Path) -> None:
    with daemon(tmp_path) as one:
        declare(one, "declared")
        report = one.tick()
        assert (one.root / "etc/x").read_text() == "declared"
        assert (report.state, report.reason) == (State.DONE, "")
        assert one.recorder.outcomes == ["applied"]
        assert str(one.root / "etc/x") in one.recorder.watched


def test_a_round_with_nothing_new_changes_nothing_and_says_when_it_looks_again(tmp_path: Path) -> None:
    with daemon(tmp_path) as one:
        declare(one, "declared")
        one.tick()
        assert 0 < one.controller.tick() <= 60.0
        assert one.recorder.outcomes == ["applied"]


def test_changed_sources_are_applied(tmp_path: Path) -> None:
    with daemon(tmp_path) as one:
        declare(one, "one")
        one.tick()
        declare(one, "two")
        one.sources_changed()
        assert (one.root / "etc/x").read_text() == "two"


def test_bad_sources_leave_the_node_as_it_is_and_say_why(tmp_path: Path) -> None:
    with daemon(tmp_path) as one:
        declare(one, "one")
        one.tick()
        (one.source / "50-x.yaml").write_text("kind: [")
        report = one.sources_changed()
        assert report.state is State.DEGRADED
        assert "50-x.yaml" in report.reason
        (one.root / "etc/x").write_text("edited")
        one.touch("/etc/x")
        one.tick()
        assert one.drift() == [("/etc/x", "content")]
        declare(one, "one")
        (one.root / "etc/x").write_text("one")
        one.touch("/etc/x")
        assert one.sources_changed().state is State.DONE


def test_what_the_node_cannot_have_is_unreconcilable_and_not_tried_again(tmp_path: Path) -> None:
    with daemon(tmp_path) as one:
        declare(one, "x", "/run/x")
        report = one.tick()
        assert report.state is State.UNRECONCILABLE
        assert "/run/x" in report.reason
        one.tick()
        assert one.recorder.outcomes == ["rejected"]
        declare(one, "x")
        assert one.sources_changed().state is State.DONE


def test_going_back_to_what_is_applied_ends_the_trouble_of_a_config_that_failed(tmp_path: Path) -> None:
    with daemon(tmp_path) as one:
        declare(one, "good")
        one.tick()
        declare(one, "bad", "/run/x")
        assert one.sources_changed().state is State.UNRECONCILABLE
        declare(one, "good")
        assert one.sources_changed().state is State.DONE


def test_a_failure_ends_when_somebody_mends_the_node_and_applies(tmp_path: Path) -> None:
    with daemon(tmp_path) as one:
        (one.root / "etc/x").mkdir()
        declare(one, "x")
        assert one.tick().state is State.UNRECONCILABLE
        (one.root / "etc/x").rmdir()
        job = one.place.job
        with one.place.store.locked(5.0):
            job.apply(job.propose(intent([str(one.source)], "worker")[0]).plan, lambda _: None)
        one.touch("/var/lib/nodeagent/applied.json")
        assert one.tick().state is State.DONE


def test_what_was_refused_is_tried_again_when_the_sources_are_read_again(tmp_path: Path) -> None:
    with daemon(tmp_path, periods=replace(PERIODS, resync=0.0)) as one:
        (one.root / "etc/x").mkdir()
        declare(one, "x")
        assert one.tick().state is State.UNRECONCILABLE
        (one.root / "etc/x").rmdir()
        assert one.tick().state is State.DONE


def test_a_reboot_that_an_administrator_put_off_is_not_made(tmp_path: Path) -> None:
    with daemon(tmp_path) as one:
        declare(one, "one")
        one.tick()
        applied = replace(one.place.job.applied(), pending=Pending(one.place.node.boot, "asked for", 1.0, wait=True))
        one.place.store.write(STATE_FILE, applied.encode())
        assert (one.tick().state, one.recorder.reboots) == (State.WORKING, 0)


def test_drift_degrades_the_node_with_who_did_it_until_it_is_resolved(tmp_path: Path) -> None:
    with daemon(tmp_path) as one:
        declare(one, "declared")
        one.tick()
        file = one.root / "etc/x"
        file.write_text("edited")
        one.recorder.known[str(file)] = Writer(1.0, 7, "vi", "/usr/bin/vi", user="root")
        one.touch("/etc/x")
        report = one.tick()
        assert report.state is State.DEGRADED
        assert "/etc/x" in report.reason
        assert "vi (/usr/bin/vi) as root" in report.reason
        file.write_text("declared")
        one.touch("/etc/x")
        assert one.tick().state is State.DONE
        assert [len(change.closed) for change in one.recorder.changes] == [0, 1]


def test_an_alert_keeps_new_configs_away(tmp_path: Path) -> None:
    with daemon(tmp_path) as one:
        declare(one, "one")
        one.tick()
        (one.root / "etc/x").write_text("edited")
        one.touch("/etc/x")
        one.tick()
        declare(one, "two")
        one.sources_changed()
        assert (one.root / "etc/x").read_text() == "edited"


def test_drift_outlives_a_restart_with_its_writer(tmp_path: Path) -> None:
    with daemon(tmp_path) as one:
        declare(one, "declared")
        one.tick()
        file = one.root / "etc/x"
        file.write_text("edited")
        one.recorder.known[str(file)] = Writer(1.0, 7, "vi")
        one.touch("/etc/x")
        one.tick()
        before = one.recorder.report.detail["drift"]
    with daemon(tmp_path) as again:
        assert again.tick().state is State.DEGRADED
        assert json.dumps(again.recorder.report.detail["drift"]) == json.dumps(before)


def test_an_edit_while_the_daemon_was_down_is_found_and_nobody_is_guessed(tmp_path: Path) -> None:
    with daemon(tmp_path) as one:
        declare(one, "declared")
        one.tick()
    (tmp_path / "root/etc/x").write_text("edited")
    with daemon(tmp_path) as again:
        again.tick()
        assert again.drift() == [("/etc/x", "content")]
        assert again.recorder.report.detail["drift"][0]["unknown"] == "nobody was watching"


def test_a_sweep_finds_what_no_event_told_of(tmp_path: Path) -> None:
    with daemon(tmp_path, periods=replace(PERIODS, sweep=0.0)) as one:
        declare(one, "declared")
        one.tick()
        (one.root / "etc/x").chmod(0o666)
        one.tick()
        assert one.drift() == [("/etc/x", "mode")]


def test_an_overflow_leads_to_a_look_at_everything(tmp_path: Path) -> None:
    with daemon(tmp_path) as one:
        declare(one, "declared")
        one.tick()
        (one.root / "etc/x").unlink()
        one.controller.woken([], overflow=True)
        one.tick()
        assert one.drift() == [("/etc/x", "missing")]


def test_the_policy_remediate_puts_a_path_right_and_records_it(tmp_path: Path) -> None:
    with daemon(tmp_path, Rule("/etc/x", "remediate")) as one:
        declare(one, "declared")
        one.tick()
        (one.root / "etc/x").write_text("edited")
        one.touch("/etc/x")
        assert one.tick().state is State.DONE
        assert (one.root / "etc/x").read_text() == "declared"
        assert [drift.finding.path for drift in one.recorder.remedied_drifts] == ["/etc/x"]


def test_remediation_leaves_other_drift_alone(tmp_path: Path) -> None:
    with daemon(tmp_path, Rule("/etc/x", "remediate")) as one:
        (one.source / "a.yaml").write_text(machine_config("50-x", ("/etc/x", "x"), ("/etc/y", "y")))
        one.tick()
        (one.root / "etc/x").write_text("edited")
        (one.root / "etc/y").write_text("edited")
        one.touch("/etc/x", "/etc/y")
        assert one.tick().state is State.DEGRADED
        assert (one.root / "etc/x").read_text() == "x"
        assert (one.root / "etc/y").read_text() == "edited"


def test_a_path_that_somebody_keeps_changing_becomes_an_alert(tmp_path: Path) -> None:
    with daemon(tmp_path, Rule("/etc/x", "remediate")) as one:
        declare(one, "declared")
        one.tick()
        for round_ in range(6):
            (one.root / "etc/x").write_text(f"edited {round_}")
            one.touch("/etc/x")
            report = one.tick()
        assert report.state is State.DEGRADED
        assert (one.root / "etc/x").read_text() == "edited 5"
        assert len(one.recorder.remedied_drifts) == 5


def test_the_policy_ignore_reports_and_does_nothing(tmp_path: Path) -> None:
    with daemon(tmp_path, Rule("/etc/*", "ignore")) as one:
        declare(one, "declared")
        one.tick()
        (one.root / "etc/x").write_text("edited")
        one.touch("/etc/x")
        assert one.tick().state is State.DONE
        assert one.drift() == [("/etc/x", "content")]


def test_the_force_file_applies_again_is_gone_and_asks_for_a_reboot(tmp_path: Path) -> None:
    with daemon(tmp_path) as one:
        declare(one, "declared")
        one.tick()
        (one.root / "etc/x").write_text("edited")
        (one.root / "run").mkdir()
        (one.root / "run/machine-config-daemon-force").touch()
        one.touch("/run/machine-config-daemon-force", "/etc/x")
        one.tick()
        assert (one.root / "etc/x").read_text() == "declared"
        assert not (one.root / "run/machine-config-daemon-force").exists()


def test_what_was_rolled_back_from_is_held_until_the_sources_change(tmp_path: Path) -> None:
    with daemon(tmp_path) as one:
        declare(one, "one")
        one.tick()
        declare(one, "two")
        one.sources_changed()
        job = one.place.job
        with one.place.store.locked(5.0):
            job.apply(job.propose(job.rollback(None)).plan, lambda _: None)
        one.sources_changed()
        assert (one.root / "etc/x").read_text() == "one"
        declare(one, "three")
        one.sources_changed()
        assert (one.root / "etc/x").read_text() == "three"


def pretend_a_reboot_is_pending(one: Daemon, boot: str) -> None:
    applied = replace(one.place.job.applied(), pending=Pending(boot, "kernel arguments", 1.0))
    one.place.store.write(STATE_FILE, applied.encode())


@pytest.mark.parametrize("may_reboot", [True, False])
def test_a_pending_reboot_is_made_or_stays_visible(tmp_path: Path, may_reboot: bool) -> None:
    with daemon(tmp_path, may_reboot=may_reboot) as one:
        declare(one, "one")
        one.tick()
        pretend_a_reboot_is_pending(one, one.place.node.boot)
        report = one.tick()
        assert (report.state, one.recorder.reboots) == (State.WORKING, int(may_reboot))
        assert report.reason == (
            "rebooting: kernel arguments" if may_reboot else "a reboot is pending: kernel arguments"
        )


def test_a_reboot_is_confirmed_by_another_boot_id_and_a_look(tmp_path: Path) -> None:
    with daemon(tmp_path) as one:
        declare(one, "one")
        one.tick()
        pretend_a_reboot_is_pending(one, "an earlier boot")
    with daemon(tmp_path) as again:
        assert again.tick().state is State.DONE
        assert again.place.job.applied().pending is None


def test_a_reboot_into_something_else_is_not_confirmed(tmp_path: Path) -> None:
    with daemon(tmp_path) as one:
        declare(one, "one")
        one.tick()
        pretend_a_reboot_is_pending(one, "an earlier boot")
    (tmp_path / "root/etc/x").write_text("edited")
    with daemon(tmp_path) as again:
        report = again.tick()
        assert report.state is State.DEGRADED
        assert "differs from it: /etc/x" in report.reason


def test_the_config_of_no_machineconfig_at_all_is_applied_too(tmp_path: Path) -> None:
    with daemon(tmp_path) as one:
        declare(one, "one")
        one.tick()
        (one.source / "50-x.yaml").write_text(HEAD.format(name="00-empty"))
        one.sources_changed()
        assert not (one.root / "etc/x").exists()


DRAINS = """
apiVersion: machineconfiguration.alauda.io/v1alpha1
kind: MachineConfiguration
metadata: {name: cluster}
spec:
  nodeDisruptionPolicy:
    files: [{path: /etc/x, actions: [{type: Drain}]}]
"""


def test_what_asks_for_a_drain_waits_until_the_workloads_are_away(tmp_path: Path) -> None:
    with daemon(tmp_path) as one:
        (one.source / "policy.yaml").write_text(DRAINS)
        declare(one, "x")
        one.recorder.absence = Absence.LEAVING
        report = one.tick()
        assert (report.state, report.cause) == (State.WORKING, "Draining")
        assert not (one.root / "etc/x").exists()
        one.recorder.absence = Absence.OVERDUE
        report = one.tick()
        assert (report.state, report.cause) == (State.DEGRADED, "NotDrained")
        one.recorder.absence = Absence.GONE
        assert one.tick().state is State.DONE
        assert (one.root / "etc/x").read_text() == "x"
        assert one.recorder.asked == [f"drain-{report.detail['desired']}"] * 3 + ["uncordon"]


def test_a_config_that_is_not_wanted_any_more_lets_the_workloads_come_back(tmp_path: Path) -> None:
    with daemon(tmp_path) as one:
        declare(one, "x", "/etc/y")
        assert one.tick().state is State.DONE
        (one.source / "policy.yaml").write_text(DRAINS)
        (one.source / "60-x.yaml").write_text(machine_config("60-x", ("/etc/x", "x")))
        one.recorder.absence = Absence.LEAVING
        assert one.sources_changed().cause == "Draining"
        (one.source / "60-x.yaml").unlink()
        assert one.sources_changed().state is State.DONE
        assert one.recorder.asked[-1] == "uncordon"


def test_what_disrupts_nothing_and_what_cannot_be_applied_moves_no_workload(tmp_path: Path) -> None:
    with daemon(tmp_path) as one:
        declare(one, "x")
        one.tick()
        declare(one, "x", "/run/x")
        assert one.sources_changed().state is State.UNRECONCILABLE
        assert one.recorder.asked == []


def test_nothing_declared_leaves_the_node_alone(tmp_path: Path) -> None:
    with daemon(tmp_path) as one:
        one.controller._around = replace(one.controller._around, load=lambda: None)
        report = one.tick()
        assert (report.state, report.detail["config"], one.recorder.outcomes) == (State.DONE, "", [])


def test_what_is_out_of_reach_is_tried_again_and_drift_is_followed_meanwhile(tmp_path: Path) -> None:
    def away() -> None:
        raise Transient("nobody answers")

    with daemon(tmp_path) as one:
        declare(one, "x")
        one.tick()
        one.controller._around = replace(one.controller._around, load=away)
        one.controller.declared_anew()
        report = one.tick()
        assert (report.state, report.cause) == (State.WORKING, "Postponed")
        (one.root / "etc/x").write_text("edited")
        one.touch("/etc/x")
        assert one.tick().cause == "Drift"
        assert one.controller.tick() <= 20.0
