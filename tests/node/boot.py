"""Becomes the init of a test machine: run by `supervisor.py` as PID 1 of new namespaces, it ends as systemd.

Invariant: what it mounts shows in its own mount namespace only, and nothing of the shared kernel stays
writable to the machine but its own network settings. Usage: python -m tests.node.boot ROOT CGROUP BOOT_ID
HOSTNAME BIND…; tells its process id, as the test sees it, in one JSON line on stdout.
"""

from __future__ import annotations

import ctypes
import json
import os
import socket
import stat
import subprocess
import sys
from pathlib import Path

_LIBC = ctypes.CDLL(None, use_errno=True)
_NEW_CGROUP = 0x02000000  # CLONE_NEWCGROUP

RDONLY, NOSUID, NODEV, NOEXEC, REMOUNT, BIND, RECURSIVE = 1, 2, 4, 8, 32, 4096, 16384  # MS_* of mount(2)
DETACH = 2  # MNT_DETACH of umount2(2)
_SAFE = NOSUID | NODEV | NOEXEC

_MOUNTS = (  # file system, below the root, flags, options
    ("proc", "proc", _SAFE, ""),
    ("sysfs", "sys", _SAFE | RDONLY, ""),
    ("cgroup2", "sys/fs/cgroup", _SAFE, ""),
    ("tmpfs", "dev", NOSUID, "mode=755,size=16m"),
    ("devpts", "dev/pts", NOSUID | NOEXEC, "newinstance,ptmxmode=0666,mode=620,gid=5"),
    ("tmpfs", "dev/shm", NOSUID | NODEV, "mode=1777"),
    ("mqueue", "dev/mqueue", _SAFE, ""),
    ("tmpfs", "run", NOSUID | NODEV, "mode=755,size=64m"),
    ("tmpfs", "tmp", NOSUID | NODEV, "mode=1777,size=256m"),
)
_DEVICES = {
    "null": (1, 3),
    "zero": (1, 5),
    "full": (1, 7),
    "random": (1, 8),
    "urandom": (1, 9),
    "tty": (5, 0),
}
_DEVICE_LINKS = {
    "ptmx": "pts/ptmx",
    "fd": "/proc/self/fd",
    "stdin": "fd/0",
    "stdout": "fd/1",
    "stderr": "fd/2",
}


def mount(source: str, target: str | Path, kind: str = "", flags: int = 0, options: str = "") -> None:
    """mount(2); OSError names the target."""
    words = (source.encode(), os.fsencode(target), kind.encode())
    if _LIBC.mount(*words, ctypes.c_ulong(flags), options.encode()):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(target))


def bind(source: str | Path, target: str | Path, flags: int = 0) -> None:
    """Show `source` at `target` too, with `flags`."""
    mount(str(source), target, flags=BIND | RECURSIVE)
    if flags:
        mount(str(source), target, flags=BIND | REMOUNT | flags)


def enter_cgroup(cgroup: Path) -> None:
    """Make `cgroup` (on the version 2 hierarchy) the root of this process's cgroup namespace."""
    (cgroup / "cgroup.procs").write_text("0")
    if _LIBC.unshare(_NEW_CGROUP):
        raise OSError(ctypes.get_errno(), "cannot create a cgroup namespace")


def populate(root: Path) -> None:
    """Mount what systemd expects of a container manager (https://systemd.io/CONTAINER_INTERFACE)."""
    for kind, below, flags, options in _MOUNTS:
        (root / below).mkdir(exist_ok=True)
        mount(kind, root / below, kind, flags, options)
    for name, (major, minor) in _DEVICES.items():
        os.mknod(root / "dev" / name, 0o666 | stat.S_IFCHR, os.makedev(major, minor))
        (root / "dev" / name).chmod(0o666)
    for name, target in _DEVICE_LINKS.items():
        (root / "dev" / name).symlink_to(target)


def guard_kernel(root: Path, boot_id: str) -> None:
    """Give the machine its own boot id, and make /proc/sys read-only except for its own network namespace."""
    own_id = root / "run/.boot_id"
    own_id.write_text(boot_id + "\n")
    sysctl = root / "proc/sys"
    bind(sysctl, sysctl)
    bind(own_id, sysctl / "kernel/random/boot_id", _SAFE | RDONLY)
    mount("none", sysctl, flags=BIND | REMOUNT | RDONLY | _SAFE)
    sysrq = root / "proc/sysrq-trigger"
    if sysrq.exists():  # not every kernel is built with it
        bind(sysrq, sysrq, _SAFE | RDONLY)
    second = root / "run/.proc"
    second.mkdir()
    mount("proc", second, "proc", _SAFE)
    bind(second / "sys/net", sysctl / "net")
    _LIBC.umount2(os.fsencode(second), DETACH)
    second.rmdir()


def enter(root: Path) -> None:
    """Make `root` the root directory and forget the old one."""
    old = root / ".old"
    old.mkdir(exist_ok=True)
    subprocess.run(["pivot_root", root, old], check=True)
    os.chdir("/")
    _LIBC.umount2(b"/.old", DETACH)
    os.rmdir("/.old")


def main(root: Path, cgroup: Path, boot_id: str, hostname: str, binds: list[str]) -> None:
    boot = {"pid": int(os.readlink("/proc/self")), "boot_id": boot_id}  # this is still the test's /proc
    os.write(1, json.dumps(boot).encode() + b"\n")
    os.dup2(2, 1)
    enter_cgroup(cgroup)
    socket.sethostname(hostname)
    populate(root)
    guard_kernel(root, boot_id)
    for source in binds:
        (root / source.lstrip("/")).mkdir(parents=True, exist_ok=True)
        bind(source, root / source.lstrip("/"), RDONLY | NOSUID | NODEV)
    enter(root)
    drop = "--bounding-set=-sys_module,-sys_time,-sys_rawio,-syslog,-wake_alarm"
    systemd = ["/lib/systemd/systemd", "--log-target=journal-or-kmsg", "--show-status=0"]
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "container": "nodeagent-test"}
    os.execvpe("setpriv", ["setpriv", drop, *systemd], environment)


if __name__ == "__main__":
    _root, _cgroup, _boot_id, _hostname, *_binds = sys.argv[1:]
    main(Path(_root), Path(_cgroup), _boot_id, _hostname, _binds)
