"""Sources: which files count, in which order, and one clear error for all that cannot be read."""

from __future__ import annotations

import io

import pytest
from pyfakefs.fake_filesystem import FakeFilesystem

from nodeagent.errors import Rejected
from nodeagent.host import sources


def test_a_directory_gives_its_documents_in_name_order(fs: FakeFilesystem) -> None:
    for name in ("b.yaml", "a.json", "c.yml", "d.ign", "README.md", ".hidden.yaml", "e.yaml~", "f.yaml/inside.yaml"):
        fs.create_file(f"/src/{name}", contents=name)
    expected = ("a.json", "b.yaml", "c.yml", "d.ign")
    assert sources.read(["/src"]) == [(f"/src/{name}", name.encode()) for name in expected]


def test_a_named_file_counts_whatever_it_is_called(fs: FakeFilesystem) -> None:
    fs.create_file("/x", contents="kind: x")
    assert sources.read(["/x"]) == [("/x", b"kind: x")]


def test_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"kind: x")))
    assert sources.read(["-"]) == [("-", b"kind: x")]


def test_everything_that_cannot_be_read_is_named_at_once(fs: FakeFilesystem) -> None:
    fs.create_file("/good.yaml")
    with pytest.raises(Rejected) as caught:
        sources.read(["/missing.yaml", "/good.yaml", "/also-missing.yaml"])
    assert [problem.object for problem in caught.value.problems] == ["/also-missing.yaml", "/missing.yaml"]


def test_a_source_that_is_far_too_large_is_refused(fs: FakeFilesystem, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "_LIMIT", 100)
    fs.create_file("/large.yaml", contents="x" * 101)
    with pytest.raises(Rejected, match="larger than"):
        sources.read(["/large.yaml"])
