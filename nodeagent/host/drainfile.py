"""Whether this node's egress gateways shall take no new traffic: files in the run directory, which a boot ends.

Invariant: a drain by command counts until it is ended; the agent's own, for planned work, counts for half an hour,
should the work never have ended. Both are seen by every process of this node.
"""

from __future__ import annotations

import contextlib
import os
from typing import Final

from nodeagent.host import runfile
from nodeagent.observed.nodes import DRAIN, FORCE

COMMAND, WORK = "egress-drain", "egress-handover"

_LONGEST_WORK: Final = 1800.0  # seconds, or it is asked for anew


class DrainFiles:
    """The files in `directory`, which is root's alone and on tmpfs."""

    def __init__(self, directory: str) -> None:
        self._directory = directory

    def begin(self, name: str, word: str) -> None:
        """`name` is COMMAND or WORK, `word` DRAIN or FORCE."""
        os.makedirs(self._directory, mode=0o755, exist_ok=True)
        runfile.replace(f"{self._directory}/{name}", f"{word} {runfile.uptime()}\n")

    def end(self, name: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(f"{self._directory}/{name}")

    def word(self) -> str:
        """What counts now: FORCE, DRAIN, or "" where nothing does."""
        said = {self._said(COMMAND), self._said(WORK)}
        return next((word for word in (FORCE, DRAIN) if word in said), "")

    def begun(self, name: str) -> bool:
        """Whether `name` asks for something."""
        return bool(self._said(name))

    def left(self) -> tuple[str, ...]:
        """The files that stand there."""
        paths = (f"{self._directory}/{name}" for name in (COMMAND, WORK))
        return tuple(path for path in paths if os.path.lexists(path))

    def _said(self, name: str) -> str:
        word, _, since = runfile.read(f"{self._directory}/{name}").strip().partition(" ")
        over = name == WORK and (not since.isdecimal() or runfile.uptime() - int(since) > _LONGEST_WORK)
        return "" if over or word not in (DRAIN, FORCE) else word
