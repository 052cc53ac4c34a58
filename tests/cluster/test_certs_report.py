"""What a cluster learns of a node's certificates: a condition, Events, a ConfigMap, a part of the annotation."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

from nodeagent.observed import nodes
from tests.cluster.client import ApiError
from tests.cluster.controlplane import ControlPlane
from tests.cluster.simulated import SimulatedNode
from tests.unit.certs.authority import issue

_PKI = "etc/kubernetes/pki"
_CONFIGMAPS = "/api/v1/namespaces/cpaas-system/configmaps"


def _write(root: Path, days: int) -> None:
    """A client certificate with `days` left of its year."""
    ends = datetime.now(UTC) + timedelta(days=days)
    authority = issue("kubernetes", begins=ends - timedelta(days=400), ends=ends + timedelta(days=3000), ca=True)
    begins = ends - timedelta(days=365)
    pair = issue("kube-apiserver-kubelet-client", authority, usages=["clientAuth"], begins=begins, ends=ends)
    directory = root / _PKI
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "ca.crt").write_bytes(authority.pem)
    (directory / "apiserver-kubelet-client.crt").write_bytes(pair.pem)
    (directory / "apiserver-kubelet-client.key").write_bytes(pair.key_pem)
    (directory / "apiserver-kubelet-client.key").chmod(0o600)


def test_an_expired_certificate_degrades_the_node_and_a_new_one_clears_it(
    control_plane: ControlPlane, tmp_path: Path
) -> None:
    control_plane.apply_crds()
    control_plane.admin.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "cpaas-system"}})
    with SimulatedNode(control_plane, tmp_path, "certified") as node:
        node.stop()
        _write(node.root, -2)
        node.start(NODEAGENT_CERTS_INTERVAL="1")
        node.until(lambda: node.condition(nodes.CERTIFICATES_DEGRADED).get("status") == "True", "the condition is set")
        condition = node.condition(nodes.CERTIFICATES_DEGRADED)
        assert condition["reason"] == "CertificateExpired"
        assert "apiserver-kubelet-client.crt" in condition["message"]
        node.until(lambda: any(each["reason"] == "CertificateExpired" for each in node.events()), "an Event is there")
        report = json.loads(node.said(nodes.REPORT))["jobs"]
        assert report["certs"]["state"] == "Degraded"
        assert report.keys() >= {"machineconfig", "certs"}
        node.until(lambda: bool(_inventory(control_plane, node.name)), "the ConfigMap is there")
        (leaf,) = [
            each
            for each in _inventory(control_plane, node.name)["certificates"]
            if each["name"] == "apiserver-kubelet-client"
        ]
        assert leaf["path"] == f"/{_PKI}/apiserver-kubelet-client.crt"
        _write(node.root, 300)
        node.until(lambda: node.condition(nodes.CERTIFICATES_DEGRADED).get("status") == "False", "all is well again")


def _inventory(plane: ControlPlane, node: str) -> dict[str, list[dict[str, str]]]:
    try:
        found = plane.admin.get(f"{_CONFIGMAPS}/node-local-certs-{node}")
    except ApiError:
        return {}
    document: dict[str, list[dict[str, str]]] = json.loads(found["data"]["certificates.json"])
    return document
