"""Carries out changes to files: staged beside the target, put in place by one rename each, taken back the same way.

Invariants: a path holds its old state or its new one at every instant; the old inode is kept whole beside the target
(owner, attributes, hard links and all) until the transaction is done; what is swapped out must be what the plan saw,
else the batch fails and is undone.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from nodeagent.changes.files import (
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
from nodeagent.host import attributes
from nodeagent.host.barrier import Barrier
from nodeagent.host.observe import Observer, acting, file_type, identity
from nodeagent.host.restoration import Restoration, remove_if_empty
from nodeagent.host.syscalls import RENAME_EXCHANGE, RENAME_NOREPLACE, acting_as, rename
from nodeagent.host.tree import Tree, UnsafeLink, beside, split
from nodeagent.observed.files import FileType

ASIDE = ".nodeagent-"  # how the names of everything that is put aside begin

# What is still there when a batch has been put in place: the rename of something new has used up its aside name.
_LEAVES_SOMETHING = frozenset({Undo.SWAP, Undo.RESTORE, Undo.LATER})

_STRIDE = 1 << 20  # bytes that are written before the disk gets to see them: a millisecond's work for most

_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC

# What a system call says when something else stands at a path than the plan saw: somebody has been faster.
_OVERTAKEN = (errno.ENOENT, errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENXIO)


class FileEffects:
    """File changes below `tree`; originals are kept in the directory `originals` (a path in the tree, mode 0700)."""

    def __init__(self, tree: Tree, originals: str) -> None:
        self._tree = tree
        self._originals = originals
        self._observer = Observer(tree)
        self._barrier = Barrier(tree)
        self._staged: Mapping[str, str] = {}
        self._altered: set[tuple[int, ...]] = set()
        self._written = 0  # bytes that the disk has not been told of
        self._restoration = Restoration(tree, self._observer, self._barrier)

    def inverses(self, changes: Sequence[FileChange], transaction: str) -> list[Mapping[str, Any]]:
        """The journalled inverses of `changes`, in the same order."""
        return [inverse(change, f"{ASIDE}{transaction}-{index}").facts() for index, change in enumerate(changes)]

    def stage(self, changes: Sequence[FileChange], inverses: Sequence[Mapping[str, Any]]) -> None:
        """Make directories, and write every new file and link under its aside name."""
        self._tree.forget()
        pairs = [(change, facts["aside"]) for change, facts in zip(changes, inverses, strict=True)]
        self._staged = {change.path: aside for change, aside in pairs if isinstance(change, WriteFile)}
        for change, aside in sorted(pairs, key=lambda pair: _is_hard_link(pair[0])):
            _as_planned(self._stage, change, aside)

    def commit(self, changes: Sequence[FileChange], inverses: Sequence[Mapping[str, Any]]) -> None:
        """Put every staged state in place, in order."""
        self._altered.clear()
        for change, facts in zip(changes, inverses, strict=True):
            _as_planned(self._commit, change, facts["aside"])

    def undo(self, inverses: Sequence[Mapping[str, Any]]) -> None:
        """Take back whatever of the batch was made, last first."""
        self._restoration.undo([Inverse.from_facts(facts) for facts in inverses])

    def discard(self, inverses: Sequence[Mapping[str, Any]]) -> None:
        """Drop everything that still stands aside, and then the directories that this leaves empty."""
        kept = [Inverse.from_facts(facts) for facts in inverses if facts["undo"] in _LEAVES_SOMETHING]
        for each in kept:
            if each.aside:
                with acting(each.actor, each.path), contextlib.suppress(FileNotFoundError):
                    os.unlink(each.aside, dir_fd=self._tree.directory(split(each.path)[0]))
                    self._barrier.note(each.path)
        for each in kept:
            if each.undo is Undo.LATER:
                with acting(each.actor, each.path):
                    remove_if_empty(self._tree, self._barrier, each.path)

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
                self._make_directory(change)
            case KeepOriginal():
                self._keep(change)
            case SetMetadata() | RemovePath():
                pass  # nothing to make ready

    def _stage_file(self, change: WriteFile, aside: str) -> None:
        directory = split(change.path)[0]
        descriptor = self._create(directory, aside)
        try:
            _write(descriptor, change.data)
            attributes.give(descriptor, change.mode, change.uid, change.gid, change.xattrs)
        finally:
            os.close(descriptor)
        self._written += len(change.data)
        if self._written >= _STRIDE:
            self._written = 0
            self._barrier.hasten(directory)

    def _create(self, directory: str, name: str) -> int:
        """A new file that only we can read as yet, open for writing."""
        descriptor = os.open(name, _CREATE, 0o600, dir_fd=self._tree.directory(directory))
        self._barrier.made(directory, name)
        return descriptor

    def _stage_link(self, change: MakeLink, aside: str) -> None:
        parent = self._tree.directory(split(change.path)[0])
        self._barrier.note(change.path)
        if change.hard:
            self._stage_hard_link(change, aside, parent)
            return
        os.symlink(change.target, aside, dir_fd=parent)
        os.chown(aside, change.uid, change.gid, dir_fd=parent, follow_symlinks=False)

    def _stage_hard_link(self, change: MakeLink, aside: str, parent: int) -> None:
        """Link to the target as this batch leaves it."""
        directory, name = split(change.target)
        name = self._staged.get(change.target, name)
        seen = self._observer.stat(beside(change.target, name))
        if seen is None or file_type(seen.st_mode) is not FileType.FILE:
            raise _overtaken(change)
        if change.target not in self._staged and _content(change.linked.identity) not in (_content(identity(seen)), ()):
            raise _overtaken(change)
        os.link(name, aside, src_dir_fd=self._tree.directory(directory), dst_dir_fd=parent, follow_symlinks=False)

    def _make_directory(self, change: MakeDirectory) -> None:
        directory, name = split(change.path)
        parent = self._tree.directory(directory)
        try:
            os.mkdir(name, 0o700, dir_fd=parent)
        except FileExistsError:
            self._restoration.leave(change.path)
            raise
        self._barrier.note(change.path, inode=True)
        with self._opened(change.path, os.O_DIRECTORY) as descriptor:
            attributes.give(descriptor, change.mode, change.uid, change.gid, ())

    def _keep(self, change: KeepOriginal) -> None:
        """Copy the file's bytes into the store of originals, under their digest."""
        digest = change.before.digest
        blob = f"{self._originals}/{digest}"
        if self._observer.state(blob).digest == digest:
            return  # kept already, and whole
        data = self._read_original(change)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(digest, dir_fd=self._tree.directory(self._originals))
        descriptor = self._create(self._originals, digest)
        try:
            _write(descriptor, data)
        finally:
            os.close(descriptor)
        if self._observer.state(blob).digest != digest:
            raise _overtaken(change)

    def _read_original(self, change: KeepOriginal) -> bytes:
        try:
            return self._observer.read(change.path, change.before.size, change.actor) or b""
        except OSError as error:
            if error.errno in (errno.EFBIG, errno.EINVAL):  # it has grown, or is no regular file any more
                raise _overtaken(change) from error
            raise

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
        absent = change.before.type is FileType.ABSENT
        self._rename(directory, aside, name, RENAME_NOREPLACE if absent else RENAME_EXCHANGE)
        if not absent:
            self._expect(change, beside(change.path, aside))

    def _take_away(self, change: RemovePath, aside: str) -> None:
        if change.before.type is FileType.DIRECTORY:
            return  # only once the files that stood in it are not even aside any more
        directory, name = split(change.path)
        self._rename(directory, name, aside, RENAME_NOREPLACE)
        self._expect(change, beside(change.path, aside))

    def _rename(self, directory: str, old: str, new: str, flags: int) -> None:
        self._barrier.touched(directory)
        rename(self._tree.directory(directory), old, new, flags)

    def _set_metadata(self, change: SetMetadata) -> None:
        with self._opened(change.path) as descriptor:
            self._expect(change, change.path)
            self._altered.add(_content(identity(os.fstat(descriptor))))
            self._barrier.note(change.path, inode=True)
            attributes.replace(descriptor, change.mode, change.uid, change.gid, change.xattrs)

    @contextlib.contextmanager
    def _opened(self, path: str, flags: int = 0) -> Iterator[int]:
        directory, name = split(path)
        descriptor = os.open(name, _OPEN | flags, dir_fd=self._tree.directory(directory))
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    def _expect(self, change: FileChange, path: str) -> None:
        """Transient unless `path` has what the plan saw.

        That is the very inode as it was (though a rename changes its ctime, and an earlier change of the batch, made
        under another of its names, its mode and owner), or one that looks the same in every respect (a layered file
        system copies an inode when it is first renamed).
        """
        seen = self._observer.stat(path)
        found, then = () if seen is None else identity(seen), change.before
        if _without_ctime(found) == _without_ctime(then.identity):
            return
        if _content(found) == _content(then.identity) and _content(found) in self._altered:
            return
        now = self._observer.state(path)
        if (Trace.of(now), now.xattrs) != (Trace.of(then), then.xattrs):
            raise _overtaken(change)


