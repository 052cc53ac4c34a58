"""Directories are reached as chroot(2) would reach them, and never through a link that somebody else could have put."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodeagent.host.tree import Tree, UnsafeLink, ancestors, beside, split
from tests.capabilities import require

names = st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=5)
paths = st.lists(names, min_size=1, max_size=5).map(lambda parts: "/" + "/".join(parts))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A root with /real/dir in it, and a directory outside that nothing may be reached in."""
    (tmp_path / "outside" / "dir").mkdir(parents=True)
    (tmp_path / "root" / "real" / "dir").mkdir(parents=True)
    return tmp_path / "root"


@pytest.fixture
def tree(root: Path) -> Iterator[Tree]:
    with Tree(str(root)) as tree:
        yield tree


def _where(tree: Tree, path: str) -> str:
    """Which directory was reached, as seen from the root."""
    reached = os.readlink(f"/proc/self/fd/{tree.directory(path)}")
    return reached.removeprefix(os.path.realpath(tree.root)) or "/"


@given(paths)
def test_split_and_beside_and_ancestors_agree(path: str) -> None:
    parent, name = split(path)
    assert beside(path, name) == path
    assert list(ancestors(path)) == [path, *ancestors(parent)]


def test_outside_and_inside_are_each_others_inverse(tree: Tree) -> None:
    assert tree.inside(tree.outside("/etc/hosts")) == "/etc/hosts"
    assert tree.inside("/etc/hosts") is None
    assert tree.inside(tree.root + "-other/etc") is None
    with Tree("/") as machine:
        assert machine.outside("/etc") == machine.inside("/etc") == "/etc"


@pytest.mark.parametrize("path", ["/", "/real", "/real/dir"])
def test_what_is_there_is_reached(tree: Tree, path: str) -> None:
    assert _where(tree, path) == path


def test_what_is_missing_or_no_directory_is_named(tree: Tree, root: Path) -> None:
    (root / "file").touch()
    with pytest.raises(FileNotFoundError) as missing:
        tree.directory("/real/missing/dir")
    assert missing.value.filename == "/real/missing/dir"
    with pytest.raises(NotADirectoryError) as file:
        tree.directory("/file/dir")
    assert file.value.filename == "/file/dir"


@pytest.mark.parametrize(
    "special", [os.mkfifo, lambda path: path.symlink_to("../file")], ids=["fifo", "link to a file"]
)
def test_what_is_no_directory_never_blocks(tree: Tree, root: Path, special: object) -> None:
    (root / "file").touch()
    assert callable(special)
    special(root / "real" / "special")
    with pytest.raises(NotADirectoryError):
        tree.directory("/real/special/dir")


LINKS = {
    "relative": ("real", "/real/dir"),
    "absolute": ("/real", "/real/dir"),
    "upwards": ("real/../real", "/real/dir"),
    "out by dots": ("../../../../../../real", "/real/dir"),
    "out by an absolute path and dots": ("/../../real/.", "/real/dir"),
    "doubled slashes": ("//real///", "/real/dir"),
}


@pytest.mark.parametrize(("target", "reached"), LINKS.values(), ids=LINKS)
def test_links_of_trusted_users_are_followed_inside_the_root(tree: Tree, root: Path, target: str, reached: str) -> None:
    (root / "link").symlink_to(target)
    assert _where(tree, "/link/dir") == reached


def test_a_link_to_what_only_exists_outside_leads_nowhere(tree: Tree, root: Path) -> None:
    (root / "link").symlink_to(root.parent / "outside")
    (root / "dots").symlink_to("../outside")
    for path in ("/link/dir", "/dots/dir"):
        with pytest.raises(FileNotFoundError):
            tree.directory(path)


def test_links_through_links_are_followed(tree: Tree, root: Path) -> None:
    (root / "one").symlink_to("two/dir")
    (root / "two").symlink_to("/real")
    assert _where(tree, "/one") == "/real/dir"


def test_links_in_a_circle_are_an_error(tree: Tree, root: Path) -> None:
    (root / "one").symlink_to("two")
    (root / "two").symlink_to("one")
    with pytest.raises(OSError, match="too many symbolic links") as failure:
        tree.directory("/one/dir")
    assert failure.value.errno == errno.ELOOP
    assert failure.value.filename == "/one/dir"


def test_the_root_may_be_given_through_a_link(root: Path) -> None:
    (root.parent / "alias").symlink_to("root")
    with Tree(str(root.parent / "alias")) as tree:
        assert _where(tree, "/real/dir") == "/real/dir"


def test_a_link_that_another_user_owns_is_not_followed(tree: Tree, root: Path) -> None:
    require("root")
    (root / "link").symlink_to("real")
    os.lchown(root / "link", 1234, 1234)
    with pytest.raises(UnsafeLink, match="owned by uid 1234") as failure:
        tree.directory("/link/dir")
    assert failure.value.filename == "/link/dir"


def test_a_link_that_another_user_owns_is_not_followed_within_a_trusted_one(tree: Tree, root: Path) -> None:
    require("root")
    (root / "theirs").symlink_to("real")
    os.lchown(root / "theirs", 1234, 1234)
    (root / "link").symlink_to("theirs/dir")
    with pytest.raises(UnsafeLink):
        tree.directory("/link")


def test_owner_and_target_of_a_link_are_of_the_same_link_however_it_is_swapped(root: Path) -> None:
    """Somebody who may rename in a directory swaps root's link with one of theirs, as fast as they can."""
    require("root")
    (root / "theirs").mkdir()
    (root / "swapped").symlink_to("real")
    stop = threading.Event()

    def swap() -> None:
        while not stop.is_set():
            for owner, target in ((1234, "theirs"), (0, "real")):
                (root / "new").symlink_to(target)
                os.lchown(root / "new", owner, owner)
                (root / "new").rename(root / "swapped")

    racer = threading.Thread(target=swap)
    racer.start()
    reached = set()
    try:
        for _ in range(3000):
            with Tree(str(root)) as tree:
                try:
                    reached.add(_where(tree, "/swapped"))
                except (UnsafeLink, FileNotFoundError):
                    continue
    finally:
        stop.set()
        racer.join()
    assert reached <= {"/real"}


def test_descriptors_are_kept_within_bounds_and_given_back(root: Path) -> None:
    for number in range(300):
        (root / f"d{number}").mkdir()
    before = len(os.listdir("/proc/self/fd"))
    with Tree(str(root)) as tree:
        for number in range(300):
            tree.directory(f"/d{number}")
            with pytest.raises(FileNotFoundError):
                tree.directory(f"/d{number}/missing/deeper")
        assert len(os.listdir("/proc/self/fd")) - before <= 258
        tree.forget()
        assert len(os.listdir("/proc/self/fd")) - before == 1
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_directory_that_was_replaced_is_found_again_after_forgetting(tree: Tree, root: Path) -> None:
    tree.directory("/real/dir")
    (root / "real" / "dir").rename(root / "real" / "moved")
    assert _where(tree, "/real/dir") == "/real/moved"
    tree.forget()
    with pytest.raises(FileNotFoundError):
        tree.directory("/real/dir")


def test_nearest_is_the_deepest_directory_that_is_there(tree: Tree, root: Path) -> None:
    (root / "link").symlink_to("/real")
    assert tree.nearest("/real/dir") == "/real/dir"
    assert tree.nearest("/link/missing/deeper") == "/link"
    assert tree.nearest("/missing/deeper") == "/"
