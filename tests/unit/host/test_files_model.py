"""Random batches on random trees: carried out they leave what a model says, undone they leave what there was."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from nodeagent.changes.files import (
    FileChange,
    KeepOriginal,
    MakeDirectory,
    MakeLink,
    RemovePath,
    SetMetadata,
    WriteFile,
)
from nodeagent.errors import Transient
from nodeagent.host.files import ASIDE
from nodeagent.observed.files import FileState, FileType
from tests.crash.snapshot import Item, Snapshot, difference, inodes, snapshot
from tests.unit.host.scratch import GID, UID, Scratch

_IN_MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # where nothing has to be flushed

DIRECTORIES = ("/d", "/d/e", "/k")
LEAVES = ("/a", "/b", "/d/f", "/d/g", "/d/e/h", "/k/m")

contents = st.sampled_from([b"", b"one\n", b"two\n", b"x" * 5000])
modes = st.sampled_from([0o644, 0o600, 0o755, 0o4755])
owners = st.sampled_from([(0, 0), (1234, 1234)] if UID == 0 else [(UID, GID)])
targets = st.sampled_from(["a", "../b", "/nowhere", "/d"])


@dataclass
class Inode:
    """What the model knows of an inode; several paths may share it."""

    kind: str
    mode: int
    uid: int
    gid: int
    value: bytes = b""


@dataclass
class Model:
    """The tree as it should be, by path."""

    inodes: dict[str, Inode] = field(default_factory=dict)

    @classmethod
    def of(cls, seen: Snapshot) -> Model:
        known: dict[tuple[str, ...], Inode] = {}
        model = cls()
        for path, item in seen.items():
            inode = Inode(item.kind, item.mode, item.uid, item.gid, item.value)
            model.inodes[path] = known.setdefault(item.names or (path,), inode)
        return model

    def snapshot(self) -> Snapshot:
        return {path: self._item(inode) for path, inode in self.inodes.items()}

    def _item(self, inode: Inode) -> Item:
        names = tuple(sorted(path for path, other in self.inodes.items() if other is inode))
        named = () if inode.kind == "d" else names
        return Item(inode.kind, inode.mode, inode.uid, inode.gid, inode.value, (), named)

    def carry_out(self, change: FileChange) -> None:
        path = change.path
        match change:
            case WriteFile():
                self.inodes[path] = Inode("-", change.mode, change.uid, change.gid, change.data)
            case MakeLink(hard=True):
                self.inodes[path] = self.inodes[change.target]
            case MakeLink():
                self.inodes[path] = Inode("l", 0o777, change.uid, change.gid, change.target.encode())
            case MakeDirectory():
                self.inodes[path] = Inode("d", change.mode, change.uid, change.gid)
            case SetMetadata():
                inode = self.inodes[path]
                inode.mode, inode.uid, inode.gid = change.mode, change.uid, change.gid
            case RemovePath():
                if not any(other.startswith(f"{path}/") for other in self.inodes):
                    del self.inodes[path]
            case KeepOriginal():
                blob = f"/state/originals/{change.before.digest}"
                self.inodes[blob] = Inode("-", 0o600, UID, GID, self.inodes[path].value)


class Planner:
    """Draws changes that suit what stands at each path."""

    def __init__(self, scratch: Scratch, data: st.DataObject) -> None:
        self.scratch = scratch
        self.data = data
        self.changes: dict[str, FileChange] = {}
        self.originals: list[FileChange] = []

    def batch(self) -> list[FileChange]:
        for path in LEAVES:
            self._leaf(path, self.scratch.state(path))
        for path in LEAVES:
            if self.data.draw(st.integers(0, 5)) == 0:
                self._hard_link(path)
        for path in DIRECTORIES:
            self._directory(path, self.scratch.state(path))
        return [*self.originals, *self.changes.values()]

    def _leaf(self, path: str, state: FileState) -> None:
        options: dict[str, Callable[[], FileChange]] = {
            "write": lambda: self._write(path),
            "link": lambda: self._link(path),
        }
        if state.type is not FileType.ABSENT:
            options["remove"] = lambda: self.scratch.removal(path)
        if state.type is FileType.FILE:
            options["metadata"] = lambda: self._metadata(path)
        choice = self.data.draw(st.sampled_from(["nothing", *options]))
        if choice in options:
            self.changes[path] = options[choice]()
        if state.type is FileType.FILE and self.data.draw(st.booleans()):
            self.originals.append(self.scratch.original(path))

    def _write(self, path: str) -> WriteFile:
        uid, gid = self.data.draw(owners)
        return self.scratch.write(path, self.data.draw(contents), self.data.draw(modes), uid=uid, gid=gid)

    def _link(self, path: str) -> MakeLink:
        return self.scratch.link(path, self.data.draw(targets))

    def _metadata(self, path: str) -> SetMetadata:
        uid, gid = self.data.draw(owners)
        return self.scratch.metadata(path, self.data.draw(modes), uid=uid, gid=gid)

    def _hard_link(self, path: str) -> None:
        """Make `path` another name of a file that this batch leaves, or finds."""
        files = [other for other in LEAVES if other != path and self._is_file(other) and not self._is_same(path, other)]
        if not files or any(isinstance(change, MakeLink) and change.target == path for change in self.changes.values()):
            return
        target = self.data.draw(st.sampled_from(files))
        planned = self.changes.get(target)
        linked = self.scratch.state(target)
        if isinstance(planned, WriteFile | SetMetadata):
            after = planned.after
            linked = FileState(after.type, after.mode, after.uid, after.gid, planned.size, after.digest)
        self.changes[path] = self.scratch.hard_link(path, target, linked)

    def _is_same(self, path: str, other: str) -> bool:
        """Two names of one inode already."""
        one, two = self.scratch.state(path), self.scratch.state(other)
        return one.type is FileType.FILE and one.identity[:2] == two.identity[:2]

    def _is_file(self, path: str) -> bool:
        planned = self.changes.get(path)
        if planned is None or isinstance(planned, SetMetadata | RemovePath):
            return self.scratch.state(path).type is FileType.FILE
        return isinstance(planned, WriteFile)

    def _directory(self, path: str, state: FileState) -> None:
        needed = any(change.path.startswith(f"{path}/") for change in self.changes.values())
        if state.type is FileType.ABSENT:
            if needed or self.data.draw(st.booleans()):
                self._make(path)
            return
        match self.data.draw(st.sampled_from(["nothing", "nothing", "remove", "metadata"])):
            case "remove":
                self.changes[path] = self.scratch.removal(path)
            case "metadata":
                self.changes[path] = self.scratch.metadata(path, self.data.draw(st.sampled_from([0o700, 0o755])))

    def _make(self, path: str) -> None:
        parent = path.rpartition("/")[0]
        if parent and self.scratch.state(parent).type is FileType.ABSENT:
            self._make(parent)
        self.changes[path] = self.scratch.directory(path, self.data.draw(st.sampled_from([0o700, 0o755, 0o2775])))


def _overtake(path: Path, kind: str, theirs: bytes) -> None:
    """What somebody else does to a path between plan and apply."""
    there = os.path.lexists(path)
    if kind == "append" and there and not path.is_symlink() and path.is_file():
        with path.open("ab") as file:
            file.write(theirs)
        return
    if kind == "chmod" and there and not path.is_symlink():
        path.chmod(stat.S_IMODE(path.stat().st_mode) ^ 0o001)
        return
    if there:
        path.unlink()
    put: dict[str, Callable[[], object]] = {
        "chmod": lambda: path.write_bytes(theirs),
        "append": lambda: path.write_bytes(theirs),
        "replace": lambda: path.write_bytes(theirs),
        "link": lambda: path.symlink_to(os.fsdecode(theirs)),
        "directory": path.mkdir,
        "fifo": lambda: os.mkfifo(path),
        "remove": lambda: None if there else path.write_bytes(theirs),
    }
    put[kind]()


class Batches(RuleBasedStateMachine):
    """A scratch root to which one batch after the other happens, in one way or another."""

    @initialize()
    def begin(self) -> None:
        self._directory = tempfile.TemporaryDirectory(dir=_IN_MEMORY)
        self.scratch = Scratch(Path(self._directory.name) / "root")
        self.transaction = 0

    def teardown(self) -> None:
        if hasattr(self, "scratch"):
            self.scratch.close()
            self._directory.cleanup()

    @property
    def root(self) -> Path:
        return self.scratch.root

    def _draw(self, data: st.DataObject) -> list[FileChange]:
        self.transaction += 1
        return Planner(self.scratch, data).batch()

    @rule(data=st.data())
    def carry_out(self, data: st.DataObject) -> None:
        model = Model.of(snapshot(self.root))
        changes = self._draw(data)
        self.scratch.carry_out(*changes, transaction=str(self.transaction))
        for change in sorted(changes, key=lambda each: each.order):
            model.carry_out(change)
        assert difference(snapshot(self.root), model.snapshot()) == ""

    @rule(data=st.data(), again=st.booleans())
    def interrupt(self, data: st.DataObject, *, again: bool) -> None:
        before, numbers = self._without_originals(), inodes(self.root)
        batch = self.scratch.batch(*self._draw(data), transaction=str(self.transaction))
        staged = data.draw(st.integers(0, len(batch.changes)))
        batch.stage(staged)
        if staged == len(batch.changes):
            batch.commit(data.draw(st.integers(0, staged)))
        batch.undo_elsewhere()
        if again:
            batch.undo_elsewhere()
        assert difference(self._without_originals(), before) == ""
        assert {path: number for path, number in inodes(self.root).items() if path in before} == {
            path: number for path, number in numbers.items() if path in before
        }

    def _without_originals(self) -> Snapshot:
        """Kept originals stay when a batch is undone: they are what the disk holds anyway."""
        return {path: item for path, item in snapshot(self.root).items() if not path.startswith("/state/originals/")}

    @rule(data=st.data(), kind=st.sampled_from(["append", "chmod", "replace", "link", "directory", "fifo", "remove"]))
    def overtake(self, data: st.DataObject, kind: str) -> None:
        changes = [change for change in self._draw(data) if not isinstance(change, KeepOriginal)]
        watched = [change for change in changes if _is_watched(change) and self.scratch.at(change.path).parent.is_dir()]
        if not watched:
            return
        chosen = data.draw(st.sampled_from(watched))
        _overtake(
            self.scratch.at(chosen.path),
            "directory" if isinstance(chosen, MakeDirectory) else kind,
            b"theirs %d" % self.transaction,
        )
        before = snapshot(self.root)
        batch = self.scratch.batch(*changes, transaction=str(self.transaction))
        with pytest.raises(Transient, match="changed while the plan was being applied"):
            _attempt(batch.stage, batch.commit)
        batch.undo()
        assert difference(snapshot(self.root), before) == ""
        _tidy(self.scratch.at(chosen.path), before)

    @invariant()
    def nothing_stands_aside(self) -> None:
        if hasattr(self, "scratch"):
            assert not [path for path in snapshot(self.root) if ASIDE in path]


def _is_watched(change: FileChange) -> bool:
    """A change to the directory itself is made whatever has come to stand in it, or in its place when it goes."""
    return change.before.type is not FileType.DIRECTORY


def _attempt(*steps: Callable[[], None]) -> None:
    for step in steps:
        step()


def _tidy(path: Path, seen: Mapping[str, Item]) -> None:
    """Take away what no change could be planned for: a FIFO, or a directory in a file's place."""
    mode = os.lstat(path).st_mode if os.path.lexists(path) else 0
    if stat.S_ISFIFO(mode):
        path.unlink()
    elif stat.S_ISDIR(mode) and f"/{path.name}" not in DIRECTORIES and path.name != "e":
        path.rmdir()
    assert seen


Batches.TestCase.settings = settings(max_examples=100, stateful_step_count=8, deadline=None)
TestBatches = Batches.TestCase
