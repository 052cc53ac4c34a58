"""Marks on directories by which the kernel tells what happens there, kept on what stands at the paths now.

Invariant: once `renew` returns, each wanted directory that exists at or below its `top` carries a mark or is
named in `problems`, and the key that comes with an event leads back to every path that its directory is known
by. Parents are marked before their children are looked up, so a directory that appears meanwhile shows up as
an event.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Hashable
from typing import Generic, TypeVar

from nodeagent.host.interest import Interest
from nodeagent.host.tree import Tree

K = TypeVar("K", bound=Hashable)

_NAMED = 3


class Marks(Generic[K]):
    """Marks of one notification group; not shared between threads.

    `add` marks the directory behind a descriptor (O_PATH, reached without following a link that a user could
    have planted), known by a path, and returns the key that its events carry; adding twice is harmless.
    `remove` takes a mark off that no path needs any more; it gets the last path and the key. `loss` says what
    does not work where a mark is missing, `advice` turns an error of `add` into why and what to do.
    """

    def __init__(
        self,
        add: Callable[[int, str], K],
        remove: Callable[[str, K], None],
        loss: str,
        advice: Callable[[OSError], str],
    ) -> None:
        self._add = add
        self._remove = remove
        self._loss = loss
        self._advice = advice
        self._interest = Interest()
        self._tree = Tree()
        self._keys: dict[str, K] = {}
        self._known_by: dict[K, tuple[str, ...]] = {}
        self._failed: dict[str, str] = {}

    def close(self) -> None:
        self._tree.close()

    def want(self, interest: Interest) -> list[str]:
        """Replace what is wanted; returns the directories that were newly marked, as `renew` does."""
        self._interest = interest
        for directory in [known for known in self._keys if not interest.leads_on(known)]:
            self._drop(directory)
        self._failed.clear()
        return self.renew()

    def renew(self, top: str = "/") -> list[str]:
        """Mark what stands at and below `top` now; returns the directories that were not marked before."""
        fresh = []
        missing = "\0"  # in no path
        self._tree.forget()
        for directory in self._interest.directories(top):
            if directory.startswith(missing):
                self._drop(directory)
            elif not self._exists(directory):
                missing = f"{directory}/"
            elif self._mark(directory):
                fresh.append(directory)
        self._tree.forget()
        return fresh

    def _exists(self, directory: str) -> bool:
        try:
            self._tree.directory(directory)
        except (FileNotFoundError, NotADirectoryError):
            self._drop(directory)
            return False
        except OSError as error:
            self._fail(directory, error)
            return False
        return True

    def _mark(self, directory: str) -> bool:
        try:
            key = self._add(self._tree.directory(directory), directory)
        except OSError as error:
            self._fail(directory, error)
            return False
        self._failed.pop(directory, None)
        if self._keys.get(directory) == key:
            return False
        self._drop(directory)
        self._keys[directory] = key
        self._known_by[key] = (*self._known_by.get(key, ()), directory)
        return True

    def _fail(self, directory: str, error: OSError) -> None:
        self._drop(directory)
        self._failed[directory] = self._advice(error)

    def _drop(self, directory: str) -> None:
        self._failed.pop(directory, None)
        key = self._keys.pop(directory, None)
        if key is None:
            return
        others = tuple(path for path in self._known_by.pop(key) if path != directory)
        if others:
            self._known_by[key] = others
        else:
            self._remove(directory, key)

    def directories(self, key: K) -> Collection[str]:
        """The paths of the directory whose events carry `key`; none for a mark that is no longer wanted."""
        return self._known_by.get(key, ())

    def __contains__(self, directory: str) -> bool:
        return directory in self._keys

    def reason(self, directory: str) -> str:
        """Why `directory` carries no mark, "" if it does or is missing."""
        return self._failed.get(directory, "")

    def problems(self) -> tuple[str, ...]:
        """What is not watched and how to mend it: a sentence a reason.

        An ancestor that cannot be marked counts only while nothing below it is marked either: only then could
        something appear unnoticed.
        """
        by_reason: defaultdict[str, list[str]] = defaultdict(list)
        for directory, reason in sorted(self._failed.items()):
            if self._interest.holds(directory) or not self._reached(directory):
                by_reason[reason].append(directory)
        return tuple(
            f"{self._loss} in {_listed(directories)}: {reason}" for reason, directories in sorted(by_reason.items())
        )

    def _reached(self, directory: str) -> bool:
        return any(below in self._keys for below in self._interest.directories(directory))


def _listed(directories: list[str]) -> str:
    named = ", ".join(directories[:_NAMED])
    more = len(directories) - _NAMED
    return f"{named} and {more} more directories" if more > 0 else named
