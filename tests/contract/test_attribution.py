"""Attribution on the kernel's own fanotify: who changed a path, and why not when nobody is known."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from nodeagent.host.attribution import Attribution
from tests.capabilities import require

_DEADLINE = 10.0  # seconds, for what takes well under a millisecond


@pytest.fixture
def attribution() -> Iterator[Attribution]:
    require("root", "fanotify")
    opened = Attribution.open()
    assert isinstance(opened, Attribution)
    opened.start()
    yield opened
    opened.close()


def _eventually(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + _DEADLINE
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.001)
    return True


def _run(*command: str | Path) -> None:
    subprocess.run(command, check=True, timeout=_DEADLINE)


def _shell(script: str, directory: Path) -> subprocess.Popen[bytes]:
    """A shell that does something in `directory` and then stays, so that it can be read in any case."""
    return subprocess.Popen(["sh", "-c", f"{script}; read forever"], cwd=directory, stdin=subprocess.PIPE)


_CHANGES = [
    "echo new > file",
    "echo more >> file",
    "mv other file",
    "ln -f other file",
    "ln -sf /dev/null file",
    "rm file",
    "mv file away",
    "chmod 600 file",
    "chown 1:1 file",
    "cp --remove-destination other file",
]


@pytest.mark.parametrize("change", _CHANGES)
def test_every_kind_of_change_has_a_writer(change: str, tmp_path: Path, attribution: Attribution) -> None:
    file = tmp_path / "file"
    file.write_text("old")
    (tmp_path / "other").write_text("other")
    since = time.time()
    attribution.watch([str(file)])
    _run("sh", "-c", f"cd {tmp_path}; {change}")
    assert _eventually(lambda: attribution.writers(str(file), since) != ())


def test_the_writer_is_told_with_program_user_and_number(tmp_path: Path, attribution: Attribution) -> None:
    file = tmp_path / "file"
    attribution.watch([str(file)])
    with _shell("echo x > file", tmp_path) as shell:
        assert _eventually(lambda: any(writer.executable for writer in attribution.writers(str(file), 0)))
        writer = attribution.writers(str(file), 0)[-1]
        shell.communicate()
    assert (writer.pid, writer.command, writer.uid, writer.user) == (shell.pid, "sh", 0, "root")
    assert writer.executable == os.path.realpath("/bin/sh")
    assert writer.command_line == "sh -c echo x > file; read forever"
    assert attribution.explain(str(file), 0) == ""


@pytest.mark.parametrize("change", ["chmod 700 directory", "chown 1 directory", "rmdir directory"])
def test_a_directory_that_is_interesting_itself_has_a_writer(
    change: str, tmp_path: Path, attribution: Attribution
) -> None:
    directory = tmp_path / "directory"
    attribution.watch([str(directory)])
    directory.mkdir()
    assert _eventually(lambda: str(directory) in attribution._marks)
    assert attribution.writers(str(directory), 0) == ()  # we made it
    _run("sh", "-c", f"cd {tmp_path}; {change}")
    assert _eventually(lambda: attribution.writers(str(directory), 0) != ())


def test_neighbours_are_not_recorded(tmp_path: Path, attribution: Attribution) -> None:
    attribution.watch([str(tmp_path / "file")])
    _run("touch", tmp_path / "neighbour", tmp_path / "file")
    assert _eventually(lambda: attribution.writers(str(tmp_path / "file"), 0) != ())
    assert attribution.writers(str(tmp_path / "neighbour"), 0) == ()


def test_any_entry_counts_where_every_entry_does(tmp_path: Path, attribution: Attribution) -> None:
    attribution.watch([], entries_of=[str(tmp_path)])
    _run("touch", tmp_path / "99-extra.conf")
    assert _eventually(lambda: attribution.writers(str(tmp_path / "99-extra.conf"), 0) != ())


def test_our_own_changes_have_no_writer(tmp_path: Path, attribution: Attribution) -> None:
    file = tmp_path / "file"
    attribution.watch([str(file), str(tmp_path / "last")])
    since = time.time()
    file.write_text("ours")
    _run("touch", tmp_path / "last")
    assert _eventually(lambda: attribution.writers(str(tmp_path / "last"), 0) != ())
    assert attribution.writers(str(file), since) == ()
    assert "the agent did it" in attribution.explain(str(file), since)


def test_ignored_processes_may_change_while_it_runs(tmp_path: Path) -> None:
    require("root", "fanotify")
    ours: set[int] = set()
    attribution = Attribution.open(ignore_pids=ours)
    attribution.watch([str(tmp_path / "a"), str(tmp_path / "b")])
    attribution.start()
    ours.add(os.getpid())
    (tmp_path / "a").write_text("ours")
    with _shell("touch b", tmp_path) as shell:
        assert _eventually(lambda: attribution.writers(str(tmp_path / "b"), 0) != ())
        shell.communicate()
    assert attribution.writers(str(tmp_path / "a"), 0) == ()
    attribution.close()


def test_writers_that_live_a_millisecond_are_named_or_known_to_be_gone(
    tmp_path: Path, attribution: Attribution
) -> None:
    """Each leaves an entry with the number at least; a name, where there is one, is the right one."""
    count = 200
    files = [str(tmp_path / f"f{number}") for number in range(count)]
    attribution.watch(files)
    _run("bash", "-c", f'for i in $(seq 0 {count - 1}); do sh -c "echo $i > {tmp_path}/f$i"; done')
    assert _eventually(lambda: attribution.writers(files[-1], 0) != ())
    for file in files:
        writer = attribution.writers(file, 0)[-1]
        assert writer.pid > 0
        assert writer.command in {"sh", "bash", ""}  # bash: forked, but not yet executing sh, is not seen writing
        reason = attribution.explain(file, 0)
        assert (reason == "") == bool(writer.command)
        assert not reason or reason == f"the process (pid {writer.pid}) was gone before it could be read"


def test_writers_are_asked_for_by_time(tmp_path: Path, attribution: Attribution) -> None:
    file = tmp_path / "file"
    attribution.watch([str(file)])
    _run("touch", file)
    assert _eventually(lambda: attribution.writers(str(file), 0) != ())
    time.sleep(0.05)  # whatever is still queued of touch
    since = time.time()
    with _shell("chmod 600 file", tmp_path) as shell:
        assert _eventually(lambda: attribution.writers(str(file), since) != ())
        shell.communicate()
    assert {writer.command for writer in attribution.writers(str(file), since)} <= {"chmod", ""}
    assert len(attribution.writers(str(file), 0)) > len(attribution.writers(str(file), since))


def test_who_moves_a_parent_away_changed_what_lies_below(tmp_path: Path, attribution: Attribution) -> None:
    file = tmp_path / "a/b/file"
    file.parent.mkdir(parents=True)
    file.write_text("x")
    attribution.watch([str(file), str(tmp_path / "other")])
    since = time.time()
    _run("chmod", "700", tmp_path / "a")  # no change of anything below
    _run("touch", tmp_path / "other")
    assert _eventually(lambda: attribution.writers(str(tmp_path / "other"), since) != ())
    assert attribution.writers(str(file), since) == ()
    _run("mv", tmp_path / "a", tmp_path / "gone")
    assert _eventually(lambda: attribution.writers(str(file), since) != ())
    assert {writer.command for writer in attribution.writers(str(file), since)} <= {"mv", ""}


def test_a_directory_made_anew_is_marked_anew(tmp_path: Path, attribution: Attribution) -> None:
    file = tmp_path / "a/b/file"
    attribution.watch([str(file)])
    for _ in range(10):
        _run("mkdir", "-p", file.parent)
        assert _eventually(lambda: str(file.parent) in attribution._marks)
        since = time.time()
        _run("touch", file)
        assert _eventually(lambda moment=since: attribution.writers(str(file), moment) != ())  # type: ignore[misc]
        _run("rm", "-r", tmp_path / "a")
        assert _eventually(lambda: str(file.parent) not in attribution._marks)


def test_a_change_from_before_the_watch_says_so(tmp_path: Path, attribution: Attribution) -> None:
    file = tmp_path / "file"
    since = time.time()
    _run("touch", file)
    attribution.watch([str(file)])
    assert attribution.explain(str(file), since) == "the agent was not watching then"
    assert attribution.explain("/not/watched/at/all", since) == "the agent was not watching then"


def test_what_is_no_longer_watched_is_not_recorded(tmp_path: Path, attribution: Attribution) -> None:
    (tmp_path / "old").mkdir()
    (tmp_path / "new").mkdir()
    attribution.watch([str(tmp_path / "old/file")])
    attribution.watch([str(tmp_path / "new/file")])
    assert _marks(attribution) == len(tmp_path.parts) + 1
    _run("touch", tmp_path / "old/file", tmp_path / "new/file")
    assert _eventually(lambda: attribution.writers(str(tmp_path / "new/file"), 0) != ())
    assert attribution.writers(str(tmp_path / "old/file"), 0) == ()


def _marks(attribution: Attribution) -> int:
    """How many marks the kernel holds, as it tells itself (proc_pid_fdinfo(5))."""
    with open(f"/proc/self/fdinfo/{attribution._group.descriptor}") as lines:
        return sum(line.startswith("fanotify ino:") for line in lines)


def test_a_real_overflow_is_counted_and_explains(tmp_path: Path, attribution: Attribution) -> None:
    """The queue is filled while the lock keeps the thread from reading it."""
    with open("/proc/sys/fs/fanotify/max_queued_events") as setting:
        limit = int(setting.read())
    attribution.watch([str(tmp_path / "late")], entries_of=[str(tmp_path / "many")])
    (tmp_path / "many").mkdir()
    assert _eventually(lambda: str(tmp_path / "many") in attribution._marks)
    since = time.time()
    with attribution._lock:
        script = "import os\nfor i in range({}):\n os.close(os.open('{}/%d' % i, os.O_CREAT | os.O_WRONLY))"
        subprocess.run([sys.executable, "-c", script.format(limit + 100, tmp_path / "many")], check=True, timeout=60)
    assert _eventually(lambda: attribution.gaps > 0)
    assert attribution.gaps_since(since) == attribution.gaps
    assert attribution.gaps_since(time.time() + 60) == 0
    assert attribution.explain(str(tmp_path / "late"), since) == "the event queue overflowed, and events were lost"
    assert len(attribution._log._writers) <= 4096


def test_no_descriptor_stays_open(tmp_path: Path) -> None:
    require("root", "fanotify")
    before = len(os.listdir("/proc/self/fd"))
    attribution = Attribution.open(ignore_pids=())
    attribution.watch([str(tmp_path / "last")])
    attribution.start()
    for number in range(200):
        (tmp_path / f"neighbour{number}").write_text("x")
    (tmp_path / "last").write_text("x")
    assert _eventually(lambda: attribution.writers(str(tmp_path / "last"), 0) != ())
    attribution.close()
    assert len(os.listdir("/proc/self/fd")) == before


_WITHOUT_PRIVILEGE = """
from nodeagent.host.attribution import Attribution
attribution = Attribution.open()
print(type(attribution).__name__, attribution.explain("/etc/motd", 0))
"""


def test_without_the_privilege_the_reason_is_told() -> None:
    require("root", "setpriv")
    command = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"]  # still uid 0, which alone is no privilege
    done = subprocess.run(
        [*command, sys.executable, "-c", _WITHOUT_PRIVILEGE],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout == "Unavailable not permitted (CAP_SYS_ADMIN)\n", done.stderr


_ON_OVERLAY = """
import subprocess, sys, time
from nodeagent.host.attribution import Attribution

