"""The hardware of a kubeadm node: a test machine's (tests/node/supervisor.py) with a larger disk and a network.

Invariant: as there. Container layers and etcd lie on the disk itself, because an overlay does not take another as its
upper layer; the address of the Kubernetes service is the node's own, so that no kube-proxy is needed. Usage:
python -m tests.kubeadm.supervisor DIRECTORY CGROUP HOSTNAME BIND…, started in new mount and network namespaces.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.node import supervisor
from tests.node.boot import REMOUNT, bind, mount

NODE, SERVICE = "10.77.0.11", "10.96.0.1"  # addresses of the node, and of the service `kubernetes`
_STORES = ("containerd", "kubelet", "etcd")  # below /var/lib


def connect() -> None:
    """One interface with both addresses, in a network that has nobody else."""
    for command in (
        "link set lo up",
        "link add node0 type bridge",
        f"address add {NODE}/24 dev node0",
        f"address add {SERVICE}/32 dev node0",
        "link set node0 up",
        "route add default dev node0",
    ):
        subprocess.run(["ip", *command.split()], check=True)


def build(directory: Path, hostname: str) -> Path:
    """The disk of a test machine, with room for images; returns its root."""
    root = supervisor.build(directory, hostname)
    mount("none", directory, flags=REMOUNT, options="size=5g")
    for store in _STORES:
        (directory / store).mkdir()
        (root / "var/lib" / store).mkdir(exist_ok=True)
        bind(directory / store, root / "var/lib" / store)
    return root


def main(directory: Path, cgroup: Path, hostname: str, binds: list[str]) -> None:
    connect()
    supervisor.run(build(directory, hostname), cgroup, hostname, binds)


if __name__ == "__main__":
    _directory, _cgroup, _hostname, *_binds = sys.argv[1:]
    main(Path(_directory), Path(_cgroup), _hostname, _binds)
