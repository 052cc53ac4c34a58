"""The status file: what `nodeagent status` shows, written by the daemon and read by root.

Invariants: a reader sees a whole document, the old or the new; it is 0600, for it names paths and digests;
it never holds the contents of files. It lives in the run directory and is not meant to outlast a boot.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from nodeagent.errors import Broken

NAME = "status.json"
MAX_BYTES = 64 << 20

_NEW = ".status.json.new"  # one writer: the daemon holds the instance lock
_DIRECTORY = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def write_status(directory: str, document: Mapping[str, Any]) -> None:
    """Replace the status file in the existing `directory`. OSError if that fails; the old one then stays."""
    content = json.dumps(document, separators=(",", ":")).encode() + b"\n"
    opened = os.open(directory, _DIRECTORY)
    try:
        _write_new(opened, content)
        os.rename(_NEW, NAME, src_dir_fd=opened, dst_dir_fd=opened)
    finally:
        os.close(opened)


def _write_new(directory: int, content: bytes) -> None:
    with suppress(FileNotFoundError):
        os.unlink(_NEW, dir_fd=directory)  # left behind by a process that was killed
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(_NEW, flags, 0o600, dir_fd=directory), "wb") as file:
        file.write(content)


def read_status(directory: str) -> dict[str, Any] | None:
    """The document in the status file, or None if there is none: no daemon has run since the boot.

    OSError if it may not be read, Broken if it is not what `write_status` writes.
    """
    path = f"{directory}/{NAME}"
    try:
        content = _content(directory)
    except FileNotFoundError:
        return None
    try:
        document = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise Broken(f"{path}: the status file is damaged; restart the daemon to write it again") from error
    if not isinstance(document, dict):
        raise Broken(f"{path}: the status file holds no object; restart the daemon to write it again")
    return document


def _content(directory: str) -> bytes:
    opened = os.open(directory, _DIRECTORY)
    try:
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        descriptor = os.open(NAME, flags, dir_fd=opened)
    finally:
        os.close(opened)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise Broken(f"{directory}/{NAME}: it is not a regular file; remove it and restart the daemon")
        content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise Broken(f"{directory}/{NAME}: it is larger than {MAX_BYTES >> 20} MiB; restart the daemon")
    return content
