"""The last writers of each path, in bounded memory.

Invariant: it never holds more than `max_paths` paths and `per_path` writers of each. The path that was
written longest ago goes first, and `dropped_until` tells up to when something may be missing for that reason.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import replace

from nodeagent.observed.writers import Writer


class WriterLog:
    """Writers by path, newest last. Not shared between threads."""

    def __init__(self, max_paths: int = 4096, per_path: int = 4) -> None:
        self._max_paths = max_paths
        self._per_path = per_path
        self._writers: OrderedDict[str, deque[Writer]] = OrderedDict()
        self.dropped_until = float("-inf")

    def record(self, path: str, writer: Writer) -> None:
        """Note that `writer` changed `path`; the same one in a row is one entry, at the later time."""
        writers = self._writers.setdefault(path, deque(maxlen=self._per_path))
        self._writers.move_to_end(path)
        if writers and replace(writers[-1], when=writer.when) == writer:
            writers.pop()
        writers.append(writer)
        if len(self._writers) > self._max_paths:
            _, oldest = self._writers.popitem(last=False)
            self.dropped_until = max(self.dropped_until, oldest[-1].when)

    def since(self, path: str, when: float) -> tuple[Writer, ...]:
        """The writers of `path` at or after `when`."""
        return tuple(writer for writer in self._writers.get(path, ()) if writer.when >= when)
