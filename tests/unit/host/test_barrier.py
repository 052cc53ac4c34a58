"""The barrier flushes what was noted and is still there, in either of its two ways, and fails if the disk does."""

from __future__ import annotations

import errno
import os
import resource
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event, Thread

import pytest

from nodeagent.host import barrier
from nodeagent.host.barrier import Barrier, dirty_bytes
from nodeagent.host.syscalls import syncfs
from nodeagent.host.tree import Tree

_PATIENCE = 10.0  # seconds


class Disk:
    """Notes which paths are flushed, and by which call; fails for those whose name is `bad`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.flushed: list[tuple[str, str]] = []
        self.bad = ""

    def _note(self, call: str, descriptor: int) -> None:
        path = os.readlink(f"/proc/self/fd/{descriptor}").removeprefix(str(self.root)) or "/"
        self.flushed.append((call, path))
        if self.bad and path.endswith(self.bad):
            raise OSError(errno.EIO, "Input/output error")

    def fsync(self, descriptor: int) -> None:
        self._note("fsync", descriptor)

    def syncfs(self, descriptor: int) -> None:
        self._note("syncfs", descriptor)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "one").touch()
    (tmp_path / "a" / "b" / "two").touch()
    return tmp_path


@pytest.fixture
def disk(root: Path, monkeypatch: pytest.MonkeyPatch) -> Disk:
    disk = Disk(root)
    monkeypatch.setattr(os, "fsync", disk.fsync)
    monkeypatch.setattr(barrier, "syncfs", disk.syncfs)
    return disk


@pytest.fixture
def noted(root: Path) -> Iterator[Barrier]:
    with Tree(str(root)) as tree:
        yield Barrier(tree)


@pytest.fixture
def one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(barrier, "_MANY_DIRTY", -1)


@pytest.fixture
def all_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(barrier, "_MANY_DIRTY", 1 << 60)


def test_each_file_system_is_flushed_once(noted: Barrier, disk: Disk, all_at_once: None) -> None:
    noted.note("/a/one", inode=True)
    noted.note("/a/b/two")
    noted.settle()
    assert disk.flushed == [("syncfs", "/a")]


@pytest.mark.usefixtures("all_at_once")
def test_a_second_file_system_is_flushed_too(noted: Barrier, disk: Disk, root: Path) -> None:
    """A file that lies on another file system than its directory: a bind mount, whose mode was changed."""
    elsewhere = Path("/dev/shm/nodeagent-test-barrier")
    with Tree("/") as tree:
        other = Barrier(tree)
        elsewhere.touch()
        try:
            other.note(str(elsewhere), inode=True)
            other.note(str(root / "a"), inode=True)
            other.settle()
        finally:
            elsewhere.unlink()
    same = os.stat("/dev/shm").st_dev == root.stat().st_dev
    assert len(disk.flushed) == (1 if same else 2)


@pytest.mark.usefixtures("one_by_one")
def test_each_inode_and_each_directory_of_what_was_touched_is_flushed(noted: Barrier, disk: Disk) -> None:
    noted.note("/a/one", inode=True)
    noted.note("/a/b", inode=True)
    noted.note("/a/b/gone")
    noted.settle()
    assert set(disk.flushed) == {("fsync", "/a/one"), ("fsync", "/a/b"), ("fsync", "/a")}


@pytest.mark.parametrize("many_dirty", [-1, 1 << 60])
def test_what_was_taken_back_is_passed_over(
    many_dirty: int, noted: Barrier, disk: Disk, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(barrier, "_MANY_DIRTY", many_dirty)
    noted.note("/a/missing", inode=True)
    noted.note("/gone/deep/file", inode=True)
    noted.settle()
    assert [path for _, path in disk.flushed] == ["/a"]


@pytest.mark.parametrize("many_dirty", [-1, 1 << 60])
def test_nothing_noted_is_nothing_flushed_and_a_second_time_is_nothing(
    many_dirty: int, noted: Barrier, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(barrier, "_MANY_DIRTY", many_dirty)
    noted.settle()
    noted.note("/a/one", inode=True)
    noted.settle()
    disk.flushed.clear()
    noted.settle()
    assert disk.flushed == []


@pytest.mark.parametrize(("many_dirty", "bad"), [(-1, "/a/one"), (-1, "/a"), (1 << 60, "/a")])
def test_an_error_is_fatal_and_names_the_path(
    many_dirty: int, bad: str, noted: Barrier, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(barrier, "_MANY_DIRTY", many_dirty)
    disk.bad = bad
    noted.note("/a/one", inode=True)
    with pytest.raises(OSError, match="Input/output error") as failure:
        noted.settle()
    assert failure.value.filename == bad


@pytest.mark.usefixtures("one_by_one", "disk")
def test_thousands_of_files_need_no_thousands_of_descriptors(noted: Barrier, root: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = len(os.listdir("/proc/self/fd"))
    resource.setrlimit(resource.RLIMIT_NOFILE, (used + 300, limits[1]))
    try:
        for number in range(1000):
            (root / "a" / f"file-{number}").touch()
            noted.note(f"/a/file-{number}", inode=True)
        noted.settle()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert len(os.listdir("/proc/self/fd")) == used + 1  # the directory that the tree keeps open


@pytest.mark.usefixtures("one_by_one")
def test_a_file_that_may_not_be_opened_is_flushed_with_all_others(
    noted: Barrier, disk: Disk, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: Callable[..., int] = os.open

    def refuse(path: str, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        if path == "one":
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return opened(path, flags, mode, dir_fd=dir_fd)

    monkeypatch.setattr(os, "open", refuse)
    noted.note("/a/one", inode=True)
    noted.settle()
    assert ("syncfs", "/a") in disk.flushed


@pytest.mark.usefixtures("one_by_one", "disk")
def test_a_link_in_the_place_of_a_file_is_not_followed(noted: Barrier, root: Path) -> None:
    (root / "a" / "link").symlink_to("/etc/passwd")
    noted.note("/a/link", inode=True)
    with pytest.raises(OSError, match="symbolic links"):
        noted.settle()


@pytest.mark.usefixtures("all_at_once")
def test_what_is_written_ahead_is_waited_for_and_not_begun_twice(
    noted: Barrier, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, may_end = Event(), Event()

    def slow(descriptor: int) -> None:
        begun.set()
        assert may_end.wait(_PATIENCE)
        disk.syncfs(descriptor)

    monkeypatch.setattr(barrier, "syncfs", slow)
    noted.note("/a/one", inode=True)
    noted.hasten("/a")
    assert begun.wait(_PATIENCE)
    noted.hasten("/a/b")
    assert disk.flushed == []
    may_end.set()
    noted.settle()
    assert disk.flushed == [("syncfs", "/a"), ("syncfs", "/a")]


@pytest.mark.usefixtures("all_at_once")
@pytest.mark.parametrize("follow", ["settle", "hasten"])
def test_an_error_of_what_is_written_ahead_is_told_although_the_kernel_tells_it_once(
    follow: str, noted: Barrier, disk: Disk
) -> None:
    disk.bad = "/a"
    noted.hasten("/a")
    assert noted._ahead is not None
    noted._ahead._thread.join()
    disk.bad = ""
    with pytest.raises(OSError, match="Input/output error") as failure:
        noted.settle() if follow == "settle" else noted.hasten("/a")
    assert failure.value.filename == "/a"
    noted.settle()


@pytest.mark.usefixtures("one_by_one")
def test_nothing_is_written_ahead_where_others_have_much_to_write(noted: Barrier, disk: Disk) -> None:
    noted.hasten("/a")
    noted.settle()
    assert disk.flushed == []


@pytest.mark.usefixtures("all_at_once")
def test_without_a_thread_it_is_written_at_once(noted: Barrier, disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(Thread, "start", refuse)
    used = len(os.listdir("/proc/self/fd"))
    noted.hasten("/a")
    assert disk.flushed == [("syncfs", "/a")]
    noted.settle()
    assert len(os.listdir("/proc/self/fd")) == used + 1  # the directory that the tree keeps open


@pytest.mark.usefixtures("one_by_one")
def test_a_new_file_is_flushed_by_itself_with_its_directory(noted: Barrier, disk: Disk) -> None:
    noted.made("/a", "one")
    noted.settle()
    assert set(disk.flushed) == {("fsync", "/a/one"), ("fsync", "/a")}


def test_the_kernel_tells_how_much_is_dirty(root: Path) -> None:
    assert 0 <= dirty_bytes() < 1 << 50


@pytest.mark.parametrize(("many_dirty", "expected"), [(1 << 60, ["syncfs"]), (-1, ["fsync", "fsync"])])
def test_a_real_disk_is_flushed_both_ways(
    many_dirty: int, expected: list[str], noted: Barrier, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []

    def counted(name: str, call: Callable[[int], None]) -> Callable[[int], None]:
        def count(descriptor: int) -> None:
            call(descriptor)
            calls.append(name)

        return count

    monkeypatch.setattr(os, "fsync", counted("fsync", os.fsync))
    monkeypatch.setattr(barrier, "syncfs", counted("syncfs", syncfs))
    monkeypatch.setattr(barrier, "_MANY_DIRTY", many_dirty)
    noted.note("/a/one", inode=True)
    noted.settle()
    assert calls == expected


def test_a_special_file_blocks_nobody(noted: Barrier, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(barrier, "_MANY_DIRTY", -1)
    os.mkfifo(root / "a" / "fifo")
    noted.note("/a/fifo", inode=True)
    with pytest.raises(OSError, match="Invalid argument"):
        noted.settle()
