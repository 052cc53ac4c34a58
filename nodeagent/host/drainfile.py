"""Whether this node's egress gateways shall take no new traffic: files in the run directory, which a boot ends.

Invariant: a drain by command counts until it is ended; the agent's own, for planned work, counts for half an hour,
should the work never have ended. Both are seen by every process of this node.
"""

from __future__ import annotations

import contextlib
import os
import time
from typing import Final

COMMAND, WORK = "egress-drain", "egress-handover"
DRAIN, FORCE = "drain", "force"

_LONGEST_WORK: Final = 1800.0  # seconds, or it is asked for anew
_LIMIT: Final = 64  # bytes


class DrainFiles:
    """The files in `directory`, which is root's alone and on tmpfs."""

    def __init__(self, directory: str) -> None:
        self._directory = directory

    def begin(self, name: str, word: str) -> None:
        """`name` is COMMAND or WORK, `word` DRAIN or FORCE."""
        os.makedirs(self._directory, mode=0o755, exist_ok=True)
        path = f"{self._directory}/{name}"
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
        with os.fdopen(os.open(f"{path}.new", flags, 0o644), "w", encoding="ascii") as file:
            file.write(f"{word} {_now():.0f}\n")
        os.replace(f"{path}.new", path)

    def end(self, name: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(f"{self._directory}/{name}")

    def word(self) -> str:
        """What counts now: FORCE, DRAIN, or "" where nothing does."""
        said = {self._said(COMMAND), self._said(WORK)}
        return next((word for word in (FORCE, DRAIN) if word in said), "")

    def left(self) -> tuple[str, ...]:
        """The files that stand there."""
        paths = (f"{self._directory}/{name}" for name in (COMMAND, WORK))
        return tuple(path for path in paths if os.path.lexists(path))

    def _said(self, name: str) -> str:
        try:
            with open(f"{self._directory}/{name}", "rb") as file:
                word, _, since = file.read(_LIMIT).decode(errors="replace").strip().partition(" ")
        except FileNotFoundError:
            return ""
        over = name == WORK and (not since.isdecimal() or _now() - int(since) > _LONGEST_WORK)
        return "" if over or word not in (DRAIN, FORCE) else word


def _now() -> float:
    """Seconds since boot: the wall clock may jump."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)
