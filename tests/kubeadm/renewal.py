"""Renewals by hand on a node, and what came of them."""

from __future__ import annotations

import json
from typing import Any

from tests.kubeadm.node import KubeadmNode


def renew(node: KubeadmNode, *words: str, check: bool = True, **environment: str) -> dict[str, Any]:
    """What `nodeagent certs renew` says, with its exit code and what it told on stderr."""
    command = ("-m", "nodeagent", "certs", "renew", "-o", "json", *words)
    done = node.python(*command, check=check, deadline=600.0, **environment)
    document: dict[str, Any] = json.loads(done.stdout or "{}") | {"code": done.returncode, "stderr": done.stderr}
    return document


def loopback(node: KubeadmNode) -> str:
    """The name of the certificate that the kube-apiserver made for itself when it started."""
    probes = json.loads(node.python("-m", "nodeagent", "certs", "probe", "-o", "json", check=False).stdout)["probes"]
    return next(
        str(each["subject"])
        for each in probes
        if each["component"] == "kube-apiserver" and each["server_name"] and each["subject"]
    )
