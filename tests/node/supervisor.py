"""The hardware of one test machine: holds its disk in a mount namespace of its own, and powers it up.

Invariant: nothing is mounted where anybody else sees it; when this process dies, by whatever means, the
kernel kills the machine and frees its disk. It stops by itself only when the machine powers off. Usage:
python -m tests.node.supervisor DIRECTORY CGROUP HOSTNAME BIND…, started in new mount and network namespaces.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

from tests.node.boot import NODEV, NOSUID, mount

# The top-level directories that make up the operating system; what else stands in the host's root is hidden.
_SYSTEM = frozenset({"bin", "etc", "lib", "lib32", "lib64", "libx32", "sbin", "usr", "var"})
# What was enabled or collected on the host is hidden as well: the machine starts as if freshly installed.
_EMPTY = (
    "etc/systemd/system",
    "etc/systemd/system-preset",
    "etc/init.d",
    *(f"etc/rc{level}.d" for level in "0123456S"),
    "var/cache",
    "var/log",
    "var/spool",
    "var/tmp",
)
_NAMESPACES = ("--pid", "--mount", "--uts", "--ipc")  # boot.py adds a cgroup namespace
_UNSHARE = ("unshare", *_NAMESPACES, "--fork", "--kill-child", "--propagation", "private")
# A PID namespace's init dies by SIGHUP when it called reboot(2) to restart: pid_namespaces(7). A test cuts
# the power by killing unshare, which takes everything with it.
_RESTARTS = frozenset({signal.SIGHUP, signal.SIGKILL})


def hide(upper: Path, below: str) -> None:
    """Show an empty directory instead of the host's (overlayfs: an opaque directory of the upper layer)."""
    os.makedirs(upper / below, exist_ok=True)
    os.setxattr(upper / below, "trusted.overlay.opaque", b"y")


def build(directory: Path, hostname: str) -> Path:
    """Build the disk, the host's `/` below a fresh layer in memory, and return its root."""
    mount("tmpfs", directory, "tmpfs", NOSUID | NODEV, "mode=755,size=1g")
    upper, work, root = (directory / name for name in ("upper", "work", "root"))
    for path in (upper, work, root):
        path.mkdir()
    upper.chmod(0o755)
    hidden = {entry.name for entry in os.scandir("/") if entry.is_dir(follow_symlinks=False)} - _SYSTEM
    for below in (*sorted(hidden), *(name for name in _EMPTY if os.path.isdir(f"/{name}"))):
        hide(upper, below)
    mount("overlay", root, "overlay", 0, f"lowerdir=/,upperdir={upper},workdir={work}")
    (root / "etc/machine-id").write_text(uuid.uuid4().hex + "\n")
    (root / "etc/hostname").write_text(hostname + "\n")
    (root / "etc/fstab").write_text("")
    default = root / "etc/systemd/system/default.target"
    default.symlink_to("/usr/lib/systemd/system/multi-user.target")
    return root


def tidy(cgroup: Path) -> None:
    """Wait for the last processes of the last boot, then remove the cgroups that it has left."""
    while "populated 1" in (cgroup / "cgroup.events").read_text():
        time.sleep(0.005)
    for directory, _, _ in os.walk(cgroup, topdown=False):
        if directory != str(cgroup):
            os.rmdir(directory)


def power_up(root: Path, cgroup: Path, hostname: str, binds: list[str]) -> signal.Signals | None:
    """One boot, from power-up to the end of PID 1: the signal that it died by, None if it exited."""
    boot = [
        sys.executable,
        str(Path(__file__).with_name("boot.py")),
        str(root),
        str(cgroup),
        str(uuid.uuid4()),
    ]
    status = subprocess.run(
        ["setpriv", "--pdeathsig", "KILL", *_UNSHARE, *boot, hostname, *binds], check=False
    ).returncode
    number = -status if status < 0 else status - 128  # unshare hands on its child's end in either way
    return signal.Signals(number) if number > 0 else None


def main(directory: Path, cgroup: Path, hostname: str, binds: list[str]) -> None:
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    run(build(directory, hostname), cgroup, hostname, binds)


def run(root: Path, cgroup: Path, hostname: str, binds: list[str]) -> None:
    """Boot from the disk again and again, until the machine powers off."""
    cgroup.mkdir()
    while power_up(root, cgroup, hostname, binds) in _RESTARTS:
        tidy(cgroup)


if __name__ == "__main__":
    _directory, _cgroup, _hostname, *_binds = sys.argv[1:]
    main(Path(_directory), Path(_cgroup), _hostname, _binds)
