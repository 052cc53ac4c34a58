"""`nodeagent uninstall` against a real API server: what real agents and coordinators have left goes, the rest stays."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from nodeagent.cli.main import main
from nodeagent.observed import nodes
from tests.cluster.client import ApiError
from tests.cluster.controlplane import ControlPlane
from tests.cluster.coordinators import NAMESPACE, CoordinatorProcess
from tests.cluster.simulated import GROUP, SimulatedNode, machine_config

_LEASES = f"/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases"
_CONFIGMAPS = "/api/v1/namespaces/cpaas-system/configmaps"
_PODS = f"/api/v1/namespaces/{NAMESPACE}/pods"

Uninstall = Callable[..., tuple[int, dict[str, Any]]]


@pytest.fixture
def plane(own_control_plane: ControlPlane) -> ControlPlane:
    own_control_plane.apply_crds()
    for name in (NAMESPACE, "cpaas-system"):
        own_control_plane.admin.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    return own_control_plane


@pytest.fixture
def uninstall(plane: ControlPlane, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Uninstall:
    """The command with an administrator's kubeconfig: its exit code and document."""
    kubeconfig = plane.kubeconfig("administrator", ["system:masters"])
    (empty := tmp_path / "empty.toml").touch()

    def run(*words: str) -> tuple[int, dict[str, Any]]:
        flags = ["--config", str(empty), "--cluster-kubeconfig", str(kubeconfig), "-o", "json"]
        code = main(["uninstall", *words, *flags])
        said = capsys.readouterr()
        return code, json.loads(said.out) if said.out else {"error": said.err}

    return run


def _exists(plane: ControlPlane, path: str) -> bool:
    try:
        plane.admin.get(path)
    except ApiError as error:
        if error.reason != "NotFound":
            raise
        return False
    return True


def _ours(node: dict[str, Any]) -> set[str]:
    """What on a Node is ours."""
    said = set(node["metadata"].get("annotations", {}))
    told = {each["type"] for each in node["status"].get("conditions", [])}
    return {name for name in said if name.startswith((nodes.PREFIX, "nodeagent.io/"))} | (told & set(nodes.CONDITIONS))


def test_a_node_is_cleared_of_what_its_agent_said(plane: ControlPlane, tmp_path: Path, uninstall: Uninstall) -> None:
    with SimulatedNode(plane, tmp_path, "leaving") as node, SimulatedNode(plane, tmp_path, "staying") as other:
        for each in (node, other):
            each.until(lambda each=each: each.said(nodes.STATE) == "Done", "it is done")  # type: ignore[misc]
        plane.admin.patch(node.path, {"metadata": {"annotations": {"theirs": "stays"}}}, "merge")
        words = ["--root", str(node.root), "--run-dir", str(node.base / "run"), "--node-name", node.name]
        running, said = uninstall(*words, "--cluster-enabled", "--yes")
        assert (running, "the daemon runs" in said["error"]) == (1, True)
        node.stop()
        code, planned = uninstall(*words, "--cluster-enabled", "--dry-run")
        (change,) = [each for each in planned["changes"] if each["change"] == "ClearNode"]
        assert (code, change["subject"]) == (3, node.name)
        assert _ours(plane.admin.get(node.path))
        code, done = uninstall(*words, "--cluster-enabled", "--yes", "--plan", planned["fingerprint"])
        assert (code, done["failures"]) == (0, [])
        left = plane.admin.get(node.path)
        assert _ours(left) == set()
        assert left["metadata"]["annotations"]["theirs"] == "stays"
        assert "Ready" in {each["type"] for each in left["status"]["conditions"]}
        assert _ours(plane.admin.get(other.path))
        assert uninstall(*words, "--cluster-enabled")[0] == 0


def test_a_cluster_is_cleared_of_all_that_is_ours(plane: ControlPlane, tmp_path: Path, uninstall: Uninstall) -> None:
    with SimulatedNode(plane, tmp_path, "one") as one, SimulatedNode(plane, tmp_path, "two") as two:
        with CoordinatorProcess(plane, tmp_path):
            plane.admin.create(f"{GROUP}/machineconfigs", machine_config("50-x", {"/etc/x": "one"}))
            for each in (one, two):
                each.until(lambda each=each: (each.root / "etc/x").exists(), "it has the config")  # type: ignore[misc]
                each.until(lambda each=each: each.said(nodes.STATE) == "Done", "it is done")  # type: ignore[misc]
                each.until(lambda each=each: _exists(plane, _report(each)), "its report is there")  # type: ignore[misc]
            code, said = uninstall("--cluster", "--yes")
            assert code == 1
            assert "(Lease nodeagent-pools)" in said["error"]
        one.stop()
        two.stop()
        _left_behind(plane, two.name)
        code, planned = uninstall("--cluster")
        assert code == 3
        assert {each["change"] for each in planned["changes"]} == {"ClearNode", "DropFinalizers", "DeleteObject"}
        code, done = uninstall("--cluster", "--yes", "--plan", planned["fingerprint"])
        assert (code, done["failures"]) == (0, [])
        for node in plane.admin.list("/api/v1/nodes"):
            assert _ours(node) == set()
        assert not plane.admin.get(two.path)["spec"].get("unschedulable")
        assert [each["metadata"]["name"] for each in plane.admin.list(_LEASES)] == ["theirs"]
        assert not _exists(plane, _report(one))
        assert _exists(plane, f"{_CONFIGMAPS}/node-local-certs-by-hand")
        kept = plane.admin.get(f"{GROUP}/machineconfigs/50-x")
        assert kept["metadata"]["finalizers"] == ["example.org/theirs"]
        code, again = uninstall("--cluster")
        assert (code, again["changes"]) == (0, [])


def _report(node: SimulatedNode) -> str:
    return f"{_CONFIGMAPS}/node-local-certs-{node.name}"


def _left_behind(plane: ControlPlane, node: str) -> None:
    """A drain that was under way, finalizers, and what others have under similar names."""
    record = json.dumps({"request": "drain-render-x", "since": 1.0, "ours": True, "given_up": 0.0})
    cordoned = {"metadata": {"annotations": {nodes.CORDONED_FOR: record}}, "spec": {"unschedulable": True}}
    plane.admin.patch(f"/api/v1/nodes/{node}", cordoned, "merge")
    finalizers = {"metadata": {"finalizers": ["nodeagent.io/rows", "example.org/theirs"]}}
    plane.admin.patch(f"{GROUP}/machineconfigs/50-x", finalizers, "merge")
    theirs = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "node-local-certs-by-hand"}}
    plane.admin.create(_CONFIGMAPS, theirs)
    stale = (datetime.now(UTC) - timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    for name in ("nodeagent-certs", "theirs"):
        spec = {"holderIdentity": "gone", "leaseDurationSeconds": 15, "renewTime": stale}
        lease = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": name}, "spec": spec}
        plane.admin.create(_LEASES, lease)


def test_pods_of_ours_that_run_are_named(plane: ControlPlane, uninstall: Uninstall) -> None:
    name = f"agent-{secrets.token_hex(3)}"
    container = {"name": "agent", "image": "nodeagent"}
    metadata = {"name": name, "labels": {"app.kubernetes.io/name": "nodeagent"}}
    plane.admin.create(
        f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts",
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}},
    )
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"containers": [container]}}
    plane.admin.create(_PODS, pod)
    code, said = uninstall("--cluster")
    assert code == 1
    assert f"pod {name} would write everything again" in said["error"]
    plane.admin.patch(f"{_PODS}/{name}/status", {"status": {"phase": "Succeeded"}}, "merge")
    assert uninstall("--cluster")[0] == 0
