"""What we write for BIRD, and read from it, against the real one."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nodeagent.egress.node.bird import configuration, sessions
from tests.capabilities import require
from tests.unit.egress.parts import TIMING, part

DEADLINE = 30.0
OURS = ("10.20.0.11/24", "fd00:20::b/64")
THEIRS = ("10.20.0.1/24", "fd00:20::1/64")
ROUTER = """\
router id 10.20.0.1;
protocol device {}
protocol bfd {
  interface "eth0" { min rx interval 100 ms; min tx interval 100 ms; multiplier 3; };
  neighbor 10.20.0.11 dev "eth0" local 10.20.0.1;
  neighbor fd00:20::b dev "eth0" local fd00:20::1;
}
"""


def test_both_sessions_come_up_by_the_times_that_were_asked_for() -> None:
    require("root", "bird")
    with cable() as (gateway, router), tempfile.TemporaryDirectory() as scratch:
        ours, theirs = Path(scratch, "ours"), Path(scratch, "theirs")
        with _speaker(gateway, ours, configuration(part(), TIMING)), _speaker(router, theirs, ROUTER):
            until = time.monotonic() + DEADLINE
            while not (seen := sessions(_asked(ours))) or not all(each.up for each in seen):
                assert time.monotonic() < until, _asked(ours)
                time.sleep(0.05)
    assert [(each.peer, each.link, each.interval, each.detection) for each in seen] == [
        ("10.20.0.1", "eth0", 0.1, 0.3),
        ("fd00:20::1", "eth0", 0.1, 0.3),
    ]


@contextmanager
def cable() -> Iterator[tuple[str, str]]:
    names = f"bfd-g{os.getpid()}", f"bfd-r{os.getpid()}"
    try:
        for name in names:
            _ip("netns", "add", name)
        _ip("link", "add", "eth0", "netns", names[0], "type", "veth", "peer", "name", "eth0", "netns", names[1])
        for name, addresses in zip(names, (OURS, THEIRS), strict=True):
            _ip("-n", name, "link", "set", "eth0", "up")
            for address in addresses:
                _ip("-n", name, "addr", "add", address, "dev", "eth0", *(["nodad"] if ":" in address else []))
        yield names
    finally:
        for name in names:
            subprocess.run([_tool("ip"), "netns", "del", name], check=False, timeout=DEADLINE, capture_output=True)


@contextmanager
def _speaker(namespace: str, folder: Path, text: str) -> Iterator[None]:
    folder.mkdir()
    (folder / "conf").write_text(text)
    files = ["-c", str(folder / "conf"), "-s", str(folder / "socket"), "-P", str(folder / "pid")]
    process = subprocess.Popen([_tool("ip"), "netns", "exec", namespace, _tool("bird"), "-f", *files])
    try:
        until = time.monotonic() + DEADLINE
        while not (folder / "socket").exists():
            assert process.poll() is None, "BIRD ended"
            assert time.monotonic() < until, "BIRD does not start"
            time.sleep(0.02)
        yield
    finally:
        process.kill()
        process.wait(DEADLINE)


def _asked(folder: Path) -> str:
    with socket.socket(socket.AF_UNIX) as control:
        control.settimeout(DEADLINE)
        control.connect(str(folder / "socket"))
        control.sendall(b"show bfd sessions\n")
        reply = b""
        while not reply.endswith(b"0000 \n"):
            reply += (got := control.recv(4096))
            assert got, reply
    return reply.decode()


def _ip(*arguments: str) -> None:
    subprocess.run([_tool("ip"), *arguments], check=True, timeout=DEADLINE, capture_output=True)


def _tool(name: str) -> str:
    found = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    assert found, name
    return found
