"""DirectoryWatch on the kernel's own inotify, in a directory of the test's own."""

from __future__ import annotations

import os
import shutil
import stat
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nodeagent.host.inotify import DirectoryWatch, Event, Wake, parse

_DEADLINE = 10.0  # seconds, for what takes well under a millisecond
_QUIET = 0.05  # seconds in which a wake-up that must not come would have come


class Sleeper:
    """Collects the wake-ups of a watch."""

    def __init__(self) -> None:
        self._arrived = threading.Condition()
        self.wakes: list[Wake] = []

    def __call__(self, wake: Wake) -> None:
        with self._arrived:
            self.wakes.append(wake)
            self._arrived.notify_all()

    def woken_for(self, path: str) -> bool:
        with self._arrived:
            return self._arrived.wait_for(lambda: any(path in wake.paths for wake in self.wakes), _DEADLINE)

    def overflown(self) -> bool:
        with self._arrived:
            return self._arrived.wait_for(lambda: any(wake.overflow for wake in self.wakes), _DEADLINE)

    def settle(self) -> None:
        """Until no wake-up has come for a while; then forget them all."""
        before = -1
        while before != len(self.wakes):
            before = len(self.wakes)
            time.sleep(_QUIET)
        self.wakes.clear()


@pytest.fixture
def sleeper() -> Sleeper:
    return Sleeper()


@pytest.fixture
def watch(sleeper: Sleeper) -> Iterator[DirectoryWatch]:
    watch = DirectoryWatch(sleeper)
    watch.start()
    yield watch
    watch.close()


def _write(path: Path) -> None:
    path.write_text("new")


