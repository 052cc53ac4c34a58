"""Archives of a few small files, as tar with gzip.

Invariant: an archive is made anew, 0600, and is there whole or not at all; owners, modes and times in it are the same
for every file, so nothing of the node's shows but what was put in.
"""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Mapping
from contextlib import suppress
from typing import IO

_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def create(path: str, folder: str, files: Mapping[str, bytes], when: float) -> None:
    """Write the new archive `path` of `files`, by their names in `folder`. OSError: something stands there."""
    descriptor = os.open(path, _CREATE, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            write(stream, folder, files, when)
            stream.flush()
            os.fsync(stream.fileno())
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(path)
        raise


def write(stream: IO[bytes], folder: str, files: Mapping[str, bytes], when: float) -> None:
    """Write the archive to a stream that cannot seek; `when` is in seconds since the epoch."""
    with tarfile.open(fileobj=stream, mode="w|gz", format=tarfile.PAX_FORMAT) as archive:
        for name, data in files.items():
            entry = tarfile.TarInfo(f"{folder}/{name}")
            entry.size, entry.mode, entry.mtime = len(data), 0o600, int(when)
            entry.uname = entry.gname = "root"
            archive.addfile(entry, io.BytesIO(data))
