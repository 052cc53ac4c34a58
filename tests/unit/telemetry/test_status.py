"""The status file: whole, private, and hostile contents of its directory change nothing else."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

import pytest

from nodeagent.errors import Broken
from nodeagent.telemetry.status import MAX_BYTES, NAME, read_status, write_status


def test_what_is_written_is_read(tmp_path: Path) -> None:
    document = {"state": "Done", "drift": [{"path": "/etc/motd", "kind": "mode"}]}
    write_status(str(tmp_path), document)
    assert read_status(str(tmp_path)) == document
    assert os.listdir(tmp_path) == [NAME]


def test_only_the_owner_may_read_it_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        write_status(str(tmp_path), {})
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / NAME).stat().st_mode) == 0o600


def test_a_reader_sees_the_old_or_the_new_and_never_a_part(tmp_path: Path) -> None:
    directory = str(tmp_path)
    write_status(directory, {"number": 0, "filler": "x" * 100_000})
    seen: list[int] = []
    stop = threading.Event()

    def reading() -> None:
        while not stop.is_set():
            document = read_status(directory)
            seen.append(-1 if document is None else document["number"])

    reader = threading.Thread(target=reading)
    reader.start()
    for number in range(1, 200):
        write_status(directory, {"number": number, "filler": "x" * 100_000})
    stop.set()
    reader.join(10)
    assert seen
    assert seen == sorted(seen)
    assert seen[0] >= 0


def test_without_a_daemon_there_is_no_status(tmp_path: Path) -> None:
    assert read_status(str(tmp_path)) is None
    assert read_status(str(tmp_path / "missing")) is None


def test_what_a_killed_process_left_behind_is_replaced(tmp_path: Path) -> None:
    (tmp_path / ".status.json.new").write_text("half")
    write_status(str(tmp_path), {"state": "Done"})
    assert read_status(str(tmp_path)) == {"state": "Done"}
    assert os.listdir(tmp_path) == [NAME]


def test_links_are_replaced_and_never_followed(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    run = tmp_path / "run"
    run.mkdir()
    (run / NAME).symlink_to(victim)
    (run / ".status.json.new").symlink_to(victim)
    with pytest.raises(OSError, match="symbolic links"):
        read_status(str(run))
    write_status(str(run), {"state": "Done"})
    assert victim.read_text() == "precious"
    assert read_status(str(run)) == {"state": "Done"}


def test_a_directory_that_is_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    with pytest.raises(NotADirectoryError):
        write_status(str(tmp_path / "link"), {})


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"[]", b"null", b"[" * 100_000])
def test_a_damaged_file_is_told_with_its_path_and_the_remedy(tmp_path: Path, content: bytes) -> None:
    (tmp_path / NAME).write_bytes(content)
    with pytest.raises(Broken, match=rf"{tmp_path}/{NAME}: .*restart the daemon"):
        read_status(str(tmp_path))


def test_a_fifo_does_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / NAME)
    with pytest.raises(Broken, match="not a regular file"):
        read_status(str(tmp_path))


def test_a_huge_file_is_refused(tmp_path: Path) -> None:
    with (tmp_path / NAME).open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    with pytest.raises(Broken, match="larger than"):
        read_status(str(tmp_path))