def _append(path: Path) -> None:
    """Without ever closing the file while the test looks."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND)
    os.write(descriptor, b"more")


def _replace(path: Path) -> None:
    other = path.with_name("other")
    other.write_text("new")
    other.rename(path)


def _move(path: Path) -> None:
    path.rename(path.with_name("away"))


def _link(path: Path) -> None:
    path.unlink()
    path.symlink_to("/dev/null")


_CHANGES: list[Callable[[Path], None]] = [
    _write,
    _append,
    _replace,
    _link,
    Path.unlink,
    lambda path: path.chmod(0o600),
    _move,
    lambda path: os.utime(path, (0, 0)),
    lambda path: os.setxattr(path, "user.test", b"x"),
]


@pytest.mark.parametrize("change", _CHANGES)
def test_a_change_of_an_interesting_file_wakes(
    change: Callable[[Path], None], tmp_path: Path, watch: DirectoryWatch, sleeper: Sleeper
) -> None:
    file = tmp_path / "file"
    file.write_text("old")
    watch.watch([str(file)])
    change(file)
    assert sleeper.woken_for(str(file))


def test_a_change_of_the_mode_of_an_interesting_directory_wakes(
    tmp_path: Path, watch: DirectoryWatch, sleeper: Sleeper
) -> None:
    directory = tmp_path / "directory"
    directory.mkdir()
    watch.watch([str(directory)])
    directory.chmod(0o700)
    assert sleeper.woken_for(str(directory))


def test_neighbours_do_not_wake(tmp_path: Path, watch: DirectoryWatch, sleeper: Sleeper) -> None:
    watch.watch([str(tmp_path / "file")])
    (tmp_path / "neighbour").write_text("x")
    (tmp_path / "file2").write_text("x")
    (tmp_path / "file").write_text("x")
    assert sleeper.woken_for(str(tmp_path / "file"))
    assert {path for wake in sleeper.wakes for path in wake.paths} == {str(tmp_path / "file")}


def test_any_entry_wakes_where_every_entry_counts(tmp_path: Path, watch: DirectoryWatch, sleeper: Sleeper) -> None:
    dropins = tmp_path / "x.service.d"
    dropins.mkdir()
    watch.watch([], entries_of=[str(dropins)])
    (dropins / "99-extra.conf").write_text("x")
    assert sleeper.woken_for(str(dropins / "99-extra.conf"))


def test_a_directory_where_every_entry_counts_may_appear_later(
    tmp_path: Path, watch: DirectoryWatch, sleeper: Sleeper
) -> None:
    dropins = tmp_path / "x.service.d"
    watch.watch([], entries_of=[str(dropins)])
    dropins.mkdir()
    (dropins / "99-extra.conf").write_text("x")
    assert sleeper.woken_for(str(dropins))


def test_a_name_that_is_no_text_does_no_harm(tmp_path: Path, watch: DirectoryWatch, sleeper: Sleeper) -> None:
    watch.watch([str(tmp_path / "file")], entries_of=[str(tmp_path)])
    hostile = os.fsdecode(os.fsencode(tmp_path) + b"/\xff\n")
    Path(hostile).write_text("x")
    (tmp_path / "file").write_text("x")
    assert sleeper.woken_for(hostile)
    assert sleeper.woken_for(str(tmp_path / "file"))


def test_what_is_no_longer_watched_does_not_wake(tmp_path: Path, watch: DirectoryWatch, sleeper: Sleeper) -> None:
    (tmp_path / "old").mkdir()
    (tmp_path / "new").mkdir()
    watch.watch([str(tmp_path / "old/file")])
    watch.watch([str(tmp_path / "new/file")])
    (tmp_path / "old/file").write_text("x")
    (tmp_path / "new/file").write_text("x")
    assert sleeper.woken_for(str(tmp_path / "new/file"))
    assert {path for wake in sleeper.wakes for path in wake.paths} == {str(tmp_path / "new/file")}


def test_missing_parents_made_in_one_go_miss_nothing(tmp_path: Path, watch: DirectoryWatch, sleeper: Sleeper) -> None:
    """The last change of each file must be followed by a wake-up, however the marks race with the shell."""
    for round_ in range(30):
        deep = tmp_path / f"r{round_}" / "a" / "b"
        watch.watch([str(deep / "f")])
        sleeper.settle() if round_ == 0 else sleeper.wakes.clear()
        deep.mkdir(parents=True)
        (deep / "f").write_text("x")
        assert sleeper.woken_for(str(deep / "f"))
        sleeper.settle()
        (deep / "f").write_text("y")  # by now the directory itself must carry a mark
        assert sleeper.woken_for(str(deep / "f"))


@pytest.mark.parametrize("level", ["a", "a/b"])
def test_a_directory_replaced_at_any_level_is_followed(
    level: str, tmp_path: Path, watch: DirectoryWatch, sleeper: Sleeper
) -> None:
    file = tmp_path / "a/b/f"
    file.parent.mkdir(parents=True)
    file.write_text("x")
    watch.watch([str(file)])
    (tmp_path / level).rename(tmp_path / "away")
    assert sleeper.woken_for(str(file))
    sleeper.settle()
    file.parent.mkdir(parents=True)
    assert sleeper.woken_for(str(file))
    sleeper.settle()
    file.write_text("y")
    assert sleeper.woken_for(str(file))
    sleeper.settle()
    stale = tmp_path / "away" / Path("a/b/f").relative_to(level)
    stale.write_text("the old directory concerns nobody any more")
    time.sleep(_QUIET)
    assert sleeper.wakes == []


def test_a_removed_tree_is_followed_when_it_comes_back(tmp_path: Path, watch: DirectoryWatch, sleeper: Sleeper) -> None:
    file = tmp_path / "a/b/f"
    watch.watch([str(file)])
    for _ in range(20):
        file.parent.mkdir(parents=True)
        file.write_text("x")
        shutil.rmtree(tmp_path / "a")
    sleeper.settle()
    file.parent.mkdir(parents=True)
    sleeper.settle()
    file.write_text("x")
    assert sleeper.woken_for(str(file))
    assert len(watch._manager.watches) == len(watch._interest.directories())  # none is leaked


def test_a_trusted_link_in_the_way_is_followed(tmp_path: Path, watch: DirectoryWatch, sleeper: Sleeper) -> None:
    """As /var/run leads to /run: one directory, known by two paths, has one inotify watch."""
    (tmp_path / "run").mkdir()
    (tmp_path / "var-run").symlink_to("run")
    watch.watch([str(tmp_path / "run/f"), str(tmp_path / "var-run/f")])
    (tmp_path / "run/f").write_text("x")
    assert sleeper.woken_for(str(tmp_path / "run/f"))
    assert sleeper.woken_for(str(tmp_path / "var-run/f"))
    watch.watch([str(tmp_path / "run/f")])
    sleeper.settle()
    (tmp_path / "run/f").write_text("y")
    assert sleeper.woken_for(str(tmp_path / "run/f"))


def test_one_directory_by_two_paths_is_watched_for_the_needs_of_both(
    tmp_path: Path, watch: DirectoryWatch, sleeper: Sleeper
) -> None:
    """By its own name it holds the file, by the link's (which is looked up later) it only leads on."""
    (tmp_path / "run").mkdir()
    (tmp_path / "run/f").write_text("x")
    (tmp_path / "var-run").symlink_to("run")
    watch.watch([str(tmp_path / "run/f"), str(tmp_path / "var-run/sub/f")])
    _append(tmp_path / "run/f")
    assert sleeper.woken_for(str(tmp_path / "run/f"))


