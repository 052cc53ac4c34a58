"""Which paths are worth waking for, and which directories have to be watched for that.

Invariant: every directory on the way from / to an interesting path is in `directories`. A parent that is
created, replaced or moved away is therefore an event in a watched directory too, at whatever depth it
happens.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Iterable, Sequence

from nodeagent.host.tree import ancestors, split


class Interest:
    """A set of interesting paths; immutable. All paths are clean and absolute.

    `entries_of` names directories in which every entry is interesting, whatever its name; such a directory,
    among paths, stands for all its entries. With `insides`, what stands at an interesting path is to be watched
    itself, too, if it is a directory.
    """

    def __init__(self, paths: Iterable[str] = (), entries_of: Iterable[str] = (), *, insides: bool = False) -> None:
        self._entries_of = frozenset(entries_of)
        self._paths = frozenset(paths) | self._entries_of
        self._leaves = self._entries_of | {split(path)[0] for path in self._paths}
        self._directories = {directory for leaf in self._leaves for directory in ancestors(leaf)}
        if insides:
            self._directories |= self._paths
        self._ordered_paths = sorted(self._paths)
        self._ordered_directories = sorted(self._directories)

    def concerns(self, directory: str, name: str) -> bool:
        """The entry `name` of `directory` is interesting in itself."""
        return directory in self._entries_of or join(directory, name) in self._paths

    def leads_on(self, path: str) -> bool:
        """What stands at `path` is to be watched, if it is a directory."""
        return path in self._directories

    def holds(self, directory: str) -> bool:
        """Entries of `directory` themselves are interesting, not only what lies deeper."""
        return directory in self._leaves

    def directories(self, top: str = "/") -> Sequence[str]:
        """The directories to watch at and below `top`, sorted: parents come before their children."""
        return _at_or_below(self._ordered_directories, self._directories, top)

    def paths(self, top: str = "/") -> Sequence[str]:
        """The interesting paths at and below `top`, sorted."""
        return _at_or_below(self._ordered_paths, self._paths, top)


def join(directory: str, name: str) -> str:
    """Path of the entry `name` in `directory`."""
    return f"/{name}" if directory == "/" else f"{directory}/{name}"


def outermost(paths: Iterable[str]) -> list[str]:
    """The paths without repeats and those that lie below another one, sorted."""
    found: list[str] = []
    for path in sorted(set(paths), key=_below):
        if not found or not path.startswith(_below(found[-1])):
            found.append(path)
    return found


def _below(path: str) -> str:
    """What all paths below `path` start with."""
    return path.rstrip("/") + "/"


def _at_or_below(ordered: Sequence[str], members: Collection[str], top: str) -> Sequence[str]:
    if top == "/":
        return ordered
    first = bisect_left(ordered, f"{top}/")
    last = bisect_left(ordered, f"{top}0")  # "0" follows "/" in ASCII
    below = ordered[first:last]
    return [top, *below] if top in members else below
