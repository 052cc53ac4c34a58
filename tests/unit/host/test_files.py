"""File changes on real files: put in place whole, taken back whole, and never anywhere else.

Random batches are in test_files_model, races in test_files_races; interruption by system call is in tests/crash.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import pytest

from nodeagent.changes.files import Actor, FileChange, Phase, Trace
from nodeagent.errors import Transient
from nodeagent.host.files import ASIDE
from tests.capabilities import require
from tests.crash.scenario import acl
from tests.crash.snapshot import difference, inodes, snapshot
from tests.unit.host.scratch import Scratch

Seen = TypeVar("Seen")


@pytest.fixture
def scratch(tmp_path: Path) -> Iterator[Scratch]:
    scratch = Scratch(tmp_path / "root")
    (scratch.root / "etc").mkdir()
    scratch.at("/etc/old").write_bytes(b"old\n")
    yield scratch
    scratch.close()


@contextmanager
def _unchanged(scratch: Scratch) -> Iterator[None]:
    """All is as before afterwards, inode by inode, but for kept originals."""
    before, numbers = _without_originals(snapshot(scratch.root)), _without_originals(inodes(scratch.root))
    yield
    assert difference(_without_originals(snapshot(scratch.root)), before) == ""
    assert _without_originals(inodes(scratch.root)) == numbers


def _without_originals(seen: Mapping[str, Seen]) -> dict[str, Seen]:
    return {path: what for path, what in seen.items() if not path.startswith("/state/originals/")}


CHANGES: dict[str, Callable[[Scratch], list[FileChange]]] = {
    "new file": lambda scratch: [scratch.write("/etc/new", b"x", 0o4755)],
    "empty file": lambda scratch: [scratch.write("/etc/new", b"", 0o600)],
    "replaced file": lambda scratch: [scratch.write("/etc/old", b"x")],
    "file for link": lambda scratch: [scratch.write("/etc/link", b"x")],
    "new link": lambda scratch: [scratch.link("/etc/new", "old")],
    "replaced link": lambda scratch: [scratch.link("/etc/link", "elsewhere")],
    "link for file": lambda scratch: [scratch.link("/etc/old", "elsewhere")],
    "new hard link": lambda scratch: [scratch.hard_link("/etc/new", "/etc/old")],
    "hard link for file": lambda scratch: [scratch.hard_link("/etc/other", "/etc/old")],
    "hard link for a file alike": lambda scratch: [scratch.hard_link("/etc/alike", "/etc/old")],
    "new directories": lambda scratch: [scratch.directory("/etc/a", 0o2775), scratch.directory("/etc/a/b")],
    "mode of a file": lambda scratch: [scratch.metadata("/etc/old", 0o4711)],
    "mode of a directory": lambda scratch: [scratch.metadata("/etc/full", 0o700)],
    "removed file": lambda scratch: [scratch.removal("/etc/old")],
    "removed link": lambda scratch: [scratch.removal("/etc/link")],
    "removed empty directory": lambda scratch: [scratch.removal("/etc/empty")],
    "removed directory with a file": lambda scratch: [scratch.removal("/etc/full/x"), scratch.removal("/etc/full")],
    "kept original": lambda scratch: [scratch.original("/etc/old"), scratch.write("/etc/old", b"x")],
}

each_change = pytest.mark.parametrize("name", CHANGES)


def _furnish(scratch: Scratch) -> None:
    scratch.at("/etc/other").write_bytes(b"other\n")
    scratch.at("/etc/alike").write_bytes(b"old\n")
    scratch.at("/etc/link").symlink_to("old")
    scratch.at("/etc/empty").mkdir(0o750)
    scratch.at("/etc/full").mkdir()
    scratch.at("/etc/full/x").write_bytes(b"full\n")


@each_change
def test_what_is_in_place_is_what_the_change_says(scratch: Scratch, name: str) -> None:
    _furnish(scratch)
    changes = CHANGES[name](scratch)
    scratch.carry_out(*changes)
    for change in changes:
        if not name.startswith("kept"):
            assert Trace.of(scratch.state(change.path)) == change.after
    assert not [path for path in snapshot(scratch.root) if ASIDE in path]


@each_change
def test_undone_at_any_point_all_is_as_it_was(scratch: Scratch, name: str) -> None:
    _furnish(scratch)
    changes = CHANGES[name](scratch)
    for staged in range(len(changes) + 1):
        for committed in range(len(changes) + 1 if staged == len(changes) else 1):
            batch = scratch.batch(*CHANGES[name](scratch), transaction=f"{staged}-{committed}")
            with _unchanged(scratch):
                batch.stage(staged)
                batch.commit(committed)
                batch.undo_elsewhere()
                batch.undo_elsewhere()


def test_nothing_shows_before_it_is_put_in_place(scratch: Scratch) -> None:
    batch = scratch.batch(scratch.write("/etc/old"), scratch.write("/etc/new"), scratch.removal("/etc/old"))
    before = snapshot(scratch.root)
    batch.stage()
    staged = {path: item for path, item in snapshot(scratch.root).items() if ASIDE not in path}
    assert difference(staged, before) == ""


def test_a_staged_file_is_private_until_it_has_its_bytes_and_mode(
    scratch: Scratch, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    write: Callable[[int, bytes], int] = os.write

    def watched(descriptor: int, data: bytes) -> int:
        seen.append(os.fstat(descriptor).st_mode & 0o7777)
        return write(descriptor, data)

    monkeypatch.setattr(os, "write", watched)
    scratch.batch(scratch.write("/etc/new", b"secret", 0o644)).stage()
    assert seen == [0o600]


def test_a_hard_link_to_a_file_of_the_same_batch_shares_its_new_bytes(scratch: Scratch) -> None:
    new, old = scratch.write("/etc/zz", b"new"), scratch.write("/etc/old", b"newer")
    links = [scratch.hard_link("/etc/a", "/etc/zz"), scratch.hard_link("/etc/b", "/etc/old")]
    scratch.carry_out(new, old, *links)
    assert scratch.at("/etc/a").read_bytes() == b"new"
    assert scratch.at("/etc/b").read_bytes() == b"newer"
    assert scratch.at("/etc/a").stat().st_ino == scratch.at("/etc/zz").stat().st_ino
    assert scratch.at("/etc/b").stat().st_ino == scratch.at("/etc/old").stat().st_ino


def test_a_hard_link_to_what_is_planned_after_it_shares_its_new_bytes(scratch: Scratch) -> None:
    unit = scratch.write("/etc/new.service", b"[Unit]", phase=Phase.UNIT)
    scratch.carry_out(scratch.hard_link("/etc/alias", "/etc/new.service"), unit)
    assert scratch.at("/etc/alias").read_bytes() == b"[Unit]"


def test_two_names_of_one_inode_may_both_be_changed(scratch: Scratch) -> None:
    os.link(scratch.at("/etc/old"), scratch.at("/etc/twin"))
    scratch.carry_out(scratch.metadata("/etc/old", 0o600), scratch.write("/etc/twin", b"alone"), transaction="1")
    os.link(scratch.at("/etc/old"), scratch.at("/etc/again"))
    scratch.carry_out(scratch.metadata("/etc/again", 0o640), scratch.metadata("/etc/old", 0o640), transaction="2")
    assert scratch.state("/etc/old").mode == scratch.state("/etc/again").mode == 0o640


def test_a_directory_may_change_with_what_is_in_it(scratch: Scratch) -> None:
    scratch.carry_out(scratch.metadata("/etc", 0o711), scratch.write("/etc/new"), scratch.removal("/etc/old"))
    assert scratch.state("/etc").mode == 0o711


def test_attributes_are_given_and_taken_back(scratch: Scratch) -> None:
    os.setxattr(scratch.at("/etc/old"), *acl(0o640)[0])
    os.setxattr(scratch.at("/etc/old"), "user.theirs", b"stays")
    with _unchanged(scratch):
        batch = scratch.batch(scratch.metadata("/etc/old", 0o644))
        batch.stage()
        batch.commit()
        assert scratch.state("/etc/old").xattrs == ()
        assert os.getxattr(scratch.at("/etc/old"), "user.theirs") == b"stays"
        batch.undo_elsewhere()
    scratch.carry_out(scratch.write("/etc/new", mode=0o640, xattrs=acl(0o640)), transaction="2")
    assert scratch.state("/etc/new").xattrs == acl(0o640)


def test_capabilities_and_set_id_bits_outlive_write_and_change_of_owner(scratch: Scratch) -> None:
    require("root")
    ping = (("security.capability", bytes.fromhex("0100000200200000000000000000000000000000")),)
    scratch.carry_out(scratch.write("/etc/ping", b"#!", 0o6755, uid=1234, gid=1234, xattrs=ping))
    state = scratch.state("/etc/ping")
    assert (state.xattrs, state.mode, state.uid) == (ping, 0o6755, 1234)
    scratch.carry_out(scratch.metadata("/etc/ping", 0o4755, uid=99, gid=99, xattrs=ping), transaction="2")
    state = scratch.state("/etc/ping")
    assert (state.xattrs, state.mode, state.uid) == (ping, 0o4755, 99)


def test_a_directory_that_somebody_has_put_something_into_stays(scratch: Scratch) -> None:
    _furnish(scratch)
    batch = scratch.batch(scratch.removal("/etc/full/x"), scratch.removal("/etc/full"))
    batch.stage()
    batch.commit()
    scratch.at("/etc/full/theirs").write_bytes(b"theirs")
    batch.discard()
    assert os.listdir(scratch.at("/etc/full")) == ["theirs"]


def test_a_new_directory_that_somebody_has_put_something_into_stays(scratch: Scratch) -> None:
    batch = scratch.batch(scratch.directory("/etc/new"), scratch.write("/etc/new/ours"))
    batch.stage()
    batch.commit()
    scratch.at("/etc/new/theirs").write_bytes(b"theirs")
    batch.undo()
    assert os.listdir(scratch.at("/etc/new")) == ["theirs"]


def test_directories_that_somebody_else_makes_meanwhile_stay(scratch: Scratch) -> None:
    batch = scratch.batch(scratch.directory("/etc/a"), scratch.directory("/etc/a/b"), scratch.directory("/etc/0"))
    scratch.at("/etc/a/b").mkdir(parents=True)
    with _unchanged(scratch):
        with pytest.raises(Transient, match="/etc/a: changed while the plan was being applied"):
            batch.stage()
        batch.undo()


def test_what_an_undo_replaces_is_what_the_batch_had_put_there(scratch: Scratch) -> None:
    """Not what somebody has put in the place of a new file since."""
    batch = scratch.batch(scratch.write("/etc/new"), scratch.write("/etc/old", b"x"))
    batch.stage()
    batch.commit()
    scratch.at("/etc/new").write_bytes(b"theirs")
    batch.undo_elsewhere()
    assert scratch.at("/etc/new").read_bytes() == b"theirs"
    assert scratch.at("/etc/old").read_bytes() == b"old\n"


def test_metadata_is_not_set_back_on_what_somebody_else_has_put_there(scratch: Scratch) -> None:
    batch = scratch.batch(scratch.metadata("/etc/old", 0o600))
    batch.stage()
    batch.commit()
    scratch.at("/etc/theirs").write_bytes(b"their secret")
    scratch.at("/etc/theirs").chmod(0o600)
    scratch.at("/etc/theirs").rename(scratch.at("/etc/old"))
    batch.undo_elsewhere()
    assert scratch.state("/etc/old").mode == 0o600


def test_metadata_that_somebody_else_has_set_since_stays(scratch: Scratch) -> None:
    batch = scratch.batch(scratch.metadata("/etc", 0o711), scratch.metadata("/etc/old", 0o600))
    scratch.at("/etc/old").chmod(0o640)
    with _unchanged(scratch):
        batch.stage()
        with pytest.raises(Transient, match="/etc/old: changed"):
            batch.commit()
        batch.undo_elsewhere()


def test_metadata_is_set_back_from_half_way(scratch: Scratch) -> None:
    require("root")
    scratch.at("/etc/old").chmod(0o6711)
    with _unchanged(scratch):
        batch = scratch.batch(scratch.metadata("/etc/old", 0o755, uid=1234, gid=1234))
        os.chown(scratch.at("/etc/old"), 1234, 1234)  # which clears the set-id bits
        assert scratch.state("/etc/old").mode == 0o711
        batch.undo_elsewhere()


def test_what_comes_back_to_a_removed_path_gives_way_to_what_was_there(scratch: Scratch) -> None:
    batch = scratch.batch(scratch.removal("/etc/old"))
    batch.stage()
    batch.commit()
    scratch.at("/etc/old").write_bytes(b"recreated")
    for _ in range(2):
        batch.undo_elsewhere()
        assert scratch.at("/etc/old").read_bytes() == b"old\n"
    assert os.listdir(scratch.at("/etc")) == ["old"]


@pytest.mark.parametrize("name", ["fifo", "directory", "link", "gone"])
def test_a_target_that_has_become_something_else_is_left_alone(scratch: Scratch, name: str) -> None:
    changes: tuple[FileChange, ...] = (
        scratch.write("/etc/old"),
        scratch.removal("/etc/old"),
        scratch.metadata("/etc/old", 0o600),
    )
    path = scratch.at("/etc/old")
    path.unlink()
    put: dict[str, Callable[[], object]] = {
        "fifo": lambda: os.mkfifo(path),
        "directory": path.mkdir,
        "link": lambda: path.symlink_to("/etc/passwd"),
        "gone": lambda: None,
    }
    put[name]()
    for number, change in enumerate(changes):
        batch = scratch.batch(change, transaction=str(number))
        with _unchanged(scratch):
            batch.stage()
            with pytest.raises(Transient, match="/etc/old: changed while the plan was being applied; plan again"):
                batch.commit()
            batch.undo()


def test_an_original_is_kept_under_its_digest_whatever_lay_there(scratch: Scratch) -> None:
    change = scratch.original("/etc/old")
    blob = scratch.root / "state" / "originals" / change.before.digest
    for torn in (None, b"", b"ol", b"old\n"):
        if torn is not None:
            blob.write_bytes(torn)
        scratch.carry_out(change)
        assert blob.read_bytes() == b"old\n"
    blob.unlink()
    blob.symlink_to(scratch.at("/etc/victim"))
    scratch.carry_out(change)
    assert blob.read_bytes() == b"old\n"
    assert not scratch.at("/etc/victim").exists()
    assert blob.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("theirs", [b"", b"longer than it was", b"old!"])
def test_an_original_that_changes_while_it_is_kept_is_noticed(scratch: Scratch, theirs: bytes) -> None:
    batch = scratch.batch(scratch.original("/etc/old"))
    scratch.at("/etc/old").write_bytes(theirs)
    with pytest.raises(Transient, match="/etc/old: changed"):
        batch.stage()


def test_an_actor_writes_what_is_its_own_and_we_keep_the_original(scratch: Scratch) -> None:
    require("root")
    scratch.at("/home").mkdir()
    scratch.at("/home/keys").write_bytes(b"key\n")
    for path in ("/home", "/home/keys"):
        os.chown(scratch.at(path), 1234, 1234)
    actor = Actor(1234, 1234)
    changes: list[FileChange] = [
        replace(scratch.original("/home/keys"), actor=actor),
        replace(scratch.write("/home/keys", b"keys\n", 0o600, uid=1234, gid=1234), actor=actor),
    ]
    scratch.carry_out(*changes)
    assert scratch.state("/home/keys").uid == 1234
    blob = scratch.root / "state" / "originals" / changes[0].before.digest
    assert (blob.read_bytes(), blob.stat().st_uid) == (b"key\n", 0)


def test_an_actor_does_not_get_where_it_may_not(scratch: Scratch) -> None:
    require("root")
    change = replace(scratch.write("/etc/theirs", b"x", uid=1234, gid=1234), actor=Actor(1234, 1234))
    with _unchanged(scratch):
        with pytest.raises(PermissionError) as failure:
            scratch.batch(change).stage()
        assert failure.value.filename == "/etc/theirs"


def test_an_error_names_the_path_and_neither_the_aside_name_nor_contents(
    scratch: Scratch, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(descriptor: int, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", fail)
    with pytest.raises(OSError, match="No space") as failure:
        scratch.batch(scratch.write("/etc/new", b"hunter2")).stage()
    assert failure.value.filename == "/etc/new"
    assert "hunter2" not in str(failure.value)


def test_descriptors_are_given_back(scratch: Scratch) -> None:
    _furnish(scratch)
    scratch.tree.forget()
    before = len(os.listdir("/proc/self/fd"))
    for number, name in enumerate(CHANGES):
        batch = scratch.batch(*CHANGES[name](scratch), transaction=str(number))
        batch.stage()
        batch.commit()
        batch.undo()
    scratch.tree.forget()
    assert len(os.listdir("/proc/self/fd")) == before
