"""The machine that the figures were measured on, and whether it is quiet enough to measure."""

from __future__ import annotations

import os
import platform
import sys
import time

_QUIET = 0.5  # load average over one minute, above which others disturb


def facts(directory: str) -> dict[str, str]:
    """What the figures depend on; `directory` is where the files are written."""
    return {
        "processor": f"{_processor()}, {os.cpu_count()} cores",
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / (1 << 30):.1f} GiB",
        "kernel": platform.release(),
        "system": platform.freedesktop_os_release().get("PRETTY_NAME", platform.system()),
        "Python": platform.python_version(),
        "file system": file_system(directory),
        "load average before": f"{os.getloadavg()[0]:.2f}",
    }


def _processor() -> str:
    with open("/proc/cpuinfo") as table:
        names = (line.partition(":")[2].strip() for line in table if line.startswith("model name"))
        return next(names, platform.machine())


def file_system(directory: str) -> str:
    """Type and mount options of the file system that `directory` lies on (proc_pid_mounts(5))."""
    with open("/proc/self/mounts") as table:
        mounts = [line.split()[1:4] for line in table]
    inside = [mount for mount in mounts if _holds(mount[0], os.path.realpath(directory))]
    _, kind, options = max(inside, key=lambda mount: len(mount[0]))
    return f"{kind} ({options})"


def _holds(mount_point: str, path: str) -> bool:
    return os.path.commonpath([mount_point, path]) == mount_point


def wait_until_quiet(patience: float) -> None:
    """Wait until the load has gone down, for `patience` seconds at most, and say so if it has not."""
    until = time.monotonic() + patience
    while (load := os.getloadavg()[0]) > _QUIET:
        if time.monotonic() > until:
            print(
                f"bench: the machine is not quiet (load {load:.2f}): look at CPU rather than wall time", file=sys.stderr
            )
            return
        time.sleep(2)
