"""Reads MachineConfigs where an administrator put them: files, directories of files, standard input."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Sequence

from nodeagent.errors import Problem, Rejected

SUFFIXES = (".yaml", ".yml", ".json", ".ign")
_LIMIT = 64 << 20  # bytes of one source


def read(sources: Sequence[str]) -> list[tuple[str, bytes]]:
    """Name and bytes of every document file behind `sources` ("-" is standard input), directories in name order.

    Rejected, with every problem, if one is missing or cannot be read. In a directory, hidden files and files of other
    types are passed over.
    """
    problems: list[Problem] = []
    found: list[tuple[str, bytes]] = []
    for name in _files(sources, problems):
        try:
            found.append((name, _read(name)))
        except OSError as error:
            problems.append(Problem(name, "", f"cannot be read: {error.strerror or error}"))
    if problems:
        raise Rejected(problems)
    return found


def _files(sources: Iterable[str], problems: list[Problem]) -> Iterator[str]:
    for source in sources:
        if source == "-" or not os.path.isdir(source):
            yield source
            continue
        try:
            names = sorted(os.listdir(source))
        except OSError as error:
            problems.append(Problem(source, "", f"cannot be listed: {error.strerror}"))
            continue
        yield from (path for name in names if _counts(path := os.path.join(source, name)))


def _counts(path: str) -> bool:
    name = os.path.basename(path)
    return name.endswith(SUFFIXES) and not name.startswith(".") and os.path.isfile(path)


def _read(name: str) -> bytes:
    with sys.stdin.buffer if name == "-" else open(name, "rb") as file:
        data = file.read(_LIMIT + 1)
    if len(data) > _LIMIT:
        raise OSError(f"is larger than {_LIMIT} bytes")
    return data
