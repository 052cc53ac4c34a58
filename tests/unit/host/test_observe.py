"""What is observed is what stands there: every type, without blocking, without following, without side effects."""

from __future__ import annotations

import errno
import hashlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from nodeagent.changes.files import Actor
from nodeagent.host.observe import Observer
from nodeagent.host.tree import Tree, UnsafeLink
from nodeagent.observed.files import ABSENT, FileType
from tests.capabilities import require
from tests.crash.scenario import ACL_NAME, acl


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "root").mkdir()
    return tmp_path / "root"


@pytest.fixture
def observer(root: Path) -> Iterator[Observer]:
    before = len(os.listdir("/proc/self/fd"))
    with Tree(str(root)) as tree:
        yield Observer(tree)
    assert len(os.listdir("/proc/self/fd")) == before, "a descriptor was left open"


def test_a_file_is_seen_whole(observer: Observer, root: Path) -> None:
    (root / "file").write_bytes(b"x" * 300_000)
    (root / "file").chmod(0o4751)
    state = observer.state("/file")
    assert (state.type, state.mode, state.uid, state.gid) == (FileType.FILE, 0o4751, os.geteuid(), os.getegid())
    assert state.digest == hashlib.sha256(b"x" * 300_000).hexdigest()
    assert state.size == 300_000


def test_a_directory_and_the_root_itself(observer: Observer, root: Path) -> None:
    (root / "dir").mkdir(0o750)
    assert observer.state("/dir").type is FileType.DIRECTORY
    assert observer.state("/dir").mode == 0o750
    assert observer.state("/").identity[1] == root.stat().st_ino


@pytest.mark.parametrize("target", ["file", "/etc/passwd", "../../x", "missing"])
def test_a_link_is_seen_and_not_what_it_points_to(observer: Observer, root: Path, target: str) -> None:
    (root / "file").write_bytes(b"secret")
    (root / "link").symlink_to(target)
    state = observer.state("/link")
    assert (state.type, state.target, state.digest) == (FileType.LINK, target, "")


@pytest.mark.parametrize("path", ["/missing", "/missing/below", "/file/below"])
def test_nothing_is_absent(observer: Observer, root: Path, path: str) -> None:
    (root / "file").touch()
    assert observer.state(path) == ABSENT
    assert observer.stat(path) is None
    assert observer.read(path, 10) is None
    assert observer.identities([path]) == {path: ()}


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))


@pytest.mark.parametrize("make", [os.mkfifo, _socket], ids=["fifo", "socket"])
def test_special_files_are_other_and_block_nobody(observer: Observer, root: Path, make: object) -> None:
    assert callable(make)
    make(root / "special")
    assert observer.state("/special").type is FileType.OTHER
    with pytest.raises(OSError, match=r"no regular file|No such device") as failure:
        observer.read("/special", 10)
    assert failure.value.filename == "/special"


def test_a_device_is_other_and_is_not_opened(observer: Observer, root: Path) -> None:
    require("root")
    os.mknod(root / "device", 0o20644, os.makedev(1, 5))  # /dev/zero never ends
    assert observer.state("/device").type is FileType.OTHER
    with pytest.raises(OSError, match="no regular file"):
        observer.read("/device", 10)


@pytest.mark.parametrize("path", ["/dir", "/link"])
def test_only_regular_files_are_read(observer: Observer, root: Path, path: str) -> None:
    (root / "dir").mkdir()
    (root / "link").symlink_to("/etc/hostname")
    with pytest.raises(OSError, match=r"regular file|symbolic links") as failure:
        observer.read(path, 10)
    assert failure.value.filename == path


def test_reading_is_bounded(observer: Observer, root: Path) -> None:
    (root / "file").write_bytes(b"12345")
    assert observer.read("/file", 5) == b"12345"
    with pytest.raises(OSError, match="larger than 4 bytes") as failure:
        observer.read("/file", 4)
    assert failure.value.errno == errno.EFBIG
    assert "12345" not in str(failure.value)


def test_attributes_that_matter_are_seen_and_others_are_not(observer: Observer, root: Path) -> None:
    (root / "file").touch(0o640)
    os.setxattr(root / "file", "user.comment", b"theirs")
    os.setxattr(root / "file", *acl(0o640)[0])
    assert observer.state("/file").xattrs == acl(0o640)
    (root / "dir").mkdir()
    os.setxattr(root / "dir", "system.posix_acl_default", acl(0o640)[0][1])
    assert [name for name, _ in observer.state("/dir").xattrs] == [ACL_NAME.replace("access", "default")]


def test_any_change_shows_in_the_identity(observer: Observer, root: Path) -> None:
    path = root / "file"
    path.write_bytes(b"1")
    seen = [observer.identities(["/file"])["/file"]]
    for change in (lambda: path.write_bytes(b"2"), lambda: path.chmod(0o600), lambda: os.setxattr(path, "user.a", b"")):
        change()
        seen.append(observer.identities(["/file"])["/file"])
    path.unlink()
    path.write_bytes(b"2")
    seen.append(observer.identities(["/file"])["/file"])
    assert len(set(seen)) == len(seen)
    assert observer.state("/file").identity == seen[-1]


def test_entries_are_sorted_names(observer: Observer, root: Path) -> None:
    (root / "dir").mkdir()
    for name in ("b", "a", ".hidden"):
        (root / "dir" / name).touch()
    assert observer.entries("/dir") == (".hidden", "a", "b")
    assert observer.entries("/") == ("dir",)
    assert observer.entries("/missing") == ()


def test_an_error_names_the_path_and_not_a_part_of_it(observer: Observer, root: Path) -> None:
    require("root")
    (root / "dir").symlink_to("/")
    os.lchown(root / "dir", 1234, 1234)
    for look in (observer.state, observer.stat):
        with pytest.raises(UnsafeLink) as failure:
            look("/dir/file")
        assert failure.value.filename == "/dir/file"


def test_an_actor_sees_what_it_may_see(observer: Observer, root: Path) -> None:
    require("root")
    root.parent.chmod(0o755)
    (root / "private").write_bytes(b"secret")
    (root / "private").chmod(0o600)
    actor = Actor(1234, 1234)
    with pytest.raises(PermissionError) as failure:
        observer.state("/private", actor)
    assert failure.value.filename == "/private"
    with pytest.raises(PermissionError):
        observer.read("/private", 100, actor)
    os.chown(root / "private", 1234, 1234)
    assert observer.read("/private", 100, actor) == b"secret"
    assert observer.states(["/private"], {"/private": actor})["/private"].uid == 1234
    assert observer.read("/private", 100) == b"secret", "we are ourselves again"
