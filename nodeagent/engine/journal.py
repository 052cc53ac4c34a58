"""Write-ahead journal: what a transaction is about to do, on disk before it is done.

Invariants: a record is either whole or not there (each line carries a checksum; torn and damaged lines are skipped, and
a record begins on a line of its own, so that what follows a torn one is whole); records are only ever appended;
`append` returns after the record is on stable storage. One file a transaction, removed when the transaction is over.
The journal holds names, modes and digests, never contents.
"""

from __future__ import annotations

import contextlib
import json
import os
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Self

Record = Mapping[str, Any]

_PREFIX = "journal."


def _encode(record: Record) -> bytes:
    text = json.dumps(record, separators=(",", ":"), sort_keys=True).encode()
    return b"\n%08x %s\n" % (zlib.crc32(text), text)


def _decode(line: bytes) -> Record | None:
    """The record of a line, or None if the line is blank, torn or damaged."""
    checksum, _, text = line.removesuffix(b"\n").partition(b" ")
    if checksum != b"%08x" % zlib.crc32(text):
        return None
    record: Record = json.loads(text)
    return record


@dataclass(frozen=True)
class Transaction:
    """An open journal file, by the transaction's id (ids sort by age). Leaving its context closes the file only."""

    id: str
    directory: int
    descriptor: int

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.descriptor)

    @property
    def name(self) -> str:
        return _PREFIX + self.id

    def append(self, record: Record) -> None:
        """Add a record; on return it has reached stable storage. OSError if that is not certain."""
        pending = memoryview(_encode(record))
        try:
            while pending:
                pending = pending[os.write(self.descriptor, pending) :]
            os.fdatasync(self.descriptor)
        except OSError as error:
            error.filename = self.name
            raise

    def records(self) -> tuple[Record, ...]:
        """All whole records, oldest first."""
        with open(self.descriptor, "rb", closefd=False) as file:
            file.seek(0)
            return tuple(record for line in file if (record := _decode(line)) is not None)

    def remove(self) -> None:
        """Forget the transaction: it is over, and everything it put aside is gone."""
        os.unlink(self.name, dir_fd=self.directory)


class Journal:
    """The journal in one directory (a descriptor that the caller keeps open)."""

    def __init__(self, directory: int) -> None:
        self._directory = directory

    def begin(self, transaction: str) -> Transaction:
        """A new, empty transaction whose file survives a power cut. OSError leaves none behind."""
        opened = self._open(_PREFIX + transaction, os.O_CREAT | os.O_EXCL)
        try:
            os.fsync(self._directory)
        except OSError:
            with opened, contextlib.suppress(OSError):
                opened.remove()
            raise
        return opened

    def unfinished(self) -> Iterator[Transaction]:
        """Transactions that an earlier run left open, newest first: what came last is taken back first."""
        for name in sorted(os.listdir(self._directory), reverse=True):
            if name.startswith(_PREFIX):
                yield self._open(name)

    def _open(self, name: str, flags: int = 0) -> Transaction:
        flags |= os.O_RDWR | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(name, flags, 0o600, dir_fd=self._directory)
        return Transaction(name.removeprefix(_PREFIX), self._directory, descriptor)
