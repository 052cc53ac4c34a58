"""Compares what a node should have with what it has, and plans the difference. Pure.

Invariants: planning a node that has what it should gives an empty plan; each managed path remembers what stood there
before the agent first touched it, and gives exactly that back when nothing declares the path any more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

from nodeagent.changes.files import (
    NOTHING,
    FileChange,
    KeepOriginal,
    MakeDirectory,
    MakeLink,
    Phase,
    RemovePath,
    SetMetadata,
    Trace,
    WriteFile,
)
from nodeagent.errors import Problem, Rejected
from nodeagent.machineconfig.applied import LABEL, Applied, Entry, Original, Subject
from nodeagent.machineconfig.desired import Absent, Declared, Desired, Directory, File, Link
from nodeagent.observed.files import ABSENT, FileState, FileType

_PHASES = {
    Subject.UNIT: Phase.UNIT,
    Subject.DROPIN: Phase.UNIT,
    Subject.MASK: Phase.UNIT,
    Subject.ENABLEMENT: Phase.ENABLEMENT,
    Subject.SSH: Phase.ACCOUNT,
    Subject.PASSWORD: Phase.ACCOUNT,
    Subject.KERNEL: Phase.KERNEL,
}
_PARENT_MODE = 0o755
_CAPABILITIES = "security.capability"


@dataclass(frozen=True)
class Difference:
    """The changes that bring the paths of a node to what is desired, and the entries that hold from then on."""

    changes: tuple[FileChange, ...]
    entries: Mapping[str, Entry]
    removed: tuple[str, ...]


def paths_of_interest(desired: Desired, applied: Applied) -> tuple[str, ...]:
    """Every path whose state must be known to plan: what is declared, what is managed, and all parents of both."""
    known = {*desired.paths, *applied.entries, *applied.removed, *desired.unwanted}
    known |= {link.target for link in desired.paths.values() if isinstance(link, Link) and link.hard}
    nearest = {path.rpartition("/")[0] for path in known} - {""}
    return tuple(sorted(known | nearest | {parent for path in nearest for parent in parents(path)}))


def parents(path: str) -> Iterable[str]:
    """All directories above `path` but "/", nearest first."""
    while (path := path.rpartition("/")[0]) != "":
        yield path


def difference(
    desired: Desired,
    applied: Applied,
    observed: Mapping[str, FileState],
    originals: Callable[[str], bytes],
    owner: tuple[int, int],
) -> Difference:
    """What has to change below the root; Rejected if something that may not be replaced stands in the way.

    `observed` has the state of all `paths_of_interest`, `originals` gives kept bytes by digest, `owner` (uid, gid) is
    given to what declares none.
    """
    planner = _Planner(desired, applied, observed, originals, owner)
    for path, declared in sorted(_with_parents(desired, applied, observed, owner).items()):
        planner.want(path, declared)
    for path in sorted(applied.entries.keys() - planner.entries.keys()):
        planner.give_back(path, applied.entries[path])
    for path in sorted({*applied.removed, *desired.unwanted}):
        planner.keep_away(path)
    if planner.problems:
        raise Rejected(planner.problems)
    return Difference(tuple(planner.changes), planner.entries, _removed(applied, planner))


def _with_parents(
    desired: Desired, applied: Applied, observed: Mapping[str, FileState], owner: tuple[int, int]
) -> dict[str, Declared]:
    """What is declared, with the directories that it needs and nobody has made or made before for this."""
    paths, seen = dict(desired.paths), set[str]()
    for path, declared in desired.paths.items():
        if isinstance(declared, Absent):
            continue
        for parent in parents(path):
            if parent in seen:
                break  # and so are all above it
            seen.add(parent)
            ours = applied.entries.get(parent)
            missing = observed.get(parent, ABSENT).type is FileType.ABSENT
            if parent not in paths and (missing or (ours is not None and ours.subject is Subject.PARENT)):
                paths[parent] = Directory(
                    subject=Subject.PARENT,
                    sources=declared.sources,
                    mode=_PARENT_MODE,
                    uid=owner[0],
                    gid=owner[1],
                    actor=declared.actor,
                )
    return paths


def _removed(applied: Applied, planner: _Planner) -> tuple[str, ...]:
    """Paths that the agent has taken away for good: if one comes back, somebody has put it there."""
    gone = {path for path in applied.removed if planner.observed.get(path, ABSENT).type is FileType.ABSENT}
    return tuple(sorted((gone | planner.taken_away) - planner.entries.keys()))


@dataclass
class _Planner:
    desired: Desired
    applied: Applied
    observed: Mapping[str, FileState]
    originals: Callable[[str], bytes]
    owner: tuple[int, int]
    changes: list[FileChange] = field(default_factory=list)
    entries: dict[str, Entry] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    taken_away: set[str] = field(default_factory=set)

    # -- what is declared ---------------------------------------------------------------------------------------------

    def want(self, path: str, declared: Declared) -> None:
        """Plan whatever `path` needs, and remember what it must be from then on."""
        state = self.observed.get(path, ABSENT)
        if self._in_the_way(path, declared, state):
            return
        change = self._change(path, declared, state)
        self._keep_original(path, state, declared)
        if change is not None:
            self.changes.append(change)
        expected = Trace.of(state) if change is None else change.after
        if isinstance(declared, File) and declared.shared:
            return
        self.entries[path] = Entry(
            declared.subject,
            expected,
            declared.sources,
            self._original(path, state),
            declared.unit,
            isinstance(declared, File) and declared.data is None,
            () if isinstance(declared, Absent) else _wanted_xattrs(state, self.applied.entries.get(path)),
        )

    def _in_the_way(self, path: str, declared: Declared, state: FileState) -> bool:
        """Note a problem if what stands at the path may not be replaced by what is declared."""
        if state.type is FileType.ABSENT:
            return False
        wanted = _type(declared)
        if state.type is wanted and not self._conflict(path, declared, state):
            return False
        named = f"MachineConfig {' + '.join(declared.sources) or self.desired.config}"
        if state.type is FileType.DIRECTORY or wanted is FileType.DIRECTORY or state.type is FileType.OTHER:
            message = f"{_article(state.type)} stands at {path}, and {_article(wanted)} is declared"
            self.problems.append(Problem(named, path, message, "move it away by hand, or declare another path"))
            return True
        if not self._conflict(path, declared, state):
            return False
        advice = "declare overwrite: true to replace it; it is given back when the MachineConfig goes"
        self.problems.append(Problem(named, path, f"{path} exists with other contents and overwrite is false", advice))
        return True

    def _conflict(self, path: str, declared: Declared, state: FileState) -> bool:
        if not isinstance(declared, File | Link) or declared.overwrite or path in self.applied.entries:
            return False
        return self._change(path, declared, state) is not None

    def _change(self, path: str, declared: Declared, state: FileState) -> FileChange | None:
        match declared:
            case File():
                return self._write(path, declared, state)
            case Directory():
                return self._directory(path, declared, state)
            case Link():
                return self._link(path, declared, state)
            case Absent():
                return (
                    None
                    if state.type is FileType.ABSENT
                    else RemovePath(path=path, before=state, sources=declared.sources)
                )

    def _write(self, path: str, file: File, state: FileState) -> FileChange | None:
        mode, uid, gid = self._metadata(file, state, 0o644)
        phase = _PHASES.get(file.subject, Phase.FILE)
        xattrs = _wanted_xattrs(state, self.applied.entries.get(path))
        change = WriteFile(
            path=path,
            before=state,
            sources=file.sources,
            phase=phase,
            actor=file.actor,
            data=file.data or b"",
            mode=mode,
            uid=uid,
            gid=gid,
            xattrs=xattrs,
        )
        if state.type is not FileType.FILE or (file.data is not None and change.digest != state.digest):
            return change
        return self._metadata_change(path, file, state, (mode, uid, gid), xattrs)

    def _metadata_change(
        self,
        path: str,
        declared: File | Directory,
        state: FileState,
        wanted: tuple[int, int, int],
        xattrs: tuple[tuple[str, bytes], ...],
    ) -> FileChange | None:
        if wanted == (state.mode, state.uid, state.gid) and xattrs == state.xattrs:
            return None
        mode, uid, gid = wanted
        phase = _PHASES.get(declared.subject, Phase.FILE)
        return SetMetadata(
            path=path,
            before=state,
            sources=declared.sources,
            phase=phase,
            actor=declared.actor,
            mode=mode,
            uid=uid,
            gid=gid,
            xattrs=xattrs,
        )

    def _metadata(self, declared: File | Directory, state: FileState, mode: int) -> tuple[int, int, int]:
        """Mode and owner to have: as declared, else as it stands, else the default."""
        there = state.type is _type(declared)
        mode, uid, gid = (state.mode, state.uid, state.gid) if there else (mode, *self.owner)
        return (
            mode if declared.mode is None else declared.mode,
            uid if declared.uid is None else declared.uid,
            gid if declared.gid is None else declared.gid,
        )

    def _directory(self, path: str, directory: Directory, state: FileState) -> FileChange | None:
        mode, uid, gid = self._metadata(directory, state, _PARENT_MODE)
        if state.type is FileType.ABSENT:
            sources = directory.sources
            return MakeDirectory(
                path=path, before=state, sources=sources, actor=directory.actor, mode=mode, uid=uid, gid=gid
            )
        xattrs = _wanted_xattrs(state, self.applied.entries.get(path))
        return self._metadata_change(path, directory, state, (mode, uid, gid), xattrs)

    def _link(self, path: str, link: Link, state: FileState) -> FileChange | None:
        uid = self.owner[0] if link.uid is None else link.uid
        gid = self.owner[1] if link.gid is None else link.gid
        linked = self._linked(link)
        change = MakeLink(
            path=path,
            before=state,
            sources=link.sources,
            phase=_PHASES.get(link.subject, Phase.LINK),
            target=link.target,
            hard=link.hard,
            uid=uid,
            gid=gid,
            linked=linked,
        )
        if link.hard:
            return None if _same_inode(state, linked) and not self._rewrites(link.target) else change
        return None if change.after == Trace.of(state) else change

    def _linked(self, link: Link) -> FileState:
        """What a hard link will share: the target as it stands, or as this plan leaves it."""
        if not link.hard:
            return ABSENT
        planned = next((each for each in self.changes if each.path == link.target), None)
        if planned is None or not isinstance(planned, WriteFile | SetMetadata):
            return self.observed.get(link.target, ABSENT)
        after = planned.after
        return FileState(after.type, after.mode, after.uid, after.gid, digest=after.digest)

    def _rewrites(self, path: str) -> bool:
        return any(each.path == path and isinstance(each, WriteFile) for each in self.changes)

    # -- what stood there before --------------------------------------------------------------------------------------

    def _original(self, path: str, state: FileState) -> Original | None:
        """What to give back one day: what was first seen, whether or not it had to be changed."""
        entry = self.applied.entries.get(path)
        if entry is not None:
            return entry.original
        return None if state.type is FileType.ABSENT else Original.of(state)

    def _keep_original(self, path: str, state: FileState, declared: Declared) -> None:
        if isinstance(declared, File) and (declared.shared or declared.data is None):
            return  # the agent never replaces these bytes
        if path not in self.applied.entries and state.type is FileType.FILE:
            self.changes.append(KeepOriginal(path=path, before=state, sources=declared.sources))

    # -- what is declared no more -------------------------------------------------------------------------------------

    def give_back(self, path: str, entry: Entry) -> None:
        """Plan the path's way back to what stood there before the agent came."""
        state = self.observed.get(path, ABSENT)
        planned = self._remove(path, entry, state) if entry.original is None else self._restore(path, entry, state)
        if planned is None:
            return
        kernel = entry.subject is Subject.KERNEL  # the boot menu follows such a change
        self.changes.append(replace(planned, phase=Phase.KERNEL) if kernel else planned)

    def keep_away(self, path: str) -> None:
        """Plan to take away what may not be here: what the agent has removed before, or what undoes what it applied."""
        state = self.observed.get(path, ABSENT)
        if path in self.entries or state.type not in (FileType.FILE, FileType.LINK):
            return
        self.taken_away.add(path)
        self.changes.append(RemovePath(path=path, before=state, reason="must not be here"))

    def _remove(self, path: str, entry: Entry, state: FileState) -> FileChange | None:
        if entry.trace.type not in (FileType.DIRECTORY, FileType.ABSENT):
            self.taken_away.add(path)
        if state.type is FileType.ABSENT or entry.trace == NOTHING:
            return None
        if (state.type is FileType.DIRECTORY) != (entry.trace.type is FileType.DIRECTORY):
            return None  # somebody has put something else there: it is not ours to remove
        return RemovePath(path=path, before=state, sources=entry.sources, reason="no longer declared")

    def _restore(self, path: str, entry: Entry, state: FileState) -> FileChange | None:
        original = entry.original or Original(NOTHING)
        trace, reason = original.trace, "no longer declared: gives back what stood here before"
        if (
            trace == Trace.of(state)
            or trace.type is FileType.OTHER
            or (entry.any_contents and state.type is not FileType.FILE)
            or (state.type is FileType.DIRECTORY) != (trace.type is FileType.DIRECTORY)
        ):
            return None
        if trace.type is FileType.LINK:
            return MakeLink(path=path, before=state, reason=reason, target=trace.target, uid=trace.uid, gid=trace.gid)
        if not entry.any_contents and (trace.digest != state.digest or state.type is not trace.type):
            return self._rewrite(path, original, state, reason)
        return SetMetadata(
            path=path,
            before=state,
            reason=reason,
            mode=trace.mode,
            uid=trace.uid,
            gid=trace.gid,
            xattrs=original.xattrs,
        )

    def _rewrite(self, path: str, original: Original, state: FileState, reason: str) -> WriteFile:
        trace = original.trace
        return WriteFile(
            path=path,
            before=state,
            reason=reason,
            data=self.originals(trace.digest),
            mode=trace.mode,
            uid=trace.uid,
            gid=trace.gid,
            xattrs=original.xattrs,
        )


def _wanted_xattrs(state: FileState, entry: Entry | None) -> tuple[tuple[str, bytes], ...]:
    """Attributes to have: those that stood there when the agent first saw the path, with the SELinux label it has got.

    File capabilities belong to the bytes they were given to and are not carried over to others.
    """
    if entry is None:
        return tuple((name, value) for name, value in state.xattrs if name != _CAPABILITIES)
    if any(name == LABEL for name, _ in entry.xattrs):
        return entry.xattrs
    return tuple(sorted((*entry.xattrs, *((name, value) for name, value in state.xattrs if name == LABEL))))


def _type(declared: Declared) -> FileType:
    match declared:
        case File():
            return FileType.FILE
        case Directory():
            return FileType.DIRECTORY
        case Link():
            return FileType.FILE if declared.hard else FileType.LINK
        case Absent():
            return FileType.ABSENT


def _article(kind: FileType) -> str:
    return {FileType.ABSENT: "nothing", FileType.OTHER: "a special file"}.get(kind, f"a {kind}")


def _same_inode(one: FileState, other: FileState) -> bool:
    return one.type is FileType.FILE and one.identity[:2] == other.identity[:2]
