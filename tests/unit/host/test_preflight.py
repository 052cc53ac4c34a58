"""What stands in the way of a batch is found before anything is touched, all at once, in words that name the remedy.

What needs a file system of its own (space, inodes, flags, mounts) is tested for real in tests/crash/test_file_systems.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from nodeagent.changes.files import Actor, FileChange, WriteFile
from nodeagent.errors import Problem, Rejected
from nodeagent.host import preflight
from nodeagent.host.tree import Tree
from tests.capabilities import require
from tests.unit.host.scratch import STATE, Scratch


@pytest.fixture
def scratch(tmp_path: Path) -> Iterator[Scratch]:
    scratch = Scratch(tmp_path / "root")
    (scratch.root / "etc").mkdir()
    yield scratch
    scratch.close()


def _problems(scratch: Scratch, *changes: FileChange) -> list[Problem]:
    return preflight.problems(scratch.tree, changes, f"{STATE}/originals")


def _one(scratch: Scratch, *changes: FileChange) -> str:
    (problem,) = _problems(scratch, *changes)
    return str(problem)


def test_what_can_be_done_has_no_problems(scratch: Scratch) -> None:
    scratch.at("/etc/old").write_bytes(b"old")
    changes: list[FileChange] = [
        scratch.directory("/etc/new"),
        scratch.directory("/etc/new/deeper"),
        scratch.write("/etc/new/deeper/file"),
        scratch.original("/etc/old"),
        scratch.write("/etc/old"),
        scratch.metadata("/etc/old", 0o600),
        scratch.link("/etc/link", "old"),
        scratch.hard_link("/etc/hard", "/etc/old"),
        scratch.removal("/etc/old"),
    ]
    assert _problems(scratch, *changes) == []


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))


@pytest.mark.parametrize("kind", ["fifo", "socket"])
def test_a_special_file_is_not_replaced(scratch: Scratch, kind: str) -> None:
    {"fifo": os.mkfifo, "socket": _socket}[kind](scratch.at("/etc/special"))
    for change in (scratch.write("/etc/special"), scratch.link("/etc/special", "x"), scratch.removal("/etc/special")):
        assert _one(scratch, change) == (
            "this node: /etc/special: a device, socket or FIFO stands here; "
            "remove it by hand if a file should take its place"
        )


def test_a_device_is_not_replaced(scratch: Scratch) -> None:
    require("root")
    os.mknod(scratch.at("/etc/device"), 0o20644, os.makedev(1, 5))
    assert "a device, socket or FIFO stands here" in _one(scratch, scratch.write("/etc/device"))


def test_what_has_come_since_the_plan_was_made_blocks_nobody(scratch: Scratch) -> None:
    """It is for the commit to find; but a FIFO must not hold the check up."""
    change = scratch.write("/etc/later")
    os.mkfifo(scratch.at("/etc/later"))
    assert _problems(scratch, change, replace(change, before=scratch.state("/etc"))) != []


def test_a_directory_is_not_replaced_by_a_file(scratch: Scratch) -> None:
    assert "a directory stands here" in _one(scratch, scratch.write("/etc"))
    assert "a directory stands here" in _one(scratch, scratch.link("/etc", "x"))


def test_a_file_among_the_parents_is_named(scratch: Scratch) -> None:
    scratch.at("/etc/file").touch()
    assert "/etc/file/dir: cannot be entered" in _one(scratch, scratch.write("/etc/file/dir/x"))


def test_a_link_that_others_own_is_named(scratch: Scratch) -> None:
    require("root")
    scratch.at("/etc/link").symlink_to("/etc")
    os.lchown(scratch.at("/etc/link"), 1234, 1234)
    assert "owned by uid 1234" in _one(scratch, replace(scratch.write("/etc/x"), path="/etc/link/x"))


def test_all_problems_come_at_once_and_once_each(scratch: Scratch) -> None:
    scratch.at("/etc/file").touch()
    os.mkfifo(scratch.at("/etc/fifo"))
    changes = [scratch.write("/etc/fifo"), scratch.write("/etc"), *(scratch.write(f"/etc/file/{n}") for n in "abc")]
    with pytest.raises(Rejected) as rejected:
        preflight.check(scratch.tree, changes, f"{STATE}/originals")
    assert [problem.path for problem in rejected.value.problems] == ["/etc", "/etc/fifo", "/etc/file"]


def test_a_directory_that_the_writer_may_not_write_to_is_named(scratch: Scratch) -> None:
    require("root")
    scratch.at("/home").mkdir(0o755)
    change = replace(scratch.write("/home/keys", uid=1234, gid=1234), actor=Actor(1234, 1234))
    assert "is not writable for the user that is to write here" in _one(scratch, change)
    os.chown(scratch.at("/home"), 1234, 1234)
    assert _problems(scratch, change) == []


def test_kernel_interfaces_are_no_place_for_files() -> None:
    change = WriteFile(path="/proc/sys/vm/swappiness", data=b"1")
    with Tree("/") as tree:
        messages = [str(problem) for problem in preflight.problems(tree, [change], "/tmp")]
    assert any("lies on a kernel file system (proc)" in message for message in messages)


def test_a_plan_larger_than_the_disk_is_rejected(scratch: Scratch, monkeypatch: pytest.MonkeyPatch) -> None:
    free = os.statvfs(scratch.root)
    huge = replace(scratch.original("/etc"), before=replace(scratch.state("/etc"), size=free.f_bavail * free.f_frsize))
    assert "bytes to spare and the batch needs" in _one(scratch, replace(huge, path="/etc/x"))


def test_only_root_gives_files_away(scratch: Scratch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1234)
    monkeypatch.setattr(os, "getegid", lambda: 1234)
    monkeypatch.setattr(os, "getgroups", list)
    linked = scratch.hard_link("/etc/hard", "/etc/old")
    theirs: list[FileChange] = [
        scratch.write("/etc/a", uid=0, gid=0),
        replace(scratch.link("/etc/b", "x"), uid=0, gid=0),
    ]
    ours: list[FileChange] = [scratch.write("/etc/c", uid=1234, gid=1234), linked]
    assert [problem.path for problem in _problems(scratch, *theirs, *ours)] == ["/etc/a", "/etc/b"]


def test_mount_points_are_unescaped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = tmp_path / "mountinfo"
    line = b"36 35 98:0 / %s rw,noatime shared:1 - ext4 /dev/root rw\n"
    table.write_bytes(line % rb"/a\040b\134c\011" + line % "/ü".encode())
    opened = open

    def redirected(path: str, mode: str) -> object:
        return opened(table if path == "/proc/self/mountinfo" else path, mode)

    monkeypatch.setattr("builtins.open", redirected)
    assert list(preflight.mount_points()) == ["/a b\\c\t", "/ü"]


def test_remedies_name_the_path_as_the_administrator_sees_it(scratch: Scratch, monkeypatch: pytest.MonkeyPatch) -> None:
    scratch.at("/etc/old").touch()
    monkeypatch.setattr(preflight, "mount_points", lambda: [str(scratch.root / "etc/old")])
    message = _one(scratch, scratch.write("/etc/old"))
    assert message.startswith("this node: /etc/old: is a mount point")
    assert message.endswith(f"umount {scratch.root}/etc/old")
