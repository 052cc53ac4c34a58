"""State that an earlier agent has left is read; what a later one has left is refused, with a clear word, and untouched.

`format1/` is what the first version wrote. Should a test here fail because a file is written differently now, the
format needs another number, and the old files stay.
"""

from __future__ import annotations

import json
import shutil
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from nodeagent.agent.certrotator import STATE, _decoded
from nodeagent.cli.main import main
from nodeagent.engine import formats
from nodeagent.engine.executor import Executor, Result
from nodeagent.engine.journal import Journal
from nodeagent.errors import Broken
from nodeagent.host.effects import LocalEffects
from nodeagent.host.store import Store
from nodeagent.host.systemd import Systemd
from nodeagent.host.tree import Tree
from nodeagent.machineconfig import assignment, baseline
from nodeagent.machineconfig.applied import Applied
from nodeagent.machineconfig.assignment import Assignment
from nodeagent.machineconfig.drift import Ledger
from nodeagent.machineconfig.history import Generation
from tests.unit.cli.conftest import machine_config

KEPT = Path(__file__).with_name("format1")
JOURNAL = "journal.00000003"
AGAIN: dict[str, Callable[[bytes], bytes]] = {
    "applied.json": lambda data: Applied.decode(data).encode(),
    "generations/00000001.json": lambda data: Generation.decode(data, "00000001.json").encode(),
    "drift.json": lambda data: Ledger.decode(data).encode(),
}


@pytest.mark.parametrize("name", AGAIN)
def test_what_the_first_version_wrote_is_read_and_written_as_it_was(name: str) -> None:
    data = (KEPT / name).read_bytes()
    assert AGAIN[name](data) == data


@pytest.mark.parametrize("name", AGAIN)
def test_what_a_later_version_wrote_is_refused(name: str) -> None:
    data = (KEPT / name).read_bytes()
    with pytest.raises(Broken, match=r"has format 2, .* knows formats up to 1: a later version wrote it.*docs/upgrade"):
        AGAIN[name](data.replace(b'"format":1', b'"format":2'))


@pytest.mark.parametrize("name", ["generations/00000001.json", "drift.json"])
def test_what_has_no_number_is_the_first_format(name: str) -> None:
    data = (KEPT / name).read_bytes()
    assert AGAIN[name](data.replace(b',"format":1', b"").replace(b'"format":1,', b"")) == data


def test_drift_that_was_a_mere_list_is_read() -> None:
    data = (KEPT / "drift.json").read_bytes()
    assert Ledger.decode(json.dumps(json.loads(data)["drifts"]).encode()).encode() == data


def test_a_later_layout_is_no_damage() -> None:
    with pytest.raises(Broken, match=r"generations/00000001\.json has format 2"):
        Generation.decode(b'{"format":2,"id":1}\nof\nfour\nlines\n', "00000001.json")


class _Cache(dict[str, bytes]):
    """The state directory, in memory."""

    read = dict.get

    def write(self, name: str, data: bytes) -> None:
        self[name] = data


class _Away:
    """A cluster that has not been seen yet, so that the copy is all there is."""

    def node(self) -> None:
        return None

    def policy(self) -> None:
        return None

    def rendered(self, name: str) -> None:
        raise AssertionError(name)


def test_the_copy_of_the_assignment_is_read_and_a_later_one_is_fetched_again() -> None:
    data = (KEPT / assignment.COPY).read_bytes()
    intent = Assignment(_Away(), _Cache({assignment.COPY: data})).load()
    assert intent is not None
    assert intent.rendered.name == "render-worker-x"
    later = _Cache({assignment.COPY: data.replace(b'"format":1', b'"format":2')})
    assert Assignment(_Away(), later).load() is None


def test_fingerprints_are_read_and_those_of_another_layout_are_made_anew() -> None:
    data = (KEPT / baseline.FILE).read_bytes()
    known = baseline.load(_Cache({baseline.FILE: data}))
    assert known["/etc/motd"][:2] == (66305, 1234)
    kept = _Cache()
    baseline.save(kept, known)
    assert kept[baseline.FILE] == data
    assert baseline.load(_Cache({baseline.FILE: b'{"format":2,"paths":' + data + b"}"})) == {}


@pytest.mark.parametrize("found", [0, -1, 2, True, "1", 1.5, [], {}])
def test_a_number_that_is_none_of_ours_is_refused(found: object) -> None:
    with pytest.raises(Broken):
        formats.refuse_later("a file", found)


def _executor(tree: Tree) -> Executor:
    store = Store(tree, "/state")
    return Executor(Journal(store.prepare()), LocalEffects(tree, "/state/originals", Systemd(1.0)), "boot-1")


