"""Shows what a change does to a file's lines, to whoever may read the file anyway.

A file that is not world-readable, before or after, is never shown: its diff would end up in terminals and tickets.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator

from nodeagent.changes.files import WriteFile
from nodeagent.observed.files import FileType

_WORLD_READABLE = 0o004
_LONGEST = 1 << 20  # bytes of either side that are worth comparing line by line

Read = Callable[[str, int], bytes | None]


def lines(change: WriteFile, read: Read) -> Iterator[str]:
    """The unified diff of a change, or one line that says why it is not shown."""
    before: bytes | None = b""
    if change.before.type is FileType.FILE:
        before = read(change.path, _LONGEST) if change.before.size <= _LONGEST else None
    yield from between(change.path, before, change.data, _secret(change), ("now", "declared"))


def _secret(change: WriteFile) -> bool:
    shown_before = change.before.type is not FileType.FILE or change.before.mode & _WORLD_READABLE
    return not (shown_before and change.mode & _WORLD_READABLE)


def between(
    path: str, before: bytes | None, after: bytes | None, secret: bool, labels: tuple[str, str] = ("declared", "now")
) -> Iterator[str]:
    """The unified diff between two contents of `path`, or why it is not shown; None is one that is too large."""
    if secret:
        yield "(contents not shown: the file is not world-readable)"
        return
    if before is None or after is None or len(after) > _LONGEST:
        yield "(contents not shown: the file is large)"
        return
    old, new = _text(before), _text(after)
    if old is None or new is None:
        yield f"(binary contents: {len(before)} bytes before, {len(after)} after)"
        return
    one, other = (f"{path} ({label})" for label in labels)
    yield from difflib.unified_diff(old, new, one, other, lineterm="")


def _text(data: bytes) -> list[str] | None:
    if b"\0" in data:
        return None
    try:
        return [_printable(line) for line in data.decode().splitlines()]
    except UnicodeDecodeError:
        return None


def _printable(line: str) -> str:
    """The line without what would steer a terminal."""
    return "".join(letter if letter.isprintable() or letter == "\t" else f"\\x{ord(letter):02x}" for letter in line)
