"""Carries out changes to files: staged beside the target, put in place by one rename each, taken back the same way.

Invariants: a path holds its old state or its new one at every instant; the old inode is kept whole beside the target
(owner, attributes, hard links and all) until the transaction is done; what is swapped out must be what the plan saw,
else the batch fails and is undone. `undo` decides from what stands on disk, so it works after any interruption.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from nodeagent.changes.files import (
    Actor,
    FileChange,
    Inverse,
    KeepOriginal,
    MakeDirectory,
    MakeLink,
    RemovePath,
    SetMetadata,
    Trace,
    Undo,
    WriteFile,
    inverse,
)
from nodeagent.errors import Transient
from nodeagent.host.barrier import Barrier
from nodeagent.host.observe import Observer, file_type, identity
from nodeagent.host.syscalls import RENAME_EXCHANGE, RENAME_NOREPLACE, acting_as, rename
from nodeagent.host.tree import Tree, split
from nodeagent.observed.files import FileState, FileType

ASIDE = ".nodeagent-"  # how the names of everything that is put aside begin

_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


class FileEffects:
    """File changes below `tree`; originals are kept in the directory `originals` (a path in the tree, mode 0700)."""

    def __init__(self, tree: Tree, originals: str) -> None:
        self._tree = tree
        self._originals = originals
        self._observer = Observer(tree)
        self._barrier = Barrier(tree)

    def inverses(self, changes: Sequence[FileChange], transaction: str) -> list[Mapping[str, Any]]:
        """The journalled inverses of `changes`, in the same order."""
        return [inverse(change, f"{ASIDE}{transaction}-{index}").facts() for index, change in enumerate(changes)]

    def stage(self, changes: Sequence[FileChange], inverses: Sequence[Mapping[str, Any]]) -> None:
        """Make directories, and write every new file and link under its aside name."""
        self._tree.forget()
        for change, facts in zip(changes, inverses, strict=True):
            with _named(change.path), _as(change.actor):
                self._stage(change, facts["aside"])

    def commit(self, changes: Sequence[FileChange], inverses: Sequence[Mapping[str, Any]]) -> None:
        """Put every staged state in place, in order."""
        for change, facts in zip(changes, inverses, strict=True):
            with _named(change.path), _as(change.actor):
                self._commit(change, facts["aside"])

    def undo(self, inverses: Sequence[Mapping[str, Any]]) -> None:
        """Take back whatever of the batch was made, last first."""
        self._tree.forget()
        for facts in reversed(inverses):
            undone = Inverse.from_facts(facts)
            with _named(undone.path), _as(undone.actor):
                self._undo(undone)

    def discard(self, inverses: Sequence[Mapping[str, Any]]) -> None:
        """Drop everything that still stands aside, then the directories that were to go."""
        undone = [Inverse.from_facts(facts) for facts in inverses]
        for kept in undone:
            if kept.aside:
                with _named(kept.path), _as(kept.actor), contextlib.suppress(FileNotFoundError):
                    self._drop(kept.path, kept.aside)
        for gone in undone:
            if gone.undo is Undo.LATER:
                with _named(gone.path), _as(gone.actor):
                    self._remove_directory(gone)

    def settle(self) -> None:
        """Return once everything touched has reached stable storage."""
        self._barrier.settle()

    # -- staging ------------------------------------------------------------------------------------------------------

    def _stage(self, change: FileChange, aside: str) -> None:
        match change:
            case WriteFile():
                self._stage_file(change, aside)
            case MakeLink():
                self._stage_link(change, aside)
            case MakeDirectory():
                self._make_directory(change.path, change.mode, change.uid, change.gid)
            case KeepOriginal():
                self._keep(change)
            case SetMetadata() | RemovePath():
                pass  # nothing to make ready

    def _stage_file(self, change: WriteFile, aside: str) -> None:
        parent, beside = self._beside(change.path, aside)
        descriptor = os.open(aside, _CREATE, 0o600, dir_fd=parent)
        with os.fdopen(descriptor, "wb", buffering=0) as file:
            self._barrier.note(beside, file=True)
            os.fchown(descriptor, change.uid, change.gid)
            for name, value in change.xattrs:
                os.setxattr(descriptor, name, value)
            _write(file.fileno(), change.data)
            os.fchmod(descriptor, change.mode)  # last: a write or a chown clears set-id bits

    def _stage_link(self, change: MakeLink, aside: str) -> None:
        parent, beside = self._beside(change.path, aside)
        self._barrier.note(beside)
        if change.hard:
            directory, name = split(change.target)
            source = self._tree.directory(directory)
            os.link(name, aside, src_dir_fd=source, dst_dir_fd=parent, follow_symlinks=False)
            return
        os.symlink(change.target, aside, dir_fd=parent)
        os.chown(aside, change.uid, change.gid, dir_fd=parent, follow_symlinks=False)

    def _make_directory(self, path: str, mode: int, uid: int, gid: int) -> None:
        directory, name = split(path)
        parent = self._tree.directory(directory)
        try:
            os.mkdir(name, 0o700, dir_fd=parent)
        except FileExistsError as error:
            raise Transient(f"{path}: appeared while the plan was being applied") from error
        self._barrier.note(path)
        descriptor = os.open(name, _OPEN | os.O_DIRECTORY, dir_fd=parent)
        try:
            os.fchown(descriptor, uid, gid)
            os.fchmod(descriptor, mode)
        finally:
            os.close(descriptor)

    def _keep(self, change: KeepOriginal) -> None:
        """Copy the file's bytes into the store of originals, under their digest."""
        blob = f"{self._originals}/{change.before.digest}"
        if self._observer.state(blob).digest == change.before.digest:
            return  # kept already, and whole
        data = self._observer.read(change.path, change.before.size, change.actor)
        parent, name = self._beside(blob, change.before.digest)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name.rpartition("/")[2], dir_fd=parent)
        descriptor = os.open(change.before.digest, _CREATE, 0o600, dir_fd=parent)
        try:
            self._barrier.note(blob, file=True)
            _write(descriptor, data or b"")
        finally:
            os.close(descriptor)
        if self._observer.state(blob).digest != change.before.digest:
            raise Transient(f"{change.path}: changed while the plan was being applied")

    def _beside(self, path: str, aside: str) -> tuple[int, str]:
        """Descriptor of the parent of `path`, and the path of `aside` in it."""
        directory, _ = split(path)
        return self._tree.directory(directory), f"{directory.rstrip('/')}/{aside}"

    # -- putting in place ---------------------------------------------------------------------------------------------

    def _commit(self, change: FileChange, aside: str) -> None:
        match change:
            case WriteFile() | MakeLink():
                self._swap_in(change, aside)
            case RemovePath():
                self._take_away(change, aside)
            case SetMetadata():
                self._set_metadata(change)
            case MakeDirectory() | KeepOriginal():
                pass  # made while staging: neither is read by anybody yet

    def _swap_in(self, change: WriteFile | MakeLink, aside: str) -> None:
        directory, name = split(change.path)
        parent = self._tree.directory(directory)
        self._barrier.note(change.path)
        if change.before.type is FileType.ABSENT:
            rename(parent, aside, name, RENAME_NOREPLACE)
            return
        rename(parent, aside, name, RENAME_EXCHANGE)
        _expect(change, os.stat(aside, dir_fd=parent, follow_symlinks=False))

    def _take_away(self, change: RemovePath, aside: str) -> None:
        if change.before.type is FileType.DIRECTORY:
            return  # only once the files that stood in it are not even aside any more
        directory, name = split(change.path)
        parent = self._tree.directory(directory)
        self._barrier.note(change.path)
        rename(parent, name, aside, RENAME_NOREPLACE)
        _expect(change, os.stat(aside, dir_fd=parent, follow_symlinks=False))

    def _set_metadata(self, change: SetMetadata) -> None:
        with self._opened(change.path) as descriptor:
            _expect(change, os.fstat(descriptor))
            self._barrier.note(change.path, file=True)
            _set(descriptor, change.mode, change.uid, change.gid)
            _set_xattrs(descriptor, change.before, change.xattrs)

    @contextlib.contextmanager
    def _opened(self, path: str) -> Iterator[int]:
        directory, name = split(path)
        descriptor = os.open(name, _OPEN, dir_fd=self._tree.directory(directory))
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    # -- taking back --------------------------------------------------------------------------------------------------

    def _undo(self, undone: Inverse) -> None:
        try:
            self._tree.directory(split(undone.path)[0])
        except FileNotFoundError:
            return  # its directory was never made, or is gone already
        undoings: dict[Undo, Callable[[Inverse], None]] = {
            Undo.SWAP: self._swap_back,
            Undo.UNLINK: self._unlink,
            Undo.RESTORE: self._put_back,
            Undo.RMDIR: self._remove_directory,
            Undo.LATER: lambda _: None,
            Undo.METADATA: self._reset_metadata,
            Undo.NOTHING: lambda _: None,
        }
        undoings[undone.undo](undone)

    def _trace(self, path: str) -> Trace:
        return Trace.of(self._observer.state(path))

    def _swap_back(self, undone: Inverse) -> None:
        parent, beside = self._beside(undone.path, undone.aside)
        aside = self._trace(beside)
        if aside.type is FileType.ABSENT:
            return  # nothing was staged
        now = self._trace(undone.path)
        swapped = aside == undone.before or (now == undone.after and aside != undone.after)
        if now != undone.before and swapped:
            flags = RENAME_NOREPLACE if now.type is FileType.ABSENT else RENAME_EXCHANGE
            rename(parent, undone.aside, split(undone.path)[1], flags)
            self._barrier.note(undone.path)
        with contextlib.suppress(FileNotFoundError):
            self._drop(undone.path, undone.aside)

    def _unlink(self, undone: Inverse) -> None:
        """Drop what was staged; if it is not there, it may have been put in place: drop it there."""
        try:
            self._drop(undone.path, undone.aside)
        except FileNotFoundError:
            if self._trace(undone.path) == undone.after:
                self._drop(undone.path, split(undone.path)[1])

    def _put_back(self, undone: Inverse) -> None:
        parent, beside = self._beside(undone.path, undone.aside)
        if self._observer.stat(beside) is None:
            return  # not taken away yet
        name = split(undone.path)[1]
        if self._observer.stat(undone.path) is not None:
            self._drop(undone.path, name)
        rename(parent, undone.aside, name, RENAME_NOREPLACE)
        self._barrier.note(undone.path)

    def _remove_directory(self, undone: Inverse) -> None:
        directory, name = split(undone.path)
        with contextlib.suppress(FileNotFoundError), _unless_in_use():
            os.rmdir(name, dir_fd=self._tree.directory(directory))
        self._tree.forget()
        self._barrier.note(undone.path)

    def _reset_metadata(self, undone: Inverse) -> None:
        state = self._observer.stat(undone.path)
        if state is None or file_type(state.st_mode) is not undone.before.type:
            return  # somebody put something else there meanwhile
        with self._opened(undone.path) as descriptor:
            _set(descriptor, undone.before.mode, undone.before.uid, undone.before.gid)
            self._barrier.note(undone.path, file=True)

    def _drop(self, path: str, name: str) -> None:
        """Remove `name` from the directory that `path` is in."""
        os.unlink(name, dir_fd=self._tree.directory(split(path)[0]))
        self._barrier.note(path)


