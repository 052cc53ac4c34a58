"""The journal gives back whole records, in order, whatever is left of its file."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nodeagent.engine.journal import Journal, Record, Transaction

RECORDS: list[Record] = [
    {"at": "begin", "boot": "b-1", "inverses": [{"path": "/etc/ünïcode\n", "aside": ".nodeagent-1-0"}] * 3},
    {"at": "committed"},
    {"at": "undoing", "why": "chrony.service failed\nbadly"},
]

on_one_file = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300)


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[int]:
    descriptor = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    yield descriptor
    os.close(descriptor)


@pytest.fixture
def journal(directory: int) -> Journal:
    return Journal(directory)


def _write(journal: Journal, name: str = "1") -> bytes:
    with journal.begin(name) as opened:
        for record in RECORDS:
            opened.append(record)
        return os.pread(opened.descriptor, 1 << 20, 0)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The bytes of a journal that holds `RECORDS`."""
    path = tmp_path_factory.mktemp("journal")
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        return _write(Journal(descriptor))
    finally:
        os.close(descriptor)


def _reopened(journal: Journal, tmp_path: Path, data: bytes) -> Transaction:
    (tmp_path / "journal.1").write_bytes(data)
    (opened,) = journal.unfinished()
    return opened


def test_what_was_appended_is_read_back(journal: Journal) -> None:
    _write(journal)
    (opened,) = journal.unfinished()
    with opened:
        assert opened.records() == tuple(RECORDS)
        assert opened.records() == tuple(RECORDS)  # reading moves nothing


def test_transactions_come_newest_first_until_they_are_removed(journal: Journal) -> None:
    for name in ("2", "1", "3"):
        _write(journal, name)
    for opened in journal.unfinished():
        with opened:
            if opened.id == "2":
                opened.remove()
    assert _names(journal) == ["3", "1"]


def _names(journal: Journal) -> list[str]:
    names = []
    for opened in journal.unfinished():
        with opened:
            names.append(opened.id)
    return names


def test_other_files_in_the_directory_are_none_of_its_business(journal: Journal, tmp_path: Path) -> None:
    (tmp_path / "applied.json").write_text("{}")
    assert list(journal.unfinished()) == []


def test_a_transaction_is_never_begun_twice(journal: Journal) -> None:
    _write(journal)
    with pytest.raises(FileExistsError):
        journal.begin("1")


def test_a_link_in_the_journals_place_is_not_followed(journal: Journal, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_bytes(b"")
    (tmp_path / "journal.1").symlink_to("elsewhere")
    with pytest.raises(OSError, match="symbolic links"):
        list(journal.unfinished())


def test_every_truncation_gives_the_records_before_it(journal: Journal, tmp_path: Path, whole: bytes) -> None:
    for length in range(len(whole) + 1):
        with _reopened(journal, tmp_path, whole[:length]) as opened:
            found = opened.records()
        assert found == tuple(RECORDS[: len(found)])
        assert len(found) == sum(end <= length for end in _ends(whole))


def _ends(whole: bytes) -> list[int]:
    """The lengths from which on each record is whole: its text is, whether or not the line has ended."""
    newlines = [at for at in range(len(whole)) if whole[at : at + 1] == b"\n"]
    return newlines[1::2]


def test_a_record_after_any_torn_one_is_whole(journal: Journal, tmp_path: Path, whole: bytes) -> None:
    for length in range(len(whole) + 1):
        with _reopened(journal, tmp_path, whole[:length]) as opened:
            before = opened.records()
            opened.append({"at": "done"})
            assert opened.records() == (*before, {"at": "done"})


@on_one_file
@given(data=st.data())
def test_a_flipped_bit_costs_a_record_and_never_changes_one(
    journal: Journal, tmp_path: Path, whole: bytes, data: st.DataObject
) -> None:
    at = data.draw(st.integers(0, len(whole) - 1))
    bit = data.draw(st.integers(0, 7))
    damaged = whole[:at] + bytes([whole[at] ^ (1 << bit)]) + whole[at + 1 :]
    with _reopened(journal, tmp_path, damaged) as opened:
        found = list(opened.records())
    assert [record for record in RECORDS if record in found] == found
    assert len(found) >= len(RECORDS) - 1


@on_one_file
@given(garbage=st.binary(max_size=200))
def test_garbage_is_no_record_and_hides_none_that_follows(journal: Journal, tmp_path: Path, garbage: bytes) -> None:
    with _reopened(journal, tmp_path, garbage) as opened:
        assert opened.records() == ()
        opened.append(RECORDS[0])
        assert opened.records() == (RECORDS[0],)


def test_a_short_write_is_completed(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    with journal.begin("1") as opened:
        monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, bytes(data)[:3]))
        opened.append(RECORDS[0])
        monkeypatch.undo()
        assert opened.records() == (RECORDS[0],)


def test_what_is_not_certain_to_be_on_disk_is_an_error(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with journal.begin("1") as opened:
        monkeypatch.setattr(os, "fdatasync", fail)
        with pytest.raises(OSError, match="Input/output error"):
            opened.append(RECORDS[0])


def test_a_journal_whose_directory_cannot_be_flushed_is_not_begun(
    journal: Journal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    descriptors = len(os.listdir("/proc/self/fd"))
    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="Input/output error"):
        journal.begin("1")
    assert list(tmp_path.iterdir()) == []
    assert len(os.listdir("/proc/self/fd")) == descriptors
