"""The state directory: private, made only when something is to be written, replaced whole, locked while in use."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from nodeagent.errors import Broken, Transient
from nodeagent.host.store import Store
from nodeagent.host.tree import Tree, UnsafeLink
from tests.capabilities import require

STATE = "/var/lib/nodeagent"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "root").mkdir()
    return tmp_path / "root"


@pytest.fixture
def store(root: Path) -> Iterator[Store]:
    with Tree(str(root)) as tree:
        store = Store(tree, STATE)
        yield store
        store.close()


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_reading_makes_nothing(store: Store, root: Path) -> None:
    assert store.read("applied.json") is None
    assert store.names("generations") == ()
    assert store.stamp("applied.json") == ()
    assert not store.is_locked("lock")
    assert not store.prepared
    assert list(root.iterdir()) == []


def test_the_directory_is_ours_alone_and_its_parents_are_not(store: Store, root: Path) -> None:
    old = os.umask(0)
    try:
        store.prepare()
    finally:
        os.umask(old)
    state = root / STATE[1:]
    assert [_mode(path) for path in (state, *state.iterdir())] == [0o700] * 4
    assert [_mode(path) for path in (root / "var", root / "var/lib")] == [0o755] * 2
    assert store.prepare() == store.prepare()


@pytest.mark.parametrize("mode", [0o755, 0o770, 0o701])
def test_a_directory_that_others_may_enter_is_refused(store: Store, root: Path, mode: int) -> None:
    (root / STATE[1:]).mkdir(parents=True)
    (root / STATE[1:]).chmod(mode)
    with pytest.raises(Broken, match=r"must belong to uid \d+ with mode 0700") as failure:
        store.prepare()
    assert str(root / STATE[1:]) in str(failure.value)


def test_a_directory_that_others_own_is_refused(store: Store, root: Path) -> None:
    require("root")
    (root / STATE[1:]).mkdir(parents=True, mode=0o700)
    os.chown(root / STATE[1:], 1234, 1234)
    with pytest.raises(Broken, match="must belong to uid 0"):
        store.prepare()


def test_a_link_that_others_own_is_refused(store: Store, root: Path) -> None:
    require("root")
    (root / "elsewhere").mkdir(mode=0o700)
    (root / "var" / "lib").mkdir(parents=True)
    (root / STATE[1:]).symlink_to("/elsewhere")
    os.lchown(root / STATE[1:], 1234, 1234)
    with pytest.raises(UnsafeLink):
        store.prepare()
    assert list((root / "elsewhere").iterdir()) == []


def test_the_way_to_the_directory_survives_a_power_cut(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    flushed: list[str] = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: flushed.append(os.readlink(f"/proc/self/fd/{descriptor}")))
    store.prepare()
    assert [os.path.basename(path) for path in flushed] == ["root", "var", "lib"] + ["nodeagent"] * 3


def test_what_is_written_is_read_and_private(store: Store, root: Path) -> None:
    store.prepare()
    for data in (b"one", b"two" * 1000):
        store.write("applied.json", data)
        assert store.read("applied.json") == data
    assert _mode(root / STATE[1:] / "applied.json") == 0o600
    assert ("applied.json", 3000) in store.names("")


def test_bytes_are_on_disk_before_they_take_the_name(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.prepare()
    store.write("applied.json", b"old")

    def fail(_: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="Input/output error"):
        store.write("applied.json", b"new")
    monkeypatch.undo()
    assert store.read("applied.json") == b"old"
    assert "applied.json" in dict(store.names(""))
    store.write("applied.json", b"new")
    assert store.read("applied.json") == b"new"


def test_a_link_in_a_files_place_is_replaced_and_never_followed(store: Store, root: Path) -> None:
    store.prepare()
    (root / "victim").write_bytes(b"theirs")
    for name in ("applied.json", ".applied.json.new"):
        (root / STATE[1:] / name).symlink_to(root / "victim")
    with pytest.raises(OSError, match="symbolic links"):
        store.read("applied.json")
    store.write("applied.json", b"ours")
    assert store.read("applied.json") == b"ours"
    assert (root / "victim").read_bytes() == b"theirs"


def test_names_are_sorted_and_hide_what_is_half_written(store: Store, root: Path) -> None:
    store.prepare()
    for name, size in (("2.json", 2), ("1.json", 1), (".3.json.new", 3)):
        (root / STATE[1:] / "generations" / name).write_bytes(b"x" * size)
    assert store.names("generations") == (("1.json", 1), ("2.json", 2))


def test_removing_twice_is_fine(store: Store) -> None:
    store.prepare()
    store.write("fetched/x", b"")
    store.remove("fetched/x")
    store.remove("fetched/x")
    assert store.read("fetched/x") is None


def test_the_stamp_changes_with_each_write(store: Store) -> None:
    store.prepare()
    stamps = []
    for _ in range(3):
        store.write("applied.json", b"same")
        stamps.append(store.stamp("applied.json"))
    assert len(set(stamps)) == 3


_HOLDER = """
import sys
from nodeagent.host.store import Store
from nodeagent.host.tree import Tree
with Tree(sys.argv[1]) as tree:
    with Store(tree, sys.argv[2]).locked(0):
        print("held", flush=True)
        sys.stdin.read()
"""


@pytest.fixture
def held(root: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the lock until its standard input ends."""
    command = [sys.executable, "-c", _HOLDER, str(root), STATE]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process


def test_the_lock_is_held_by_one_process(store: Store, held: subprocess.Popen[str]) -> None:
    assert store.is_locked("lock")
    with pytest.raises(Transient, match="another nodeagent"), store.locked(0.1):
        pytest.fail("two hold the lock")


def test_the_lock_goes_with_its_process(store: Store, held: subprocess.Popen[str]) -> None:
    held.kill()
    held.wait(10)
    assert not store.is_locked("lock")
    with store.locked(0):
        assert store.is_locked("lock")
    assert not store.is_locked("lock")


def test_locks_of_different_names_do_not_meet(store: Store) -> None:
    with store.locked(0, "lock"), store.locked(0, "other"):
        assert store.is_locked("lock")
        assert not store.is_locked("third")


def test_a_failure_under_the_lock_gives_it_back(store: Store) -> None:
    with pytest.raises(ValueError, match="stop"), store.locked(0):
        raise ValueError("stop")
    with store.locked(0):
        pass
