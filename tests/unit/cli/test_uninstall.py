"""`nodeagent uninstall` on a node without a cluster."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from nodeagent import agent
from nodeagent.agent.uninstall import carry_out
from nodeagent.changes.leavings import DeleteRows, DropFinalizers
from nodeagent.engine.journal import Journal
from nodeagent.engine.plan import Plan
from nodeagent.host.trackfile import DRAIN, HEARTBEAT, TRACK, TrackFile
from nodeagent.settings import load
from nodeagent.telemetry.status import write_status
from tests.unit.cli.conftest import Node, Result, machine_config


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    path = tmp_path / "run"
    path.mkdir()
    return path


@pytest.fixture
def used(node: Node, run_dir: Path) -> Node:
    """A node whose agent has ended: it has applied a file, tracked health, was asked to drain."""
    node.declare("a", machine_config("50-a", ("/etc/motd", "hello")))
    assert node.apply().code == 0
    track = TrackFile(str(run_dir))
    track.write(-20)
    track.begin_drain(-254)
    write_status(str(run_dir), {"node": "n"})
    return node


def _uninstall(node: Node, run_dir: Path, *words: str) -> Result:
    return node("uninstall", "--run-dir", run_dir, *words)


def test_the_plan_is_shown_and_nothing_happens_without_consent(used: Node, run_dir: Path) -> None:
    before = {path.name: path.read_text() for path in run_dir.iterdir()}
    for words in ((), ("--dry-run",)):
        planned = _uninstall(used, run_dir, *words)
        assert planned.code == 3
        assert f"remove {run_dir}/status.json" in planned.out
        assert f"give up the track file: 0, then remove {DRAIN}, {HEARTBEAT}, {TRACK}" in planned.out
    assert {path.name: path.read_text() for path in run_dir.iterdir()} == before
    document = _uninstall(used, run_dir, "-o", "json").json
    assert [each["change"] for each in document["changes"]] == ["GiveUpTrackFile", "RemoveRunFile"]


def test_it_is_done_with_consent_once_and_managed_files_stay(used: Node, run_dir: Path) -> None:
    tree = used.tree()
    fingerprint = _uninstall(used, run_dir, "-o", "json").json["fingerprint"]
    refused = _uninstall(used, run_dir, "--yes", "--plan", "0" * 32)
    assert (refused.code, f"it now has fingerprint {fingerprint}" in refused.err) == (1, True)
    done = _uninstall(used, run_dir, "--yes", "--plan", fingerprint)
    assert done.code == 0
    assert len(done.out.splitlines()) == 2
    assert list(run_dir.iterdir()) == []
    assert used.tree() == tree
    assert (used.root / "etc/motd").read_text() == "hello"
    assert used("history", "-o", "json").json["current"] == 1
    again = _uninstall(used, run_dir, "--yes")
    assert (again.code, again.out) == (0, "nothing is left\n")
    assert _uninstall(used, run_dir).code == 0


def test_a_document_tells_what_was_done(used: Node, run_dir: Path) -> None:
    done = _uninstall(used, run_dir, "--yes", "-o", "json")
    assert done.code == 0
    assert done.json["failures"] == []
    assert len(done.json["changes"]) == 2


def test_it_is_refused_while_the_daemon_runs(used: Node, run_dir: Path, tmp_path: Path) -> None:
    (empty := tmp_path / "empty.toml").touch()
    settings = load(str(empty), {}, {"root": str(used.root), "run_dir": str(run_dir)})
    with agent.opened(settings) as place, place.store.locked(0, "daemon.lock"):
        for words in ((), ("--yes",)):
            refused = _uninstall(used, run_dir, *words)
            assert refused.code == 1
            assert "systemctl disable --now nodeagent" in refused.err
    assert (run_dir / TRACK).exists()


def test_what_was_interrupted_is_finished_first(used: Node, run_dir: Path) -> None:
    directory = os.open(used.root / "var/lib/nodeagent", os.O_RDONLY)
    with Journal(directory).begin("20260101-1"):
        pass
    assert _uninstall(used, run_dir, "--yes").code == 0
    assert list(Journal(directory).unfinished()) == []
    os.close(directory)


def test_a_node_that_never_had_an_agent_gets_no_state_directory(node: Node, run_dir: Path) -> None:
    done = _uninstall(node, run_dir, "--yes")
    assert (done.code, done.out) == (0, "nothing is left\n")
    assert not (node.root / "var").exists()


def test_a_failure_keeps_no_other_change_away_and_is_told(
    used: Node, run_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(_: TrackFile) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(TrackFile, "give_up", fails)
    done = _uninstall(used, run_dir, "--yes")
    assert done.code == 1
    assert "could not give up the track file" in done.err
    assert not (run_dir / "status.json").exists()


def test_consent_and_a_dry_run_exclude_each_other(node: Node) -> None:
    assert node("uninstall", "--yes", "--dry-run").code == 2


def test_a_cluster_that_cannot_be_reached_is_an_error(node: Node, tmp_path: Path) -> None:
    assert node("uninstall", "--cluster", "--cluster-kubeconfig", tmp_path / "none").code == 1


def test_a_finalizer_stays_where_rows_do(tmp_path: Path) -> None:
    (empty := tmp_path / "empty.toml").touch()
    rows, finalizer = DeleteRows("ns/gw", ("a row",)), DropFinalizers("/apis/x/v1/gateways/gw", ("nodeagent.io/rows",))
    failures = carry_out(load(str(empty), {}, {}), Plan.of([finalizer, rows]), lambda _: None)
    assert [each.partition(":")[0] for each in failures] == [
        "could not delete all rows of ours (1) of gateway ns/gw from the northbound database",
        "did not drop nodeagent.io/rows from /apis/x/v1/gateways/gw, since rows are left",
    ]
