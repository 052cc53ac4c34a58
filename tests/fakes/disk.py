"""A disk in memory that carries out file changes at once: enough to hold the planner to its promises."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field

from nodeagent.changes.files import (
    FileChange,
    KeepOriginal,
    MakeDirectory,
    MakeLink,
    RemovePath,
    SetMetadata,
    WriteFile,
)
from nodeagent.observed.files import ABSENT, FileState, FileType


def file_state(data: bytes, mode: int = 0o644, uid: int = 0, gid: int = 0) -> FileState:
    """The state of a regular file with these bytes."""
    digest = hashlib.sha256(data).hexdigest()
    return FileState(FileType.FILE, mode, uid, gid, len(data), digest, identity=(1, int(digest[:12], 16)))


def directory_state(mode: int = 0o755, uid: int = 0, gid: int = 0) -> FileState:
    return FileState(FileType.DIRECTORY, mode, uid, gid)


def link_state(target: str, uid: int = 0, gid: int = 0) -> FileState:
    return FileState(FileType.LINK, 0o777, uid, gid, target=target)


@dataclass
class Disk:
    """States and contents by path; kept originals by digest."""

    states: dict[str, FileState] = field(default_factory=dict)
    contents: dict[str, bytes] = field(default_factory=dict)
    originals: dict[str, bytes] = field(default_factory=dict)

    def write(self, path: str, data: bytes, mode: int = 0o644) -> None:
        """What somebody else does: put a file there, and the directories it needs."""
        parent = path.rpartition("/")[0]
        while parent and parent not in self.states:
            self.states[parent] = directory_state()
            parent = parent.rpartition("/")[0]
        self.states[path] = file_state(data, mode)
        self.contents[self.states[path].digest] = data

    def observe(self, paths: Iterable[str]) -> dict[str, FileState]:
        return {path: self.states.get(path, ABSENT) for path in paths}

    def carry_out(self, changes: Iterable[FileChange]) -> None:
        """Make the changes, each of which must find what it expects."""
        for change in sorted(changes, key=lambda each: each.order):
            assert self.states.get(change.path, ABSENT) == change.before, change
            self._carry_out(change)

    def _carry_out(self, change: FileChange) -> None:
        match change:
            case WriteFile():
                self.states[change.path] = file_state(change.data, change.mode, change.uid, change.gid)
                self.contents[change.digest] = change.data
            case MakeLink():
                self.states[change.path] = link_state(change.target, change.uid, change.gid)
            case MakeDirectory():
                assert change.path not in self.states
                self.states[change.path] = directory_state(change.mode, change.uid, change.gid)
            case SetMetadata():
                if change.before.type is FileType.DIRECTORY:
                    self.states[change.path] = directory_state(change.mode, change.uid, change.gid)
                else:
                    data = self.contents[change.before.digest]
                    self.states[change.path] = file_state(data, change.mode, change.uid, change.gid)
            case RemovePath():
                if not any(path.startswith(change.path + "/") for path in self.states):
                    del self.states[change.path]
            case KeepOriginal():
                self.originals[change.before.digest] = self.contents[change.before.digest]
