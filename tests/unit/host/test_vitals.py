"""What is seen of a real directory, and that nothing is left in it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from nodeagent.doctor.privileges import USEFUL, VITAL
from nodeagent.host import vitals
from nodeagent.host.clock import kernel_clock
from nodeagent.observed.vitals import Renames


def test_rights_are_read_from_the_kernels_table(tmp_path: Path) -> None:
    status = tmp_path / "status"
    status.write_text("Name:\tx\nUid:\t1\t2\t3\t4\nCapEff:\t0000000000200001\n")
    seen = vitals.rights(str(status))
    assert seen.uid == 2
    assert seen.capabilities == {"CAP_CHOWN", "CAP_SYS_ADMIN"}
    status.write_text("Uid:\t0\t0\t0\t0\nCapEff:\t000001ffffffffff\n")
    assert vitals.rights(str(status)).capabilities >= {*VITAL, *USEFUL}


def test_own_rights() -> None:
    assert vitals.rights().uid == os.geteuid()


def test_a_missing_directory_counts_as_the_nearest_that_is_there(tmp_path: Path) -> None:
    (tmp_path / "var").mkdir()
    there, missing = vitals.file_systems(str(tmp_path), ["/var", "/var/lib/nodeagent"])
    assert (there.present, missing.present) == (True, False)
    assert there.device == missing.device == tmp_path.stat().st_dev
    assert 0 < there.free <= there.size
    assert there.type


def test_files_are_exchanged_by_a_probe_that_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    assert vitals.renames(str(tmp_path), "/state") == Renames()
    assert list((tmp_path / "state").iterdir()) == []
    assert vitals.renames(str(tmp_path), "/missing") is None


def test_a_probe_that_is_refused_leaves_nothing_either(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(directory: int, old: str, new: str, flags: int) -> None:
        raise OSError(22, "Invalid argument", new)

    monkeypatch.setattr(vitals, "rename", refuses)
    assert vitals.renames(str(tmp_path), "/") == Renames("Invalid argument", "Invalid argument")
    assert list(tmp_path.iterdir()) == []


def test_a_root_of_its_own_and_the_running_one(tmp_path: Path) -> None:
    assert vitals.root("/").live
    scratch = vitals.root(str(tmp_path))
    assert not scratch.live
    assert scratch.follows


def test_the_kernel_tells_of_its_clock_and_changes_nothing() -> None:
    seen = kernel_clock()
    assert seen is None or seen.error >= 0
