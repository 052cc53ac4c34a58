"""A scratch root with the effects on it: what the tests of file changes start from."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nodeagent.changes.files import (
    FileChange,
    KeepOriginal,
    MakeDirectory,
    MakeLink,
    RemovePath,
    SetMetadata,
    WriteFile,
)
from nodeagent.host.files import FileEffects
from nodeagent.host.observe import Observer
from nodeagent.host.tree import Tree
from nodeagent.observed.files import FileState

UID, GID = os.geteuid(), os.getegid()
STATE = "/state"


@dataclass
class Scratch:
    """The tree below `root`, in which changes are planned from what stands there."""

    root: Path

    def __post_init__(self) -> None:
        self.root.mkdir(exist_ok=True)
        (self.root / "state" / "originals").mkdir(parents=True, mode=0o700)
        self.tree = Tree(str(self.root))
        self.observer = Observer(self.tree)
        self.effects = self.process()

    def close(self) -> None:
        self.tree.close()

    def process(self) -> FileEffects:
        """The effects as a new process has them: it remembers nothing."""
        return FileEffects(self.tree, f"{STATE}/originals")

    def at(self, path: str) -> Path:
        return self.root / path[1:]

    def state(self, path: str) -> FileState:
        return self.observer.state(path)

    # -- changes to what stands there ---------------------------------------------------------------------------------

    def write(self, path: str, data: bytes = b"new", mode: int = 0o644, **more: Any) -> WriteFile:
        given = {"uid": UID, "gid": GID} | more
        return WriteFile(path=path, before=self.state(path), data=data, mode=mode, **given)

    def link(self, path: str, target: str) -> MakeLink:
        return MakeLink(path=path, before=self.state(path), target=target, uid=UID, gid=GID)

    def hard_link(self, path: str, target: str, linked: FileState | None = None) -> MakeLink:
        return MakeLink(
            path=path, before=self.state(path), target=target, hard=True, linked=linked or self.state(target)
        )

    def directory(self, path: str, mode: int = 0o755) -> MakeDirectory:
        return MakeDirectory(path=path, before=self.state(path), mode=mode, uid=UID, gid=GID)

    def metadata(self, path: str, mode: int, **more: Any) -> SetMetadata:
        given = {"uid": UID, "gid": GID} | more
        return SetMetadata(path=path, before=self.state(path), mode=mode, **given)

    def removal(self, path: str) -> RemovePath:
        return RemovePath(path=path, before=self.state(path))

    def original(self, path: str) -> KeepOriginal:
        return KeepOriginal(path=path, before=self.state(path))

    # -- carrying them out --------------------------------------------------------------------------------------------

    def batch(self, *changes: FileChange, transaction: str = "1") -> Batch:
        ordered = tuple(sorted(changes, key=lambda change: change.order))
        inverses = self.effects.inverses(ordered, transaction)
        return Batch(self, ordered, json.loads(json.dumps(inverses)))

    def carry_out(self, *changes: FileChange, transaction: str = "1") -> None:
        """Everything from staging to discarding."""
        batch = self.batch(*changes, transaction=transaction)
        batch.stage()
        batch.commit()
        batch.discard()


@dataclass(frozen=True)
class Batch:
    """Changes in order, with their inverses as they come back from the journal."""

    scratch: Scratch
    changes: Sequence[FileChange]
    inverses: Sequence[Mapping[str, Any]]

    def stage(self, count: int | None = None) -> None:
        self._do(self.scratch.effects.stage, count)

    def commit(self, count: int | None = None) -> None:
        self._do(self.scratch.effects.commit, count)

    def _do(
        self, effect: Callable[[Sequence[FileChange], Sequence[Mapping[str, Any]]], None], count: int | None
    ) -> None:
        effect(self.changes[:count], self.inverses[:count])
        self.scratch.effects.settle()

    def undo(self) -> None:
        self.scratch.effects.undo(self.inverses)
        self.scratch.effects.settle()

    def undo_elsewhere(self) -> None:
        """Undo it in a new process."""
        effects = self.scratch.process()
        effects.undo(self.inverses)
        effects.settle()

    def discard(self) -> None:
        self.scratch.effects.discard(self.inverses)
        self.scratch.effects.settle()
