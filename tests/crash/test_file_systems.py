"""What a real file system refuses is found before anything is touched, with the path and the cause named."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.capabilities import require

_CHECKOUT = Path(__file__).resolve().parents[2]
_DEADLINE = 60.0  # seconds that one attempt may take
_APP, _TARGET = "/etc/app", "/etc/app/target.conf"

REFUSALS = [
    ("full", _APP, "bytes to spare"),
    ("too-large", _APP, "bytes to spare and the batch needs 67108864"),
    ("no-inodes", _APP, "0 inodes left and the batch needs 1"),
    ("read-only", _APP, "mounted read-only"),
    ("immutable", _TARGET, "is immutable (chattr)"),
    ("immutable-mode", _TARGET, "is immutable (chattr)"),
    ("immutable-removed", _TARGET, "is immutable (chattr)"),
    ("immutable-linked", "/etc/app/hard.conf", f"its target {_TARGET} is immutable"),
    ("append-only", _TARGET, "is append-only (chattr)"),
    ("immutable-directory", _APP, "is immutable (chattr)"),
    ("immutable-directory-mode", _APP, "is immutable (chattr)"),
    ("bind", _TARGET, "is a mount point and cannot be replaced"),
    ("bind-removed", _TARGET, "is a mount point and cannot be replaced"),
    ("bind-through-link", "/etc/linked/target.conf", "is a mount point and cannot be replaced"),
    ("bind-read-only", _TARGET, "mounted read-only"),
    ("bind-directory", "/etc/app/sub", "is a mount point and cannot be replaced"),
    ("other-file-system", "/state/hard.conf", f"its target {_TARGET} lies on another file system"),
    ("proc", "/etc/sys/vm", "lies on a kernel file system (proc)"),
]


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small, empty ext4 file system with few inodes and nothing held back for root."""
    require("root", "mkfs.ext4", "mount", "unshare", "chattr")
    path = tmp_path_factory.mktemp("ext4") / "image"
    with path.open("wb") as file:
        file.truncate(16 << 20)
    subprocess.run(["mkfs.ext4", "-q", "-F", "-m", "0", "-N", "64", str(path)], check=True, env=_environment())
    return path


def _environment() -> dict[str, str]:
    return {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "PYTHONDONTWRITEBYTECODE": "1"}


def _attempt(module: str, case: str, directory: Path) -> Any:
    """What the module says of the case; its mounts are gone when this returns, whatever happened."""
    private = ["unshare", "--mount", "--propagation", "private"]
    ended = subprocess.run(
        [*private, sys.executable, "-m", module, case, str(directory)],
        cwd=_CHECKOUT,
        env=_environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_DEADLINE,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


@pytest.mark.parametrize(("case", "path", "cause"), REFUSALS, ids=[case for case, _, _ in REFUSALS])
def test_is_rejected_before_anything_is_touched(case: str, path: str, cause: str, image: Path, tmp_path: Path) -> None:
    subprocess.run(["cp", "--sparse=always", str(image), str(tmp_path / "image")], check=True)
    answer = _attempt("tests.crash.mounted", case, tmp_path)
    assert answer["error"] == "Rejected", answer
    assert any(where == path and cause in message for where, message in answer["problems"]), answer
    assert answer["unchanged"]
    assert os.listdir(tmp_path / "root" / "etc") == [], "a mount was left behind"


@pytest.mark.parametrize(("action", "result"), [("apply", "applied"), ("undo", "undone")])
def test_a_layered_file_system_that_changes_inode_numbers_is_no_obstacle(
    action: str, result: str, tmp_path: Path
) -> None:
    require("root", "overlay", "mount", "unshare")
    assert _attempt("tests.crash.layered", action, tmp_path) == {"result": result, "as expected": True}
