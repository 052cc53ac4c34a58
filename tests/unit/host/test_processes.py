"""Processes read from the real /proc."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from nodeagent.host.processes import Processes
from nodeagent.host.writer_log import WriterLog
from nodeagent.observed.writers import Writer


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    """A process that waits; its pid stays its own until the test waits for it."""
    arguments = [sys.executable, "-c", "input()", "--password=hunter2"]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE) as process:
        while b"input" not in Path(f"/proc/{process.pid}/cmdline").read_bytes():
            time.sleep(0.001)  # it has not executed yet
        yield process
        process.kill()


@pytest.fixture
def pidfd(child: subprocess.Popen[bytes]) -> Iterator[int]:
    descriptor = os.pidfd_open(child.pid)
    yield descriptor
    os.close(descriptor)


def _accounts(tmp_path: Path, text: str) -> str:
    file = tmp_path / "passwd"
    file.write_text(text)
    return str(file)


def test_a_living_process_is_told_whole(child: subprocess.Popen[bytes], pidfd: int, tmp_path: Path) -> None:
    me = os.geteuid()
    processes = Processes(_accounts(tmp_path, f"tester:x:{me}:0::/:/bin/sh\nother:x:{me}:0::/:\nbroken\n"))
    writer = processes.writer(child.pid, pidfd, 1.5)
    assert (writer.when, writer.pid, writer.uid, writer.user) == (1.5, child.pid, me, "tester")
    assert writer.command.startswith("python")
    assert writer.executable == os.path.realpath(sys.executable)
    assert "--password=***" in writer.command_line
    assert "hunter2" not in repr(writer)


def test_names_follow_the_accounts_file(child: subprocess.Popen[bytes], pidfd: int, tmp_path: Path) -> None:
    processes = Processes(_accounts(tmp_path, ""))
    assert processes.writer(child.pid, pidfd, 1).user == ""
    _accounts(tmp_path, f"later:x:{os.geteuid()}:0::/:\n")
    assert processes.writer(child.pid, pidfd, 2).user == "later"
    (tmp_path / "passwd").unlink()
    assert processes.writer(child.pid, pidfd, 3).user == ""


def test_a_number_that_was_given_to_another_process_is_not_described(
    child: subprocess.Popen[bytes], pidfd: int
) -> None:
    """The event's process has ended; whoever has the number now (here: the test itself) is somebody else."""
    child.kill()
    child.wait()
    assert Processes().writer(os.getpid(), pidfd, 1) == Writer(1, os.getpid())


def test_a_process_that_ended_keeps_only_its_number(child: subprocess.Popen[bytes], pidfd: int) -> None:
    child.kill()
    child.wait()
    assert Processes().writer(child.pid, pidfd, 1) == Writer(1, child.pid)
    assert Processes().writer(child.pid, -1, 1) == Writer(1, child.pid)


def test_a_process_in_an_unseen_pid_namespace_has_no_number() -> None:
    assert Processes().writer(0, -1, 1) == Writer(1, 0)


def test_a_zombie_still_has_a_name(child: subprocess.Popen[bytes], pidfd: int) -> None:
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    writer = Processes().writer(child.pid, pidfd, 1)
    assert writer.command.startswith("python")
    assert (writer.executable, writer.command_line) == ("", "")


def test_what_was_read_a_moment_before_the_end_counts(child: subprocess.Popen[bytes], pidfd: int) -> None:
    processes = Processes()
    before = processes.writer(child.pid, pidfd, 1.0)
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert processes.writer(child.pid, pidfd, 1.1).executable == before.executable
    child.wait()
    gone = processes.writer(child.pid, -1, 1.2)
    assert (gone.when, gone.executable) == (1.2, before.executable)
    assert processes.writer(child.pid, -1, 3.0) == Writer(3.0, child.pid)  # by now it could be another one


def test_memory_of_processes_is_bounded() -> None:
    processes = Processes()
    for pid in range(1, 1000):
        processes.writer(pid, -1, 1.0)
    assert len(processes._recent) == 256


def test_a_log_keeps_the_last_writers_of_each_path() -> None:
    log = WriterLog(per_path=2)
    for pid in (1, 2, 3):
        log.record("/a", Writer(float(pid), pid))
    assert log.since("/a", 0) == (Writer(2.0, 2), Writer(3.0, 3))
    assert log.since("/a", 2.5) == (Writer(3.0, 3),)
    assert log.since("/b", 0) == ()


def test_a_log_counts_one_writer_in_a_row_once() -> None:
    log = WriterLog(per_path=2)
    log.record("/a", Writer(1.0, 1, "first"))
    for when in range(2, 9):
        log.record("/a", Writer(float(when), 2, "chatty"))
    assert log.since("/a", 0) == (Writer(1.0, 1, "first"), Writer(8.0, 2, "chatty"))


def test_a_log_forgets_the_path_written_longest_ago_and_says_so() -> None:
    log = WriterLog(max_paths=2)
    log.record("/a", Writer(1.0, 1))
    log.record("/b", Writer(2.0, 1))
    log.record("/a", Writer(3.0, 2))
    assert log.dropped_until < 0
    log.record("/c", Writer(4.0, 1))
    assert log.since("/b", 0) == ()
    assert len(log.since("/a", 0)) == 2
    assert log.dropped_until == 2.0
