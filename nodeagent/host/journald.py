"""The last lines that units have logged, from journald.

Invariant: a fixed program with a fixed environment, that ends by its deadline; of what it says the last bytes are kept,
and no more memory is taken.
"""

from __future__ import annotations

import os
import select
import subprocess
import time
from collections.abc import Sequence
from typing import IO

from nodeagent.errors import Broken, Transient

_CHUNK = 1 << 16


def lines(units: Sequence[str], count: int, limit: int, deadline: float) -> list[str]:
    """The last `count` lines of `units`, oldest first, in at most `limit` bytes.

    Broken: there is no journalctl, or it may not read. Transient: it does not end within `deadline` seconds.
    """
    command = ["journalctl", "--quiet", "--no-pager", "--output=short-iso", f"--lines={count}"]
    try:
        child = subprocess.Popen(  # noqa: S603 - a fixed program of the node, no shell, no input from outside
            [*command, *(f"--unit={unit}" for unit in units)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"},
        )
    except OSError as error:
        raise Broken("there is no journalctl here; the log of a pod is the container runtime's") from error
    with child:
        assert child.stdout is not None  # noqa: S101 - by stdout=PIPE; mypy cannot know it
        try:
            data = _end_of(child.stdout, limit, time.monotonic() + deadline)
        finally:
            child.kill()
    if child.returncode > 0:
        raise Broken(f"journalctl ended with status {child.returncode}: may this user read the journal?")
    return data.decode(errors="replace").splitlines()


def _end_of(stream: IO[bytes], limit: int, until: float) -> bytes:
    """The last `limit` bytes of a stream, without the line that they begin within."""
    kept, whole = b"", True
    while True:
        ready, _, _ = select.select([stream], [], [], max(0.0, until - time.monotonic()))
        if not ready:
            raise Transient("journalctl did not end in time")
        chunk = os.read(stream.fileno(), _CHUNK)
        if not chunk:
            return kept if whole else kept.partition(b"\n")[2]
        kept += chunk
        if len(kept) > limit:
            kept, whole = kept[-limit:], False
