"""Programs on this node that would work on the same things: two agents that both put a node right never end.

A process counts by the name of the program that it was started as; kernel threads and what has ended count for nothing.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

RIVALS = frozenset({"machine-config-daemon"})

_LIMIT = 4096  # bytes of a command line that are looked at


def rivals(proc: str = "/proc") -> tuple[str, ...]:
    """The rivals that run, such as "machine-config-daemon (process 4711)", by process number."""
    return tuple(f"{name} (process {pid})" for pid, name in sorted(_programs(proc)) if name in RIVALS)


def _programs(proc: str) -> Iterator[tuple[int, str]]:
    """Process numbers with the base name of the program, as the first word of the command line has it."""
    for entry in os.listdir(proc):
        if entry.isdecimal():
            program = _command_line(f"{proc}/{entry}/cmdline").split(b"\0", 1)[0]
            yield int(entry), os.path.basename(program).decode(errors="replace")


def _command_line(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(_LIMIT)
    except OSError:
        return b""  # it has ended meanwhile
