"""Other agents on the node are found by the program that they are."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from nodeagent.host.rivals import rivals


def test_a_rival_that_runs_is_named_with_its_process() -> None:
    arguments = ["/usr/bin/machine-config-daemon", "-c", "import time; time.sleep(60)"]
    process = subprocess.Popen(arguments, executable=sys.executable, stdin=subprocess.DEVNULL)
    try:
        while not Path(f"/proc/{process.pid}/cmdline").read_bytes():  # the kernel tells of it last
            assert process.poll() is None
        assert f"machine-config-daemon (process {process.pid})" in rivals()
    finally:
        process.kill()
        process.wait()
    assert not any(f"process {process.pid})" in rival for rival in rivals())


def test_a_program_that_only_mentions_a_rival_is_none(tmp_path: Path) -> None:
    for pid, line in {"7": b"vi\0machine-config-daemon\0", "8": b"", "9": b"/x/machine-config-daemon\0start\0"}.items():
        (tmp_path / pid).mkdir()
        (tmp_path / pid / "cmdline").write_bytes(line)
    (tmp_path / "10").mkdir()
    (tmp_path / "self").mkdir()
    assert rivals(os.fspath(tmp_path)) == ("machine-config-daemon (process 9)",)
