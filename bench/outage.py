"""Seconds without an API server while all certificates of a control plane are renewed, beside kubeadm on the same node.

kubeadm renews files; its guide then has the administrator restart the static pods, by taking their manifests away and
putting them back after the kubelet has looked: python -m bench.outage
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.controlplane import binaries
from tests.kubeadm import images
from tests.kubeadm.clients import load
from tests.kubeadm.node import KubeadmNode

_MANIFESTS, _ASIDE = "/etc/kubernetes/manifests", "/root/manifests"
_NOTICED = 20.0  # seconds that the guide gives the kubelet


def main() -> None:
    programs = binaries.ensured()
    with tempfile.TemporaryDirectory() as scratch:
        folders = [Path(scratch, name) for name in ("images", "node")]
        for folder in folders:
            folder.mkdir()
        archive = images.build(folders[0], programs)
        with KubeadmNode(folders[1], programs, archive) as node:
            _measure(node, "nodeagent certs renew --all", _ours)
            _measure(node, "kubeadm certs renew all, and the restarts of its guide", _guide)


def _measure(node: KubeadmNode, what: str, renew: Callable[[KubeadmNode], None]) -> None:
    node.until(lambda: node.get("node", node.name) != {}, "the API server answers")
    with load(node) as told:
        time.sleep(2.0)
        renew(node)
        node.until(lambda: node.get("node", node.name) != {}, "the API server answers", 180.0)
        time.sleep(2.0)
    print(f"{what:<60} {told['asked']} asked, {told['failures']} failed, {told['longest']:.1f} s without an answer")


def _ours(node: KubeadmNode) -> None:
    node.python("-m", "nodeagent", "certs", "renew", "--all", deadline=600.0)


def _guide(node: KubeadmNode) -> None:
    node.run("kubeadm", "certs", "renew", "all", deadline=120.0)
    node.run("mv", _MANIFESTS, _ASIDE)
    time.sleep(_NOTICED)
    node.run("mv", _ASIDE, _MANIFESTS)


if __name__ == "__main__":
    main()
