"""What a process grows by: memory, descriptors and threads, seen at rest again and again.

Growth is what the smallest of the last third has more than the largest of the first: what comes and goes is none.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path

_LOOKS, _PAUSE = 3, 0.2  # seconds between


@dataclass(frozen=True)
class Size:
    """A process: its own memory in MiB (private, of proc_pid_smaps(5)), open descriptors, threads."""

    memory: float
    descriptors: int
    threads: int

    @classmethod
    def of(cls, process: Path) -> Size:
        """That of a directory in /proc."""
        rollup = (process / "smaps_rollup").read_text()
        private = sum(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Private_"))
        return cls(private / 1024, *(len(os.listdir(process / name)) for name in ("fd", "task")))

    @classmethod
    def least(cls, process: Path) -> Size:
        """The least of some looks, of each number: what a process opens for a moment does not count."""
        looks = [cls.of(process)]
        while len(looks) < _LOOKS:
            time.sleep(_PAUSE)
            looks.append(cls.of(process))
        return cls(*(min(numbers) for numbers in zip(*map(astuple, looks), strict=True)))


@dataclass(frozen=True)
class Growth:
    """How large an agent was first and last, and by how much it grew, if it did."""

    agent: str
    first: Size
    last: Size
    memory: float
    descriptors: int
    threads: int


def growths(sizes: Sequence[Mapping[str, Size]]) -> tuple[Growth, ...]:
    """The growth of each agent over `sizes`, oldest first, at least three of them."""
    return tuple(_growth(name, [each[name] for each in sizes]) for name in sorted(sizes[0]))


def _growth(name: str, sizes: Sequence[Size]) -> Growth:
    third = max(1, len(sizes) // 3)
    early, late = sizes[:third], sizes[-third:]
    return Growth(
        name,
        sizes[0],
        sizes[-1],
        max(0.0, min(each.memory for each in late) - max(each.memory for each in early)),
        max(0, min(each.descriptors for each in late) - max(each.descriptors for each in early)),
        max(0, min(each.threads for each in late) - max(each.threads for each in early)),
    )
