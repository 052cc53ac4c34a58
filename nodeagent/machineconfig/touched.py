"""What was touched on the node and has not been looked at yet.

Invariant: a path that was added is taken at least once after that; a glance at it does not count as taking it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Collection


class Touched:
    """Paths that somebody may have changed; `everything` stands for all of them. Safe to use from any thread."""

    def __init__(self, *, everything: bool = False) -> None:
        self._lock = threading.Lock()
        self._fresh: set[str] = set()
        self._glanced: set[str] = set()
        self._everything = everything

    def add(self, paths: Collection[str], *, everything: bool = False) -> None:
        with self._lock:
            self._fresh.update(paths)
            self._everything = self._everything or everything

    def take(self, quiet: float) -> tuple[set[str], bool]:
        """What was touched, if anything after `quiet` seconds, so that a burst is looked at once; forgets it."""
        with self._lock:
            pending = bool(self._fresh)
        if pending:
            time.sleep(quiet)
        with self._lock:
            taken = self._fresh | self._glanced, self._everything
            self._fresh, self._glanced, self._everything = set(), set(), False
        return taken

    def glance(self) -> set[str]:
        """What was touched since the last glance; it is still there to be taken."""
        with self._lock:
            fresh, self._fresh = self._fresh, set()
            self._glanced |= fresh
        return fresh
