"""Takes file changes back, from wherever they got to.

Invariant: what to do is decided from what stands on disk and from the journalled inverse alone, so it works after any
interruption, in another process, and again after an interruption of its own. Nothing that may be the only copy of the
old state is dropped before the old state has durably returned to its path.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from nodeagent.changes.files import Inverse, Trace, Undo
from nodeagent.host import attributes
from nodeagent.host.barrier import Barrier
from nodeagent.host.observe import Observer, acting
from nodeagent.host.syscalls import RENAME_EXCHANGE, RENAME_NOREPLACE, rename
from nodeagent.host.tree import Tree, beside, split
from nodeagent.observed.files import FileState, FileType

_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_SET_ID = 0o6000
_STAYS = (errno.ENOENT, errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR)


class Restoration:
    """Undoes batches below `tree`; notes what it touches at `barrier`."""

    def __init__(self, tree: Tree, observer: Observer, barrier: Barrier) -> None:
        self._tree = tree
        self._observer = observer
        self._barrier = barrier
        self._foreign: set[str] = set()
        self._undoings: dict[Undo, Callable[[Inverse], None]] = {
            Undo.SWAP: self._swap_back,
            Undo.UNLINK: self._unlink,
            Undo.RESTORE: self._swap_back,
            Undo.RMDIR: self._remove_directory,
            Undo.METADATA: self._reset_metadata,
        }

    def leave(self, directory: str) -> None:
        """Somebody else has made this directory, just before the batch would have: it, and all below it, is theirs."""
        self._foreign.add(directory)

    def undo(self, inverses: Sequence[Inverse]) -> None:
        """Put every path back, last first; then, once that has reached stable storage, drop what is left aside."""
        self._tree.forget()
        reachable = [undone for undone in reversed(inverses) if undone.undo in self._undoings and self._reaches(undone)]
        for undone in reachable:
            with acting(undone.actor, undone.path):
                self._undoings[undone.undo](undone)
        self._barrier.settle()
        self._drop_asides(reachable)
        self._foreign.clear()

    def _reaches(self, undone: Inverse) -> bool:
        """False if the directory was never made, or is gone already."""
        try:
            self._tree.directory(split(undone.path)[0])
        except FileNotFoundError:
            return False
        return True

    def _drop_asides(self, undone: Iterable[Inverse]) -> None:
        for each in undone:
            if each.undo is Undo.SWAP or each.undo is Undo.RESTORE:
                with acting(each.actor, each.path), contextlib.suppress(FileNotFoundError):
                    self._drop(each.path, each.aside)

    def _drop(self, path: str, name: str) -> None:
        """Remove `name` from the directory that `path` is in."""
        os.unlink(name, dir_fd=self._tree.directory(split(path)[0]))
        self._barrier.note(path)

    def _swap_back(self, undone: Inverse) -> None:
        aside, now = self._observer.state(beside(undone.path, undone.aside)), self._observer.state(undone.path)
        if aside.type is FileType.ABSENT or not _stands_aside(undone, now, aside):
            return
        directory, name = split(undone.path)
        flags = RENAME_NOREPLACE if now.type is FileType.ABSENT else RENAME_EXCHANGE
        rename(self._tree.directory(directory), undone.aside, name, flags)
        self._barrier.note(undone.path)

    def _unlink(self, undone: Inverse) -> None:
        """Drop what was staged; if it is not there, it may have been put in place: drop it there."""
        try:
            self._drop(undone.path, undone.aside)
        except FileNotFoundError:
            now = self._observer.state(undone.path)
            if _looks_alike(Trace.of(now), undone.after) or now.identity[1:2] == undone.stamp[:1] != ():
                self._drop(undone.path, split(undone.path)[1])

    def _remove_directory(self, undone: Inverse) -> None:
        if not any(f"{undone.path}/".startswith(f"{foreign}/") for foreign in self._foreign):
            remove_if_empty(self._tree, self._barrier, undone.path)

    def _reset_metadata(self, undone: Inverse) -> None:
        if not _is_ours(undone, self._observer.state(undone.path)):
            return
        directory, name = split(undone.path)
        descriptor = os.open(name, _OPEN, dir_fd=self._tree.directory(directory))
        try:
            before = undone.before
            attributes.replace(descriptor, before.mode, before.uid, before.gid, undone.xattrs)
        finally:
            os.close(descriptor)
        self._barrier.note(undone.path, inode=True)


def _is_ours(undone: Inverse, state: FileState) -> bool:
    """Whether mode and owner are somewhere between old and new, and not what somebody else has made of them since.

    On the way a change of owner clears set-id bits, and an ACL changes the mode. What has other bytes by now is only
    ours if it is the very inode, with exactly what the batch gave it.
    """
    now, before, after = Trace.of(state), undone.before, undone.after
    if (now.type, now.digest) != (before.type, before.digest):
        return replace(now, digest=after.digest) == after and state.identity[1:2] == undone.stamp[:1]
    if now.uid not in (before.uid, after.uid) or now.gid not in (before.gid, after.gid):
        return False
    has_acl = bool(state.xattrs or undone.xattrs)
    return has_acl or now.mode & ~_SET_ID in (before.mode & ~_SET_ID, after.mode & ~_SET_ID)


def _stands_aside(undone: Inverse, now: FileState, aside: FileState) -> bool:
    """Whether the old state is what stands aside, rather than a new one that was never, or is no longer, in place.

    What somebody else had put at the path before the batch came there counts as the old state.
    """
    if _is_old(undone, now) or _is_old(undone, aside):
        return not _is_old(undone, now)
    there, besides = Trace.of(now), Trace.of(aside)
    if _looks_alike(there, undone.after) and not _looks_alike(besides, undone.after):
        return True
    return there != undone.before and besides == undone.before and not _looks_alike(undone.before, undone.after)


def _looks_alike(one: Trace, other: Trace) -> bool:
    """The same bytes or target; mode and owner of a hard link change with those of its other names."""
    return (one.type, one.digest, one.target) == (other.type, other.digest, other.target)


def _is_old(undone: Inverse, state: FileState) -> bool:
    return state.identity[1:4:2] == undone.stamp != ()


def remove_if_empty(tree: Tree, barrier: Barrier, path: str) -> None:
    """Remove a directory, unless somebody has put something into it, or in its place."""
    directory, name = split(path)
    try:
        os.rmdir(name, dir_fd=tree.directory(directory))
    except OSError as error:
        if error.errno not in _STAYS:
            raise
    else:
        tree.forget()
        barrier.note(path)
