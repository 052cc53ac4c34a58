"""Copies of files that a process runs from, on the node: complete, durable and seen to work before they count.

Invariant: a copy is named by the digest of all that is in it, gets that name by one rename when it is whole, and is
never written again. Whatever else stands in the directory of copies may be removed at any time.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from nodeagent.host.barrier import Barrier
from nodeagent.host.observe import Observer
from nodeagent.host.tree import Tree, ancestors, split

_STAGED = ".new"
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True)
class Contents:
    """What a copy holds, by absolute path: regular files, symbolic links with their targets, and its size in bytes."""

    files: Sequence[str]
    links: Mapping[str, str]
    size: int

    def digest(self) -> str:
        """32 hexadecimal digits that differ if anything in the copy does."""
        total = hashlib.sha256(json.dumps(sorted(self.links.items())).encode())
        for path in self.files:
            with open(path, "rb") as file:
                total.update(f"{path}\0{_mode(path):o}\0".encode() + hashlib.file_digest(file, "sha256").digest())
        return total.hexdigest()[:32]


def contents_of(paths: Iterable[str]) -> Contents:
    """What a copy must hold so that each of `paths` is found in it: files, and the links on the way to them."""
    links: dict[str, str] = {}
    files = sorted({_resolved(path, links) for path in paths})
    return Contents(files, links, sum(os.path.getsize(path) for path in files))


def _resolved(path: str, links: dict[str, str]) -> str:
    """The path without symbolic links; each one that was met is added to `links`."""
    at, pending = "", path.split("/")[::-1]
    while pending:
        name = pending.pop()
        here = f"{at}/{name}"
        if name in ("", "."):
            continue
        if name == "..":
            at = at.rpartition("/")[0]
        elif os.path.islink(here):
            target = links[here] = os.readlink(here)
            at = "" if target.startswith("/") else at
            pending += target.split("/")[::-1]
        else:
            at = here
    return at


def _mode(path: str) -> int:
    """A copy is root's alone; of a file's mode it keeps whether it can be executed."""
    return 0o700 if os.stat(path).st_mode & 0o111 else 0o600


class Replicas:
    """The copies in `directory` (a path in the tree), which is made when the first one is."""

    def __init__(self, tree: Tree, directory: str) -> None:
        self._tree = tree
        self._directory = directory
        self._barrier = Barrier(tree)
        self._observer = Observer(tree)

    def path(self, digest: str) -> str:
        """Where the copy with that digest stands, or would."""
        return f"{self._directory}/{digest}"

    def make(self, digest: str, contents: Contents, empty: Sequence[str], attempt: Callable[[str], None]) -> bool:
        """Make the copy `digest`; False if it is there already.

        `empty` are directories that it has besides. `attempt` is called with the path of the copy, as we see it,
        before the copy counts, and raises if it does not work. OSError if it cannot be written.
        """
        if self._observer.stat(self.path(digest)) is not None:
            return False
        staged = f"{self._directory}/{_STAGED}"
        self._remove(_STAGED)
        for path in empty:
            self._make_directory(staged + path)
        for path in contents.files:
            self._copy_file(path, staged + path)
        for path, target in contents.links.items():
            self._make_link(target, staged + path)
        self._barrier.settle()
        attempt(self._tree.outside(staged))
        self._name(digest)
        return True

    def _make_directory(self, path: str) -> int:
        """A descriptor of the directory, which is made with its parents where they are missing."""
        missing = []
        for each in ancestors(path):
            with suppress(FileNotFoundError):
                self._tree.directory(each)
                break
            missing.append(each)
        for each in reversed(missing):
            directory, name = split(each)
            os.mkdir(name, 0o700, dir_fd=self._tree.directory(directory))
            self._barrier.note(each)
        return self._tree.directory(path)

    def _copy_file(self, source: str, path: str) -> None:
        directory, name = split(path)
        descriptor = os.open(name, _CREATE, _mode(source), dir_fd=self._make_directory(directory))
        with os.fdopen(descriptor, "wb") as written, open(source, "rb") as read:
            shutil.copyfileobj(read, written)
        self._barrier.note(path, inode=True)

    def _make_link(self, target: str, path: str) -> None:
        directory, name = split(path)
        os.symlink(target, name, dir_fd=self._make_directory(directory))
        self._barrier.note(path)

    def _name(self, digest: str) -> None:
        self._tree.forget()
        parent = self._tree.directory(self._directory)
        os.rename(_STAGED, digest, src_dir_fd=parent, dst_dir_fd=parent)
        self._barrier.note(self.path(digest))
        self._barrier.settle()

    def keep_only(self, digest: str) -> None:
        """Remove all other copies, and what an interrupted run has left of one."""
        for name in self._observer.entries(self._directory):
            if name != digest:
                self._remove(name)

    def _remove(self, name: str) -> None:
        self._tree.forget()
        with suppress(FileNotFoundError):
            shutil.rmtree(name, dir_fd=self._tree.directory(self._directory))
