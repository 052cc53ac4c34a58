"""What the packages' units may do, by systemd's own measure: no more than docs/packages.md records."""

from __future__ import annotations

import subprocess

import pytest

from tests.capabilities import require
from tests.node.machine import CHECKOUT

_EXPOSURE = {"nodeagent.service": 6.1, "nodeagent-recover.service": 7.3, "nodeagent-coordinator@.service": 1.3}


@pytest.mark.parametrize("unit", _EXPOSURE)
def test_no_unit_is_more_exposed_than_recorded(unit: str) -> None:
    require("systemd-analyze")
    command = ["systemd-analyze", "security", "--offline=true", "--no-pager", f"--threshold={_EXPOSURE[unit] * 10:.0f}"]
    path = CHECKOUT / "packaging/systemd" / unit
    done = subprocess.run([*command, path], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout[-400:] + done.stderr
    assert f"| `{unit}` | {_EXPOSURE[unit]} |" in (CHECKOUT / "docs/packages.md").read_text()