def _write(descriptor: int, data: bytes) -> None:
    pending = memoryview(data)
    while pending:
        pending = pending[os.write(descriptor, pending) :]


def _set(descriptor: int, mode: int, uid: int, gid: int) -> None:
    os.fchown(descriptor, uid, gid)
    os.fchmod(descriptor, mode)


def _set_xattrs(descriptor: int, before: FileState, wanted: tuple[tuple[str, bytes], ...]) -> None:
    present = dict(before.xattrs)
    for name in present.keys() - dict(wanted).keys():
        os.removexattr(descriptor, name)
    for name, value in wanted:
        if present.get(name) != value:
            os.setxattr(descriptor, name, value)


def _expect(change: FileChange, seen: os.stat_result) -> None:
    """Transient unless `seen` is the very inode, in the very state, that the plan saw (a rename changes ctime)."""
    now, then = list(identity(seen)), list(change.before.identity)
    now[4:5] = then[4:5] = []
    if now != then:
        raise Transient(f"{change.path}: changed while the plan was being applied; plan again")


@contextlib.contextmanager
def _unless_in_use() -> Iterator[None]:
    """A directory that somebody has put something into stays."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise


@contextlib.contextmanager
def _as(actor: Actor | None) -> Iterator[None]:
    if actor is None:
        yield
        return
    with acting_as(actor.uid, actor.gid):
        yield


@contextlib.contextmanager
def _named(path: str) -> Iterator[None]:
    """Let an OSError name the path of the change rather than the name that is put aside."""
    try:
        yield
    except OSError as error:
        error.filename = path
        raise
