"""Write-ahead journal: what a transaction is about to do, on disk before it is done.

Invariants: a record is either whole or not there (each line carries a checksum; a torn tail is ignored); records are
only ever appended; `append` returns after the record is on stable storage. One file a transaction, removed when the
transaction is closed. The journal holds names, modes and digests, never contents.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Record = Mapping[str, Any]

_PREFIX = "journal."


def _encode(record: Record) -> bytes:
    text = json.dumps(record, separators=(",", ":"), sort_keys=True).encode()
    return b"%08x %s\n" % (zlib.crc32(text), text)


def _decode(line: bytes) -> Record | None:
    """The record of a line, or None if the line is torn or damaged."""
    checksum, _, text = line.partition(b" ")
    if not line.endswith(b"\n") or checksum != b"%08x" % zlib.crc32(text[:-1]):
        return None
    record: Record = json.loads(text)
    return record


@dataclass(frozen=True)
class Transaction:
    """An open journal file, by the transaction's id (hex)."""

    id: str
    directory: int
    descriptor: int

    @property
    def name(self) -> str:
        return _PREFIX + self.id

    def append(self, record: Record) -> None:
        """Add a record; on return it has reached stable storage. OSError if it could not."""
        pending = memoryview(_encode(record))
        while pending:
            pending = pending[os.write(self.descriptor, pending) :]
        os.fdatasync(self.descriptor)

    def records(self) -> tuple[Record, ...]:
        """All whole records, oldest first."""
        return tuple(self._read())

    def _read(self) -> Iterator[Record]:
        with os.fdopen(os.dup(self.descriptor), "rb") as file:
            file.seek(0)
            for line in file:
                record = _decode(line)
                if record is None:
                    return
                yield record

    def close(self) -> None:
        """Forget the transaction: it is finished and everything it put aside is gone."""
        os.unlink(self.name, dir_fd=self.directory)
        os.close(self.descriptor)

    def abandon(self) -> None:
        """Let go of the file and leave it for the next start."""
        os.close(self.descriptor)


class Journal:
    """The journal in one directory (a descriptor that the caller keeps open)."""

    def __init__(self, directory: int) -> None:
        self._directory = directory

    def begin(self, transaction: str) -> Transaction:
        """A new, empty transaction whose file survives a power cut."""
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(_PREFIX + transaction, flags, 0o600, dir_fd=self._directory)
        os.fsync(self._directory)
        return Transaction(transaction, self._directory, descriptor)

    def unfinished(self) -> tuple[Transaction, ...]:
        """Transactions that an earlier process left open, oldest first (ids sort by age)."""
        names = sorted(name for name in os.listdir(self._directory) if name.startswith(_PREFIX))
        return tuple(self._open(name) for name in names)

    def _open(self, name: str) -> Transaction:
        flags = os.O_RDWR | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(name, flags, dir_fd=self._directory)
        return Transaction(name.removeprefix(_PREFIX), self._directory, descriptor)