base = sys.argv[1]
options = f"lowerdir={base}/lower,upperdir={base}/upper,workdir={base}/work"
subprocess.run(["mount", "-t", "tmpfs", "scratch", base], check=True)
subprocess.run(["mkdir", "-p", *(f"{base}/{name}" for name in ("lower/etc", "upper", "work", "top"))], check=True)
subprocess.run(["mount", "-t", "overlay", "scratch", "-o", options, f"{base}/top"], check=True)
attribution = Attribution.open()
file = f"{base}/top/etc/motd"
attribution.watch([file])
attribution.start()
shell = subprocess.Popen(["sh", "-c", f"echo x > {file}; read forever"], stdin=subprocess.PIPE)
deadline = time.monotonic() + 10
while not attribution.writers(file, 0) and time.monotonic() < deadline:
    time.sleep(0.001)
shell.communicate()
print(attribution.problems(), {writer.command for writer in attribution.writers(file, 0)})
attribution.close()
"""


def test_writers_on_overlayfs_are_named(tmp_path: Path) -> None:
    require("root", "fanotify", "overlay", "unshare")
    done = subprocess.run(
        ["unshare", "--mount", "--propagation", "private", sys.executable, "-c", _ON_OVERLAY, tmp_path],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout == "() {'sh'}\n", done.stderr


def test_a_parent_that_cannot_be_trusted_is_a_problem_and_the_explanation(
    tmp_path: Path, attribution: Attribution
) -> None:
    (tmp_path / "target").mkdir()
    (tmp_path / "home").symlink_to("target")
    os.lchown(tmp_path / "home", 12345, 12345)
    attribution.watch([str(tmp_path / "home/file")])
    (problem,) = attribution.problems()
    assert problem.startswith(f"who changes files is not known in {tmp_path}/home: ")
    assert "uid 12345" in attribution.explain(str(tmp_path / "home/file"), time.time())