def _is_hard_link(change: FileChange) -> bool:
    """Hard links are staged after the files that they may link to."""
    return isinstance(change, MakeLink) and change.hard


def _write(descriptor: int, data: bytes) -> None:
    pending = memoryview(data)
    while pending:
        pending = pending[os.write(descriptor, pending) :]


def _content(seen: tuple[int, ...]) -> tuple[int, ...]:
    """What of an inode's identity changes with its bytes: device, inode, size, mtime."""
    return seen[:4]


def _without_ctime(seen: tuple[int, ...]) -> tuple[int, ...]:
    return (*seen[:4], *seen[5:])


def _overtaken(change: FileChange) -> Transient:
    return Transient(f"{change.path}: changed while the plan was being applied; plan again")


def _as_planned(act: Callable[[FileChange, str], None], change: FileChange, aside: str) -> None:
    """Act in the name of the change's actor; tell from other failures that the path is not as the plan saw it."""
    actor = None if isinstance(change, KeepOriginal) else change.actor
    try:
        if actor is None:  # a thousand files at a time: not even an empty context
            act(change, aside)
        else:
            with acting_as(actor.uid, actor.gid):
                act(change, aside)
    except UnsafeLink as error:
        raise Transient(f"{change.path}: a parent directory {error.strerror}") from error
    except OSError as error:
        if error.errno in _OVERTAKEN:
            raise _overtaken(change) from error
        error.filename = change.path
        raise
