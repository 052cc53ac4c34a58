"""Copies of files: complete or without a name, told apart by all that is in them, found through the same links."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodeagent.errors import Broken
from nodeagent.host.replicas import Contents, Replicas, contents_of
from nodeagent.host.tree import Tree

COPIES = "/state/copies"


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """Something to copy: usr/lib/library.so.1.2, found as lib/library.so, and a program."""
    root = tmp_path.resolve() / "image"
    (root / "usr/lib").mkdir(parents=True)
    (root / "usr/lib/library.so.1.2").write_bytes(b"library")
    (root / "usr/lib/library.so").symlink_to("../lib/./library.so.1.2")
    (root / "lib").symlink_to(root / "usr/lib")
    (root / "program").write_bytes(b"program")
    (root / "program").chmod(0o755)
    return root


@pytest.fixture
def node(tmp_path: Path) -> Path:
    (tmp_path / "node").mkdir()
    return tmp_path / "node"


@pytest.fixture
def replicas(node: Path) -> Iterator[Replicas]:
    with Tree(str(node)) as tree:
        yield Replicas(tree, COPIES)


def _contents(image: Path) -> Contents:
    return contents_of([f"{image}/lib/library.so", f"{image}/program"])


def _accept(copy: str) -> None:
    """Nothing is wrong with the copy."""


def test_links_on_the_way_belong_to_a_copy(image: Path) -> None:
    contents = _contents(image)
    assert contents.files == [f"{image}/program", f"{image}/usr/lib/library.so.1.2"]
    assert contents.links == {
        f"{image}/lib": f"{image}/usr/lib",
        f"{image}/usr/lib/library.so": "../lib/./library.so.1.2",
    }
    assert contents.size == len(b"library" + b"program")


@given(st.lists(st.sampled_from(["a", "b", "up", "far", "..", "."]), max_size=6))
def test_a_path_resolves_as_the_kernel_resolves_it(tmp_path_factory: pytest.TempPathFactory, names: list[str]) -> None:
    root = tmp_path_factory.mktemp("links").resolve()
    for directory in (root, root / "a", root / "a/b"):
        directory.mkdir(exist_ok=True)
        (directory / "up").symlink_to("..")
        (directory / "far").symlink_to(root / "a/up/a")
    path = "/".join((str(root), *names))
    if os.path.exists(path):
        with open(os.path.join(path, "file"), "w"):
            pass
        assert contents_of([f"{path}/file"]).files == [os.path.realpath(f"{path}/file")]


@pytest.mark.parametrize(
    "change",
    [
        lambda image: (image / "program").write_bytes(b"Program"),
        lambda image: (image / "program").chmod(0o644),
        lambda image: ((image / "lib").unlink(), (image / "lib").symlink_to("usr/lib")),
    ],
    ids=["bytes", "mode", "link"],
)
def test_another_digest_for_other(change: object, image: Path) -> None:
    before = _contents(image).digest()
    assert callable(change)
    change(image)
    assert _contents(image).digest() != before


def test_a_copy_has_files_links_and_empty_directories_for_root_alone(
    replicas: Replicas, image: Path, node: Path
) -> None:
    assert replicas.make("one", _contents(image), ["/proc"], _accept)
    copy = Path(f"{node}{replicas.path('one')}")
    assert Path(f"{copy}{image}/program").read_bytes() == b"program"
    assert os.readlink(f"{copy}{image}/usr/lib/library.so") == "../lib/./library.so.1.2"
    assert list((copy / "proc").iterdir()) == []
    modes = {stat.S_IMODE(path.lstat().st_mode) for path in copy.rglob("*") if not path.is_symlink()}
    assert modes == {0o600, 0o700}


def test_a_copy_is_tried_before_it_has_its_name(replicas: Replicas, image: Path, node: Path) -> None:
    def refuse(copy: str) -> None:
        assert Path(f"{copy}{image}/program").read_bytes() == b"program"
        assert not Path(f"{node}{replicas.path('one')}").exists()
        raise Broken("it does not start")

    with pytest.raises(Broken):
        replicas.make("one", _contents(image), [], refuse)
    assert not Path(f"{node}{replicas.path('one')}").exists()
    assert replicas.make("one", _contents(image), [], _accept), "what was left by the first attempt is in the way"


def test_a_copy_that_is_there_is_neither_written_nor_tried_again(replicas: Replicas, image: Path, node: Path) -> None:
    replicas.make("one", _contents(image), [], _accept)
    before = Path(f"{node}{replicas.path('one')}").stat()

    def fail(copy: str) -> None:
        pytest.fail("tried again")

    assert not replicas.make("one", _contents(image), [], fail)
    assert Path(f"{node}{replicas.path('one')}").stat() == before


def test_all_other_copies_go(replicas: Replicas, image: Path, node: Path) -> None:
    for digest in ("one", "two", "three"):
        replicas.make(digest, _contents(image), [], _accept)
    replicas.keep_only("two")
    assert os.listdir(f"{node}{COPIES}") == ["two"]
    assert (image / "program").exists()


def test_there_may_be_no_copies_to_remove(replicas: Replicas, node: Path) -> None:
    replicas.keep_only("one")
    assert os.listdir(node) == []
