"""A coordinator as a process: its Lease for each role, its health and its metrics for the pod's probes."""

from __future__ import annotations

import json
import urllib.request
from pathlib import Path

from tests.cluster.controlplane import ControlPlane, eventually
from tests.cluster.coordinators import NAMESPACE, CoordinatorProcess
from tests.cluster.process import free_port

_LEASES = f"/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases"


def test_it_serves_health_and_metrics_at_one_address(own_control_plane: ControlPlane, tmp_path: Path) -> None:
    own_control_plane.apply_crds()
    own_control_plane.admin.create("/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})
    address = f"127.0.0.1:{free_port()}"
    with CoordinatorProcess(own_control_plane, tmp_path, flags={"metrics-address": address}):
        eventually(lambda: _answers(f"http://{address}/readyz"), "it is ready", 30.0)
        eventually(lambda: _leads(own_control_plane), "it leads", 30.0)
        health = json.loads(_page(f"http://{address}/livez"))
        assert health["loops"].keys() == {"pools"}
        metrics = _page(f"http://{address}/metrics")
        assert 'nodeagent_loop_failures_total{controller="pools"} 0.0' in metrics
        assert 'nodeagent_watch_age_seconds{watch="machineconfigpools"}' in metrics
        eventually(
            lambda: 'nodeagent_pool_nodes{pool="worker",state="all"} 0.0' in _page(f"http://{address}/metrics"),
            "the pool's status is there",
            90.0,
        )


def _leads(plane: ControlPlane) -> bool:
    return any(lease["spec"].get("holderIdentity") for lease in plane.admin.list(_LEASES))


def _answers(url: str) -> bool:
    try:
        return bool(_page(url))
    except OSError:
        return False


def _page(url: str) -> str:
    with urllib.request.urlopen(url, timeout=5) as answer:
        return str(answer.read(), "utf-8")