def test_the_target_of_a_link_that_goes_away_wakes(tmp_path: Path, watch: DirectoryWatch, sleeper: Sleeper) -> None:
    """Its parent is not on the way, so that only the directory itself can tell."""
    (tmp_path / "elsewhere/run").mkdir(parents=True)
    (tmp_path / "var-run").symlink_to("elsewhere/run")
    watch.watch([str(tmp_path / "var-run/f")])
    (tmp_path / "elsewhere/run").rename(tmp_path / "elsewhere/old")
    assert sleeper.woken_for(str(tmp_path / "var-run/f"))


def test_a_directory_replaced_at_once_leaves_no_mark_behind(
    tmp_path: Path, watch: DirectoryWatch, sleeper: Sleeper
) -> None:
    (tmp_path / "a").mkdir()
    watch.watch([str(tmp_path / "a/f")])
    with watch._lock:  # both changes are one batch
        (tmp_path / "a").rename(tmp_path / "away")
        (tmp_path / "a").mkdir()
    assert sleeper.woken_for(str(tmp_path / "a/f"))
    sleeper.settle()
    (tmp_path / "away/f").write_text("x")
    time.sleep(_QUIET)
    assert sleeper.wakes == []
    assert len(watch._manager.watches) == len(watch._interest.directories())


def test_a_storm_of_renames_ends_in_a_wake(tmp_path: Path, watch: DirectoryWatch, sleeper: Sleeper) -> None:
    target = tmp_path / "file"
    watch.watch([str(target)])
    for number in range(3000):
        fresh = tmp_path / f"tmp{number % 7}"
        fresh.write_text(str(number))
        fresh.rename(target)
    sleeper.settle()
    _replace(target)
    assert sleeper.woken_for(str(target))


def test_a_real_overflow_is_told_and_the_marks_are_renewed(tmp_path: Path) -> None:
    """The queue is filled while the watch's thread is held up in its callback."""
    sleeper = Sleeper()
    release = threading.Event()

    def wake(wake: Wake) -> None:
        release.wait(_DEADLINE)
        sleeper(wake)

    with open("/proc/sys/fs/inotify/max_queued_events") as setting:
        limit = int(setting.read())
    watch = DirectoryWatch(wake)
    watch.start()
    watch.watch([str(tmp_path / "deep/file")], entries_of=[str(tmp_path)])
    for number in range(limit):
        os.mknod(tmp_path / f"n{number}")
        os.unlink(tmp_path / f"n{number}")
    (tmp_path / "deep").mkdir()  # nobody hears of it
    release.set()
    assert sleeper.overflown()
    sleeper.settle()
    (tmp_path / "deep/file").write_text("x")
    assert sleeper.woken_for(str(tmp_path / "deep/file"))
    watch.close()


def test_a_file_that_is_no_directory_in_the_way_is_waited_out(
    tmp_path: Path, watch: DirectoryWatch, sleeper: Sleeper
) -> None:
    (tmp_path / "a").write_text("no directory")
    watch.watch([str(tmp_path / "a/f")])
    assert watch.problems() == ()
    (tmp_path / "a").unlink()
    (tmp_path / "a").mkdir()
    sleeper.settle()
    (tmp_path / "a/f").write_text("x")
    assert sleeper.woken_for(str(tmp_path / "a/f"))


def test_ten_thousand_directories_are_watched_quickly(tmp_path: Path, watch: DirectoryWatch, sleeper: Sleeper) -> None:
    paths = [str(tmp_path / f"{number // 100}" / f"{number % 100}" / "f") for number in range(10_000)]
    for path in paths:
        os.makedirs(os.path.dirname(path))
    before = time.process_time()
    watch.watch(paths)
    assert time.process_time() - before < 5  # a third of a second on an ordinary machine
    assert watch.problems() == ()
    Path(paths[-1]).write_text("x")
    assert sleeper.woken_for(paths[-1])


