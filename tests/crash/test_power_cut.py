"""Power fails at any moment, and the disk has lost any part of what was not flushed: recovery ends before or after.

The system calls of real runs are recorded and replayed on a model of a disk (tests/crash/disk.py). For each moment, and
for each set of unflushed operations that may be lost, the tree that is left is made for real, and recovered.
"""

from __future__ import annotations

import itertools
import os
import random
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from nodeagent.host.files import ASIDE
from nodeagent.host.tree import Tree
from tests.crash import scenario
from tests.crash.disk import Disk, Operation, Recorder, Write, after_cut, unflushed
from tests.crash.snapshot import Snapshot, difference, snapshot
from tests.crash.trace import occurrences, record

_EXHAUSTIVE = 9  # unflushed operations up to which every set of them is tried
_SAMPLES = 40  # random sets of more than that, at each moment
_IN_MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


@dataclass(frozen=True)
class History:
    """A recorded run: the steps it took on the disk, and how the node looked before and after it."""

    recorder: Recorder
    before: Snapshot
    after: Snapshot
    first: int = 0  # of the steps, the one from which on power may fail

    def moments(self) -> range:
        return range(self.first, len(self.recorder.steps) + 1)

    def disks(self, moment: int) -> Iterator[Disk]:
        """Every disk, up to bounds, that may be left when power fails right before step `moment`."""
        steps = self.recorder.steps[:moment]
        loose = unflushed(steps)
        for lost, torn in _losses(steps, loose, random.Random(moment)):
            yield after_cut(self.recorder.before, _kept(steps, lost, torn))

    def committed(self, moment: int) -> bool | None:
        """Whether the run had surely, or surely not, committed by then; None in between."""
        steps = self.recorder.steps[:moment]
        written = [index for index, step in enumerate(steps) if _says_committed(step)]
        return None if set(written) & set(unflushed(steps)) else bool(written)


def _says_committed(step: object) -> bool:
    return isinstance(step, Operation) and isinstance(step.apply, Write) and b'{"at":"committed"}' in step.apply.bytes


Losses = Iterator[tuple[frozenset[int], int | None]]


def _losses(steps: Sequence[object], loose: Sequence[int], chance: random.Random) -> Losses:
    """Sets of operations to lose, and sometimes a write to tear."""
    if len(loose) <= _EXHAUSTIVE:
        sizes = range(len(loose) + 1)
        chosen = [frozenset(lost) for size in sizes for lost in itertools.combinations(loose, size)]
    else:
        every = frozenset(loose)
        chosen = [every, frozenset(), *(frozenset([one]) for one in loose), *(every - {one} for one in loose)]
        chosen += [frozenset(loose[count:]) for count in range(1, len(loose))]
        chosen += [frozenset(one for one in loose if chance.random() < 0.5) for _ in range(_SAMPLES)]
    yield from ((lost, None) for lost in chosen)
    for index in loose:
        step = steps[index]
        if isinstance(step, Operation) and isinstance(step.apply, Write):
            yield frozenset(), index
            yield frozenset(loose) - {index}, index


def _kept(steps: Sequence[object], lost: frozenset[int], torn: int | None) -> Iterator[Callable[[Disk], None]]:
    for index, step in enumerate(steps):
        if isinstance(step, Operation) and index not in lost:
            yield step.apply.torn() if index == torn and isinstance(step.apply, Write) else step.apply


def _history(directory: Path, barrier: str) -> History:
    root = directory / "node"
    root.mkdir()
    scenario.build(root)
    before, recorder = snapshot(root), Recorder(root)
    recorder.record(record(root, "apply", barrier, directory / "log"))
    return History(recorder, before, snapshot(root))


@pytest.fixture(scope="module", params=["syncfs", "fsync"])
def history(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> History:
    return _history(tmp_path_factory.mktemp(request.param), request.param)


@pytest.fixture
def scratch() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir=_IN_MEMORY) as directory:
        yield Path(directory) / "root"


def _recover(disk: Disk, root: Path) -> Snapshot:
    """Make the tree that the disk holds, recover it, and tell what it is then."""
    root.mkdir()
    try:
        disk.materialise(root)
        with Tree(str(root)) as tree:
            state = os.open(root / "state", os.O_RDONLY | os.O_DIRECTORY)
            try:
                scenario.executor(tree, state).recover()
            finally:
                os.close(state)
        return snapshot(root)
    finally:
        shutil.rmtree(root)


def _verdict(history: History, found: Snapshot) -> str:
    """`before` or `after`; what is wrong otherwise."""
    left = [path for path in found if ASIDE in path or path == scenario.JOURNAL]
    if left:
        return f"left behind: {left}"
    if found == history.after:
        return "after"
    kept = {path: item for path, item in found.items() if not path.startswith(f"{scenario.ORIGINALS}/")}
    wrong = difference(kept, history.before)
    return f"neither before nor after; found / before:\n{wrong}" if wrong else "before"


def _check(history: History, scratch: Path) -> int:
    """Recover every disk of a history; returns how many there were."""
    verdicts: dict[object, str] = {}
    for moment in history.moments():
        allowed = {None: {"before", "after"}, True: {"after"}, False: {"before"}}[history.committed(moment)]
        for disk in history.disks(moment):
            key = disk.key()
            if key not in verdicts:
                verdicts[key] = _verdict(history, _recover(disk, scratch))
            assert verdicts[key] in allowed, f"power fails before step {moment}: {verdicts[key]}"
    return len(verdicts)


def test_the_model_agrees_with_the_file_system(history: History, scratch: Path) -> None:
    scratch.mkdir()
    history.recorder.now.materialise(scratch)
    assert difference(snapshot(scratch), history.after) == ""


def test_whatever_was_not_flushed_may_be_lost(history: History, scratch: Path) -> None:
    assert _check(history, scratch) > 500


def test_what_was_acknowledged_stays(history: History) -> None:
    assert history.committed(len(history.recorder.steps)) is True


@pytest.mark.parametrize("where", ["staging", "put in place", "cleaning up"])
def test_power_may_fail_in_recovery(where: str, tmp_path: Path, scratch: Path) -> None:
    """A run is killed, so that everything it did is visible; power fails while the next one recovers."""
    calls = occurrences(record(_built(tmp_path / "plain"), "apply", "syncfs", tmp_path / "plain.log"))
    name, at = {"staging": ("syncfs", 0), "put in place": ("renameat2", -1), "cleaning up": ("unlinkat", 2)}[where]
    root = _built(tmp_path / "node")
    before, recorder = snapshot(root), Recorder(root)
    recorder.record(record(root, "apply", "syncfs", tmp_path / "killed.log", until=calls[name][at]))
    first = len(recorder.steps)
    recorder.record(record(root, "recover", "syncfs", tmp_path / "recovered.log"))
    assert len(recorder.steps) > first
    assert _check(History(recorder, before, snapshot(tmp_path / "plain"), first), scratch) > 20


def _built(root: Path) -> Path:
    root.mkdir()
    scenario.build(root)
    return root
