"""What the C library is asked directly: it fails with the kernel's errno, and leaves nobody in another's name."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from nodeagent.host.syscalls import RENAME_EXCHANGE, RENAME_NOREPLACE, acting_as, immutable, rename, syncfs
from tests.capabilities import require


@pytest.fixture
def directory(tmp_path: Path) -> int:
    (tmp_path / "one").write_bytes(b"1")
    (tmp_path / "two").write_bytes(b"2")
    return os.open(tmp_path, os.O_RDONLY)


def test_exchange_and_no_replace(directory: int, tmp_path: Path) -> None:
    try:
        rename(directory, "one", "two", RENAME_EXCHANGE)
        assert (tmp_path / "one").read_bytes() == b"2"
        with pytest.raises(FileExistsError):
            rename(directory, "one", "two", RENAME_NOREPLACE)
        with pytest.raises(FileNotFoundError):
            rename(directory, "missing", "one", RENAME_EXCHANGE)
        syncfs(directory)
    finally:
        os.close(directory)
    with pytest.raises(OSError, match="Bad file descriptor") as failure:
        syncfs(directory)
    assert failure.value.errno == errno.EBADF


def test_files_without_flags_have_none() -> None:
    for path in ("/dev/null", "/proc/self/status"):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            assert immutable(descriptor) == ""
        finally:
            os.close(descriptor)


@pytest.fixture
def open_to_all(tmp_path: Path) -> Iterator[int]:
    """A directory that everybody may write to, by its descriptor: nobody else may walk to it."""
    tmp_path.chmod(0o777)
    descriptor = os.open(tmp_path, os.O_RDONLY)
    yield descriptor
    os.close(descriptor)


def _owner(directory: int, name: str) -> tuple[int, int]:
    """Who owns a file that is made now."""
    descriptor = os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600, dir_fd=directory)
    try:
        seen = os.fstat(descriptor)
        return seen.st_uid, seen.st_gid
    finally:
        os.close(descriptor)


@pytest.mark.parametrize("ids", [(1234, 1234), (0, 1234), (1234, 0), (3_000_000_000, 3_000_000_000)])
def test_new_files_belong_to_whom_we_act_for_and_then_to_us_again(ids: tuple[int, int], open_to_all: int) -> None:
    require("root")
    with acting_as(*ids):
        assert _owner(open_to_all, "theirs") == ids
        with acting_as(99, 99):
            assert _owner(open_to_all, "others") == (99, 99)
        assert _owner(open_to_all, "theirs again") == ids
    assert _owner(open_to_all, "ours") == (0, os.getegid())


def test_an_error_leaves_us_ourselves(open_to_all: int) -> None:
    require("root")
    with pytest.raises(ValueError, match="stop"), acting_as(1234, 1234):
        raise ValueError("stop")
    assert _owner(open_to_all, "ours") == (0, os.getegid())


def test_nobody_acts_for_a_user_that_the_kernel_does_not_know(open_to_all: int) -> None:
    require("root")
    unknown = 0xFFFFFFFF  # (uid_t) -1 is no user
    with pytest.raises(PermissionError, match="cannot act as uid"), acting_as(unknown, unknown):
        _owner(open_to_all, "never")
    assert os.listdir(open_to_all) == []
    assert _owner(open_to_all, "ours") == (0, os.getegid())