def test_an_idle_watch_uses_no_processor_time(tmp_path: Path, watch: DirectoryWatch) -> None:
    watch.watch([str(tmp_path / "file")])
    thread = watch._listener._thread
    assert thread.native_id is not None

    def switches() -> int:
        with open(f"/proc/self/task/{thread.native_id}/status") as status:
            return sum(int(line.split()[1]) for line in status if "ctxt_switches" in line)

    def during(seconds: float) -> int:
        before = switches()
        time.sleep(seconds)
        return switches() - before

    time.sleep(_QUIET)
    # Others may be busy in the directories above the test's own for a while; who polls is never idle.
    assert any(during(0.5) <= 2 for _ in range(40))


def test_close_before_start_and_twice_started_watches_end(tmp_path: Path, sleeper: Sleeper) -> None:
    open_before = len(os.listdir("/proc/self/fd"))
    watch = DirectoryWatch(sleeper)
    watch.watch([str(tmp_path / "f")])
    watch.close()
    started = DirectoryWatch(sleeper)
    started.start()
    started.close()
    assert len(os.listdir("/proc/self/fd")) == open_before
    (tmp_path / "f").write_text("x")
    assert sleeper.wakes == []


def test_a_child_process_does_not_inherit_the_instance(watch: DirectoryWatch) -> None:
    assert not os.get_inheritable(watch._descriptor)


def test_importing_is_silent() -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-Werror",
            "-c",
            "import logging, nodeagent.host.inotify as i; i.pyinotify.log.error('told')",
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr in ("", "told\n")  # logging's own last resort, not the library's handler


def test_parse_reads_padded_names_and_events_of_the_directory_itself() -> None:
    named = struct.pack("iIII", 3, 0x100, 0, 16) + b"file".ljust(16, b"\0")
    itself = struct.pack("iIII", 4, 0x400, 0, 0)
    assert list(parse(named + itself)) == [Event(3, 0x100, "file"), Event(4, 0x400)]


_steps = st.lists(
    st.tuples(
        st.sampled_from(["write", "unlink", "mkdir", "rmtree", "away", "back", "replace"]),
        st.sampled_from(["a", "a/b", "a/b/f", "a/g"]),
    ),
    max_size=25,
)


def _state(path: str) -> tuple[int, ...] | None:
    """The times of a directory change with any of its entries, which is no change of the directory itself."""
    try:
        seen = os.lstat(path)
    except OSError:
        return None
    times = () if stat.S_ISDIR(seen.st_mode) else (seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns)
    return seen.st_ino, seen.st_mode, *times


class Tampering:
    """Random changes to a small tree; what cannot be done in its state is left."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def do(self, step: str, name: str) -> None:
        try:
            getattr(self, f"_{step}")(self._root / name)
        except OSError:
            return

    def _write(self, path: Path) -> None:
        path.write_text("x")

    def _unlink(self, path: Path) -> None:
        path.unlink()

    def _mkdir(self, path: Path) -> None:
        path.mkdir(parents=True)

    def _rmtree(self, path: Path) -> None:
        shutil.rmtree(path)

    def _away(self, path: Path) -> None:
        path.rename(self._root / f"away-{path.name}")

    def _back(self, path: Path) -> None:
        (self._root / f"away-{path.name}").rename(path)

    def _replace(self, path: Path) -> None:
        (self._root / "fresh").write_text("y")
        (self._root / "fresh").rename(path)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=_steps)
def test_who_looks_on_each_wake_ends_up_knowing_the_truth(
    steps: list[tuple[str, str]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    root = tmp_path_factory.mktemp("tree")
    paths = [str(root / name) for name in ("a", "a/b", "a/b/f", "a/g")]
    known: dict[str, tuple[int, ...] | None] = {}

    def look(wake: Wake) -> None:
        known.update({path: _state(path) for path in (paths if wake.overflow else wake.paths)})

    watch = DirectoryWatch(look)
    watch.start()
    watch.watch(paths)
    known.update({path: _state(path) for path in paths})
    tampering = Tampering(root)
    for step, name in steps:
        tampering.do(step, name)
    truth = {path: _state(path) for path in paths}
    deadline = time.monotonic() + _DEADLINE
    while known != truth and time.monotonic() < deadline:
        time.sleep(0.001)
    watch.close()
    assert known == truth
