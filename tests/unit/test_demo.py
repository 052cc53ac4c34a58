"""`make demo` shows what it promises, without root, a cluster or a network."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

_DEMO = Path(__file__).parents[2] / "examples" / "demo.py"


def test_the_demo_runs_to_its_summary() -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("NODEAGENT_")}
    ended = subprocess.run(
        [sys.executable, str(_DEMO)], capture_output=True, text=True, timeout=120, check=False, env=environment
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "-> Reboot" in ended.stdout
    assert "+server 203.0.113.66 iburst" in ended.stdout
    assert re.search(r"drift of /etc/chrony.conf reported .*changed by \S+", ended.stdout)
    assert "rolled back: the distribution's chrony.conf is back" in ended.stdout
