"""The process dies, or the disk fails, at every system call that changes the disk: the node ends before or after.

A run is recorded first; then it is repeated once for each call that it made, and for each way in which that call can
go wrong. Afterwards another process recovers.
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from nodeagent.host.files import ASIDE
from tests.crash import scenario
from tests.crash.snapshot import Snapshot, difference, snapshot
from tests.crash.trace import Call, inject, occurrences, record, run

_WORKERS = 2
_FAULTS = ("signal=KILL", "error=EIO", "error=ENOSPC")
_FIRST, _SECOND = 14, 5  # how many first crashes are tried, and how many second ones, in recovery, after each

CALLS = (  # by which the plan is carried out
    *("fchmod", "fchown", "fchownat", "fdatasync", "fremovexattr", "fsetxattr", "fsync", "linkat", "mkdirat"),
    *("openat", "renameat2", "symlinkat", "syncfs", "unlinkat", "write"),
)


@dataclass(frozen=True)
class Lab:
    """Recorded runs with one kind of barrier, and what the node looks like before and after."""

    directory: Path
    barrier: str
    before: Snapshot
    after: Snapshot
    calls: dict[str, list[Call]]

    def node(self, name: str) -> Path:
        root = self.directory / name
        root.mkdir()
        scenario.build(root)
        return root

    def which(self, root: Path) -> str:
        """Tell which of the two states the node is in; AssertionError if it is in neither."""
        now = snapshot(root)
        left = [path for path in now if ASIDE in path or path == scenario.JOURNAL]
        assert not left, f"left behind: {left}"
        if now == self.after:
            return "after"
        kept = {path: item for path, item in now.items() if not path.startswith(f"{scenario.ORIGINALS}/")}
        assert kept == self.before, f"neither before nor after; found / before:\n{difference(kept, self.before)}"
        return "before"

    def is_in_place(self, root: Path) -> bool:
        """Whether all of the plan is there, but for what it takes away last."""
        now = snapshot(root)
        extra = [path for path in now if path not in self.after and ASIDE not in path]
        return set(extra) <= {scenario.JOURNAL, *scenario.EMPTIED} and all(
            now.get(path) == item for path, item in self.after.items() if not item.names[1:]
        )


def _lab(directory: Path, barrier: str) -> Lab:
    root = directory / "recorded"
    root.mkdir()
    scenario.build(root)
    before = snapshot(root)
    calls = record(root, "apply", barrier, directory / "recorded.log")
    return Lab(directory, barrier, before, snapshot(root), occurrences(calls))


@pytest.fixture(scope="module")
def syncfs(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    return _lab(tmp_path_factory.mktemp("syncfs"), "syncfs")


@pytest.fixture(scope="module")
def fsync(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    return _lab(tmp_path_factory.mktemp("fsync"), "fsync")


@pytest.fixture(scope="module")
def ahead(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    return _lab(tmp_path_factory.mktemp("ahead"), "ahead")


def _each(check: Callable[[Call, str], None], cases: Iterable[tuple[Call, str]]) -> None:
    """Check all cases, two at a time, and fail with all that are wrong."""

    def attempt(case: tuple[Call, str]) -> str:
        try:
            check(*case)
        except AssertionError as error:
            return f"{case[1]} at {case[0]}\n{error}"
        return ""

    with ThreadPoolExecutor(_WORKERS) as pool:
        wrong = [message for message in pool.map(attempt, cases) if message]
    assert not wrong, "\n\n".join(wrong)


def _check(lab: Lab, call: Call, fault: str) -> None:
    name = f"{call.name}-{call.ordinal}-{fault[-4:]}"
    root = lab.node(name)
    ended = inject(root, "apply", lab.barrier, call, fault, lab.directory / f"{name}.log")
    assert ended.injected, "the fault did not come to pass"
    if fault == "signal=KILL":
        assert ended.status < 0, "the process lives"
    else:
        assert ended.status == 1, f"status {ended.status}: {ended.error}"
        assert ended.error.strip(), "no error was told"
        assert "Traceback" not in ended.error, ended.error
        if "everything is in place" in ended.error:
            assert lab.is_in_place(root)
        else:
            assert lab.which(root) == "before", ended.error
    recovered = run(root, "recover", lab.barrier)
    assert recovered.returncode == 0, recovered.stderr
    lab.which(root)
    shutil.rmtree(root)


def test_the_plan_has_every_kind_of_change(syncfs: Lab) -> None:
    assert tuple(syncfs.calls) == CALLS
    assert difference(syncfs.before, syncfs.after).count("\n") > 10


@pytest.mark.parametrize("name", CALLS)
def test_every_occurrence_of(name: str, syncfs: Lab) -> None:
    cases = [(call, fault) for call in syncfs.calls[name] for fault in _FAULTS]
    _each(lambda call, fault: _check(syncfs, call, fault), cases)


def test_every_flush_of_a_file_by_itself(fsync: Lab) -> None:
    assert "syncfs" not in fsync.calls
    cases = [(call, fault) for call in fsync.calls["fsync"] for fault in _FAULTS[:2]]
    _each(lambda call, fault: _check(fsync, call, fault), cases)


def test_every_flush_ahead_of_the_barrier(ahead: Lab, syncfs: Lab) -> None:
    assert len(ahead.calls["syncfs"]) > len(syncfs.calls["syncfs"])
    cases = [(call, fault) for call in ahead.calls["syncfs"] for fault in _FAULTS[:2]]
    _each(lambda call, fault: _check(ahead, call, fault), cases)


def test_recovery_is_killed_too(syncfs: Lab) -> None:
    chance = random.Random(1)
    calls = [call for group in syncfs.calls.values() for call in group]
    for number, first in enumerate(chance.sample(calls, _FIRST)):
        again = _recovery(syncfs, first, number)
        cases = [(call, "signal=KILL") for call in chance.sample(again, min(_SECOND, len(again)))]
        _each(partial(_check_again, syncfs, first, number), cases)


def _killed(lab: Lab, call: Call, name: str) -> Path:
    """A node on which an apply was killed at `call`."""
    root = lab.node(name)
    assert inject(root, "apply", lab.barrier, call, "signal=KILL", lab.directory / f"{name}.log").status < 0
    return root


def _recovery(lab: Lab, first: Call, number: int) -> list[Call]:
    """The calls that recovery makes after an apply was killed at `first`."""
    root = _killed(lab, first, f"first-{number}")
    return record(root, "recover", lab.barrier, lab.directory / f"again-{number}.log")


def _check_again(lab: Lab, first: Call, number: int, second: Call, fault: str) -> None:
    name = f"double-{number}-{second.name}-{second.ordinal}"
    root = _killed(lab, first, name)
    ended = inject(root, "recover", lab.barrier, second, fault, lab.directory / f"{name}.log")
    assert ended.status < 0, f"after a kill at {first}: recovery lives"
    recovered = run(root, "recover", lab.barrier)
    assert recovered.returncode == 0, recovered.stderr
    lab.which(root)
    shutil.rmtree(root)
