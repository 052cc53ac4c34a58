"""Small files in the run directory, by which processes of this node tell each other what counts until the next boot.

Invariant: who reads one finds it whole, the old or the new; none is written through a link that stands in its way.
"""

from __future__ import annotations

import contextlib
import os
import time
from typing import Final

_LIMIT: Final = 64  # bytes, unless somebody expects more


def read(path: str, limit: int = _LIMIT) -> str:
    """What stands there; "" where there is no such file."""
    try:
        with open(path, "rb") as file:
            return file.read(limit).decode(errors="replace")
    except FileNotFoundError:
        return ""


def replace(path: str, text: str, mode: int = 0o644) -> None:
    """Write it whole; its directory is there."""
    directory, _, name = path.rpartition("/")
    new = f"{directory}/.{name}.new"
    with contextlib.suppress(FileNotFoundError):
        os.unlink(new)
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    os.replace(new, path)


def uptime() -> int:
    """Seconds since boot, sleep included: the wall clock may jump."""
    return int(time.clock_gettime(time.CLOCK_BOOTTIME))
