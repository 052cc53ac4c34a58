"""Files of certificates are reached through links, and never outside the root or through somebody else's link."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from nodeagent.host.pki import PkiReader
from nodeagent.host.tree import Tree
from nodeagent.observed.certificates import Standing
from tests.capabilities import require

LIMIT = 100


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[PkiReader]:
    (tmp_path / "pki").mkdir()
    with Tree(str(tmp_path)) as tree:
        yield PkiReader(tree)


def test_reads_a_file_with_what_stands_there(reader: PkiReader, tmp_path: Path) -> None:
    path = tmp_path / "pki/a.crt"
    path.write_bytes(b"data")
    path.chmod(0o640)
    found, data = reader.read("/pki/a.crt", LIMIT)
    assert (found.standing, found.mode, found.names, found.target, data) == (Standing.FILE, 0o640, 1, "", b"data")
    assert reader.look("/pki/a.crt") == found


def test_a_change_shows_in_the_identity(reader: PkiReader, tmp_path: Path) -> None:
    path = tmp_path / "pki/a.crt"
    path.write_bytes(b"data")
    before = reader.look("/pki/a.crt")
    path.chmod(0o600)
    assert reader.look("/pki/a.crt").identity != before.identity


@pytest.mark.parametrize("target", ["/pki/real.pem", "real.pem", "../pki/real.pem", "../../../pki/real.pem"])
def test_links_lead_where_they_lead_inside_the_root(reader: PkiReader, tmp_path: Path, target: str) -> None:
    (tmp_path / "pki/real.pem").write_bytes(b"data")
    (tmp_path / "pki/current.pem").symlink_to(target)
    found, data = reader.read("/pki/current.pem", LIMIT)
    assert (found.standing, data) == (Standing.FILE, b"data")
    assert found.target.endswith("real.pem")


def test_a_link_out_of_the_root_leads_nowhere(reader: PkiReader, tmp_path: Path) -> None:
    (tmp_path / "pki/current.pem").symlink_to("/etc/hostname")
    assert reader.read("/pki/current.pem", LIMIT)[0].standing is Standing.DANGLING


def test_tells_a_dangling_link_from_an_absent_file(reader: PkiReader, tmp_path: Path) -> None:
    (tmp_path / "pki/current.pem").symlink_to("gone.pem")
    assert reader.look("/pki/current.pem").standing is Standing.DANGLING
    assert reader.look("/pki/absent.pem").standing is Standing.ABSENT
    assert reader.look("/nowhere/absent.pem").standing is Standing.ABSENT


def test_links_in_a_circle_are_unreadable(reader: PkiReader, tmp_path: Path) -> None:
    (tmp_path / "pki/a").symlink_to("b")
    (tmp_path / "pki/b").symlink_to("a")
    found = reader.look("/pki/a")
    assert (found.standing, found.problem) == (Standing.UNREADABLE, "is a chain of too many symbolic links")


def test_a_link_of_another_user_is_not_followed(reader: PkiReader, tmp_path: Path) -> None:
    require("root")
    (tmp_path / "pki/real.pem").write_bytes(b"data")
    (tmp_path / "pki/a").symlink_to("real.pem")
    os.lchown(tmp_path / "pki/a", 12345, 12345)
    found, data = reader.read("/pki/a", LIMIT)
    assert (found.standing, data) == (Standing.UNREADABLE, b"")
    assert "12345" in found.problem


def test_a_fifo_does_not_block(reader: PkiReader, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pki/a.crt")
    found, _ = reader.read("/pki/a.crt", LIMIT)
    assert (found.standing, found.problem) == (Standing.UNREADABLE, "is no regular file")


@pytest.mark.parametrize(("size", "standing"), [(LIMIT, Standing.FILE), (LIMIT + 1, Standing.UNREADABLE)])
def test_reads_up_to_the_limit(reader: PkiReader, tmp_path: Path, size: int, standing: Standing) -> None:
    (tmp_path / "pki/a.crt").write_bytes(b"x" * size)
    assert reader.read("/pki/a.crt", LIMIT)[0].standing is standing


def test_globs_match_within_a_name(reader: PkiReader, tmp_path: Path) -> None:
    for name in ("pki/a.crt", "pki/.hidden.crt", "pki/sub/b.crt", "pki/sub/c.key"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert reader.glob("/pki/*.crt") == ("/pki/a.crt",)
    assert reader.glob("/*/*/[ab].crt") == ("/pki/sub/b.crt",)
    assert reader.glob("/pki/.*.crt") == ("/pki/.hidden.crt",)
    assert reader.glob("/no/where") == ("/no/where",)
    assert reader.glob("/no/*") == ()


def test_a_directory_that_was_moved_away_is_seen_after_a_refresh(reader: PkiReader, tmp_path: Path) -> None:
    (tmp_path / "pki/a.crt").touch()
    assert reader.look("/pki/a.crt").standing is Standing.FILE
    (tmp_path / "pki").rename(tmp_path / "old")
    reader.refresh()
    assert reader.look("/pki/a.crt").standing is Standing.ABSENT