def _journalled(root: Path, data: bytes) -> Path:
    """A node on which an agent was killed before it put anything in place."""
    (root / "etc").mkdir()
    state = root / "state"
    state.mkdir(0o700)
    (state / JOURNAL).write_bytes(data)
    return state / JOURNAL


def test_an_interrupted_change_of_the_first_version_is_taken_back(tmp_path: Path) -> None:
    journal = _journalled(tmp_path, (KEPT / JOURNAL).read_bytes())
    with Tree(str(tmp_path)) as tree:
        (outcome,) = _executor(tree).recover()
    assert outcome.result is Result.UNDONE
    assert not journal.exists()
    assert list((tmp_path / "etc").iterdir()) == []


def test_an_interrupted_change_of_a_later_version_is_left_to_it(tmp_path: Path) -> None:
    journal = _journalled(tmp_path, _later((KEPT / JOURNAL).read_bytes()))
    before = journal.read_bytes()
    with Tree(str(tmp_path)) as tree, pytest.raises(Broken, match=rf"{JOURNAL} has format 2"):
        _executor(tree).recover()
    assert journal.read_bytes() == before


@pytest.mark.parametrize("later_id", ["00000002", "00000004"])
def test_nothing_is_taken_back_beside_a_journal_of_a_later_version(tmp_path: Path, later_id: str) -> None:
    """Whichever of the two is newer: a clock that was set back gives ids that do not sort by age."""
    data = (KEPT / JOURNAL).read_bytes()
    ours = _journalled(tmp_path, data)
    theirs = ours.with_name(f"journal.{later_id}")
    theirs.write_bytes(_later(data))
    aside = tmp_path / "etc/.nodeagent-00000003-0"
    aside.write_text("staged")
    with Tree(str(tmp_path)) as tree, pytest.raises(Broken, match=rf"journal\.{later_id} has format 2"):
        _executor(tree).recover()
    assert (ours.read_bytes(), theirs.read_bytes(), aside.read_text()) == (data, _later(data), "staged")


def _later(journal: bytes) -> bytes:
    """The journal as of the next format, in the frame that never changes."""
    text = journal.strip().partition(b" ")[2].replace(b'"format":1', b'"format":2')
    return b"\n%08x %s\n" % (zlib.crc32(text), text)


@pytest.mark.parametrize(
    ("command", "name"),
    [
        ("apply", "applied.json"),
        ("verify", "applied.json"),
        ("apply", JOURNAL),
        ("recover", JOURNAL),
        ("history", "generations/00000001.json"),
    ],
)
def test_a_command_says_what_is_wrong_and_touches_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str, name: str
) -> None:
    state = tmp_path / "var/lib/nodeagent"
    (state / "generations").mkdir(parents=True)
    state.chmod(0o700)
    (state / "generations").chmod(0o700)
    data = (KEPT / name).read_bytes()
    (state / name).write_bytes(_later(data) if name == JOURNAL else data.replace(b'"format":1', b'"format":2'))
    before = (state / name).read_bytes()
    assert main([command, "--root", str(tmp_path), *(["--source", str(tmp_path)] if command == "apply" else [])]) == 1
    assert f"{name} has format 2" in capsys.readouterr().err
    assert (state / name).read_bytes() == before


def test_what_the_daemon_keeps_of_certificates_is_refused_as_well() -> None:
    with pytest.raises(Broken, match=f"{STATE} has format 2"):
        _decoded(b'{"format": 2}')
    assert _decoded(b'{"stopped": {}}') == {"stopped": {}}
    assert _decoded((KEPT / STATE).read_bytes())["stopped"]["why"] == "etcd did not come back"


def test_the_way_back_to_an_earlier_version_is_a_copy_of_its_state(tmp_path: Path) -> None:
    """As docs/upgrade.md says: stop, put the copy back, start the earlier version."""
    root, source = tmp_path / "root", tmp_path / "source"
    (root / "etc").mkdir(parents=True)
    source.mkdir()
    (source / "a.yaml").write_text(machine_config("50-a", ("/etc/a.conf", "one")))
    state, kept = root / "var/lib/nodeagent", tmp_path / "kept"
    assert main(["apply", str(source), "--root", str(root)]) == 0
    shutil.copytree(state, kept)
    applied = state / "applied.json"
    applied.write_bytes(applied.read_bytes().replace(b'"format":1', b'"format":2'))
    assert main(["verify", "--root", str(root)]) == 1
    shutil.rmtree(state)
    shutil.copytree(kept, state)
    assert main(["verify", "--root", str(root)]) == 0
    assert main(["rollback", "0", "--root", str(root)]) == 0
    assert not (root / "etc/a.conf").exists()
