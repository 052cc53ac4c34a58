"""`recover`: what an interrupted apply has left is taken back, and nothing else is done."""

from __future__ import annotations

import json
import os

import pytest

from nodeagent.host.effects import LocalEffects
from nodeagent.host.files import ASIDE
from tests.unit.cli.conftest import Node, machine_config

STATE = "var/lib/nodeagent"


def _interrupt_while_settling(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Interrupt the process the `number`-th time that it waits for stable storage; afterwards all is as ever."""
    calls = 0
    settle = LocalEffects.settle

    def interrupted(effects: LocalEffects) -> None:
        nonlocal calls
        calls += 1
        if calls == number:
            raise KeyboardInterrupt
        settle(effects)

    monkeypatch.setattr(LocalEffects, "settle", interrupted)


@pytest.fixture
def declared(node: Node) -> Node:
    (node.root / "etc").mkdir(exist_ok=True)
    (node.root / "etc/two").write_text("as it was")
    node.declare("50-files", machine_config("50-files", ("/etc/one", "declared"), ("/etc/two", "declared")))
    return node


@pytest.mark.parametrize("number", [1, 2], ids=["staged", "put in place"])
def test_what_was_not_committed_is_taken_back(declared: Node, number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    before = declared.tree()
    _interrupt_while_settling(number, monkeypatch)
    declared.apply()
    assert declared.tree() != before
    done = declared("recover")
    assert (done.code, done.out) == (0, "an interrupted change was undone (interrupted before it was whole)\n")
    assert declared.tree() == before
    assert not list((declared.root / STATE).glob("journal.*"))


def test_what_was_committed_is_finished(declared: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    _interrupt_while_settling(3, monkeypatch)
    declared.apply()
    done = declared("recover")
    assert (done.code, done.out) == (0, "an interrupted change was resumed\n")
    assert (declared.root / "etc/two").read_text() == "declared"
    assert not [path for path in declared.root.rglob("*") if path.name.startswith(ASIDE)]
    assert "nothing to do" in declared.apply().out


def test_without_anything_to_recover_nothing_is_done(declared: Node) -> None:
    before = declared.tree()
    done = declared("recover")
    assert (done.code, done.out) == (0, "nothing was interrupted\n")
    assert declared.tree() == before


def test_a_damaged_journal_is_an_error_and_stays(declared: Node) -> None:
    state = declared.root / STATE
    state.mkdir(parents=True, mode=0o700)
    (state / "journal.1").write_bytes(b'\n10e3084b {"at":"committed"}\n')
    done = declared("recover")
    assert done.code == 1
    assert "journal.1" in done.err
    assert (state / "journal.1").exists()


def test_it_tells_the_files_that_a_copy_needs(declared: Node) -> None:
    pytest.importorskip("pystemd")
    needs = json.loads(declared("recover", "--needs").out)
    assert all(os.path.isabs(path) and os.path.isfile(path) for path in needs)
    assert {"systemd_child.py", "executor.py", "os.py"} <= {os.path.basename(path) for path in needs}
    assert any(os.path.basename(path).startswith("libc.") for path in needs)
