"""The number that keepalived tracks, and the heartbeat that says that somebody keeps it up to date.

Invariant: the track file always holds one whole number, since it is replaced at once; the heartbeat is written after
it, so that a fresh heartbeat never stands beside a number that nobody has looked at. The heartbeat is in seconds since
boot, as the shell's guard can read them from /proc/uptime: the wall clock may jump. A drain is a file of its own beside
them, so that a command can ask for it, and both the agent and the guard see it; the agent's own, for planned work, does
not count for ever, should the work never have ended.
"""

from __future__ import annotations

import contextlib
import os

from nodeagent.host import runfile

TRACK, HEARTBEAT = "vip-health", "vip-heartbeat"
DRAIN, HANDOVER = "vip-drain", "vip-handover"  # by command, and by the agent: "VALUE SECONDS-SINCE-BOOT"

_ALL = (DRAIN, HANDOVER, HEARTBEAT, TRACK)  # the number last: nobody asks for less any more, nor vouches for it
_WORK = 1800  # seconds that the agent's planned work may take, or is asked for anew


class TrackFile:
    """The files in `directory`, which is root's alone and on tmpfs. `drain` is the drain that is begun and ended."""

    def __init__(self, directory: str, drain: str = DRAIN) -> None:
        self._directory = directory
        self._drain = drain

    def standing(self) -> int | None:
        """The number that stands there; None if there is none."""
        text = self._read(TRACK).strip()
        return int(text) if text.removeprefix("-").isdecimal() else None

    def write(self, value: int) -> None:
        """Say `value` and that it is fresh. The guard may have written meanwhile, so what stands there is compared."""
        os.makedirs(self._directory, mode=0o755, exist_ok=True)
        if self._read(TRACK) != f"{value}\n":
            self._replace(TRACK, f"{value}\n")
        self._replace(HEARTBEAT, f"{runfile.uptime()}\n")

    def drained(self) -> int:
        """What planned work takes from the priority; 0 if there is none."""
        return min(self._drained(DRAIN), self._drained(HANDOVER))

    def begin_drain(self, value: int) -> None:
        """Have `value` count from now on, whoever writes the track file."""
        os.makedirs(self._directory, mode=0o755, exist_ok=True)
        self._replace(self._drain, f"{value} {runfile.uptime()}\n")

    @property
    def begun(self) -> bool:
        """Whether `drain` stands, and counts."""
        return bool(self._drained(self._drain))

    def end_drain(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(f"{self._directory}/{self._drain}")

    def left(self) -> tuple[str, ...]:
        """Names of those files that stand there, whoever wrote them."""
        return tuple(name for name in _ALL if os.path.lexists(f"{self._directory}/{name}"))

    def give_up(self) -> None:
        """Say 0, which moves nothing, then remove everything; a guard that keepalived runs goes on by itself."""
        if os.path.lexists(f"{self._directory}/{TRACK}"):
            self._replace(TRACK, "0\n")
        for name in _ALL:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(f"{self._directory}/{name}")

    def _drained(self, name: str) -> int:
        value, _, since = self._read(name).strip().partition(" ")
        if not value.removeprefix("-").isdecimal():
            return 0
        over = name == HANDOVER and since.isdecimal() and runfile.uptime() - int(since) > _WORK
        return 0 if over else int(value)

    def _read(self, name: str) -> str:
        return runfile.read(f"{self._directory}/{name}")

    def _replace(self, name: str, text: str) -> None:
        runfile.replace(f"{self._directory}/{name}", text)
