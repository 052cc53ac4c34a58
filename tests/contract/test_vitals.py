"""What is seen of mounts is what the kernel was told, in a mount namespace of the test's own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.capabilities import require

_LOOK = """
import json, sys
from dataclasses import asdict
from nodeagent.host import vitals
root = sys.argv[1]
seen, (system,) = vitals.root(root), vitals.file_systems(root, ["/state"])
renames = None if system.read_only else asdict(vitals.renames(root, "/state"))
print(json.dumps(asdict(seen) | asdict(system) | {"renames": renames}))
"""


def _seen(root: Path, mounts: str) -> dict[str, object]:
    """What is seen below `root` after the shell's commands `mounts`, which know it as $1."""
    (root / "state").mkdir(parents=True)
    script = f'set -e; {mounts}; exec "$2" -c "$3" "$1"'
    done = subprocess.run(
        ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh", root, sys.executable, _LOOK],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, object] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize(
    ("propagation", "follows"),
    [("shared", True), ("slave", True), ("private", False), ("unbindable", False)],
)
def test_a_mounted_root_follows_what_propagates(tmp_path: Path, propagation: str, follows: bool) -> None:
    require("root")
    make_shared = 'mount --bind "$1" "$1"; mount --make-shared "$1"'  # a slave needs a master
    bind = f'mount --bind "$1" "$1"; mount --make-{propagation} "$1"'
    assert _seen(tmp_path / "a root with space", f"{make_shared}; {bind}")["follows"] is follows


def test_a_file_system_is_told_by_its_own_mount(tmp_path: Path) -> None:
    require("root")
    found = _seen(tmp_path / "root", 'mount -t tmpfs -o size=1m,nr_inodes=50,noexec none "$1/state"')
    assert (found["type"], found["read_only"], found["runs_programs"]) == ("tmpfs", False, False)
    assert (found["size"], found["inodes"]) == (1 << 20, 50)
    assert found["renames"] == {"noreplace": "", "exchange": ""}
    assert found["follows"] is True, "a directory of a mount is no mount of its own"


def test_a_bind_mount_that_is_read_only_is_told_from_what_it_binds(tmp_path: Path) -> None:
    require("root")
    bind = 'mount --bind "$1/state" "$1/state"; mount -o remount,ro,bind "$1/state"'
    assert _seen(tmp_path / "root", bind)["read_only"] is True
