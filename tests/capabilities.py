"""What a test needs of the machine: present, or the test is skipped with the reason and the way to get it.

In CI (environment variable CI=true) a missing capability is a failure: nothing is ever skipped there.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import os
import shutil
from collections.abc import Callable

import pytest

from tests.controlplane import binaries
from tests.helm import binary as helm
from tests.image import base as image_base
from tests.ovn import packages


def _fanotify() -> bool:
    """The kernel names directories, entries and processes (FAN_REPORT_DFID_NAME, _PIDFD), and we may ask it to."""
    fd: int = ctypes.CDLL(None).fanotify_init(0xCA0, os.O_RDONLY)
    if fd >= 0:
        os.close(fd)
    return fd >= 0


def _overlay() -> bool:
    with open("/proc/filesystems") as table:
        return any(line.split()[-1] == "overlay" for line in table)


def _controller_manager() -> bool:
    here = binaries.found()
    return here is not None and here.has("kube-controller-manager")


def _on_path(command: str) -> Callable[[], bool]:
    search = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    return lambda: shutil.which(command, path=search) is not None


_CAPABILITIES: dict[str, tuple[Callable[[], bool], str]] = {
    "root": (lambda: os.geteuid() == 0, "run as root: sudo make test"),
    "fanotify": (_fanotify, "run as root with CAP_SYS_ADMIN on Linux 5.15 or later"),
    "overlay": (_overlay, "load the overlay module: modprobe overlay"),
    "control-plane": (
        binaries.obtainable,
        "run scripts/build-control-plane, which tells what is missing, or name envtest's folder in KUBEBUILDER_ASSETS",
    ),
    "kube-controller-manager": (_controller_manager, "unset KUBEBUILDER_ASSETS and run scripts/build-control-plane"),
    "helm": (helm.obtainable, "python -m tests.helm.binary builds it, or tells what is missing"),
    "prometheus": (_on_path("prometheus"), "install the package prometheus, which brings promtool too"),
    "image-base": (image_base.obtainable, "run as root where debootstrap is, and apt knows a mirror of Debian"),
    "ovn": (packages.obtainable, "python -m tests.ovn.packages tells what is missing"),
    "libnftables": (lambda: bool(ctypes.util.find_library("nftables")), "install the package libnftables1"),
    "systemd": (lambda: os.path.exists("/usr/lib/systemd/systemd"), "install the package systemd"),
}


def require(*capabilities: str) -> None:
    """Skip the calling test unless the machine has all of `capabilities`; fail it instead in CI.

    A name is one of root, fanotify, overlay, ovn, systemd, helm, image-base, control-plane, kube-controller-manager,
    or a command that must be on the PATH.
    """
    for name in capabilities:
        present, remedy = _CAPABILITIES.get(
            name, (_on_path(name), f"install the command {name}: see scripts/install-test-tools")
        )
        if present():
            continue
        reason = f"needs {name}: {remedy}"
        if os.environ.get("CI") == "true":
            pytest.fail(f"{reason} (nothing may be skipped in CI)")
        pytest.skip(reason)
