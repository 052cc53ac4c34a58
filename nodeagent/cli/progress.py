"""Progress of long work on a terminal; silent everywhere else."""

from __future__ import annotations

import sys
from collections.abc import Callable

from nodeagent.engine.executor import Progress

_WIDTH = 100


def watcher() -> Callable[[Progress], None]:
    """A function that shows progress on standard error if that is a terminal."""
    return _show if sys.stderr.isatty() else _ignore


def _show(progress: Progress) -> None:
    line = f"[{progress.done}/{progress.total}] {progress.doing}"[:_WIDTH]
    end = "\n" if progress.doing == "done" else ""
    print(f"\r\x1b[K{line}", end=end, file=sys.stderr, flush=True)


def _ignore(_: Progress) -> None:
    """Nobody watches."""
