"""The chart in the hands of Helm: installed, upgraded, rolled back and uninstalled on a real API server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.capabilities import require
from tests.cluster.client import ApiError
from tests.cluster.controlplane import ControlPlane, eventually
from tests.cluster.manifests import deploy
from tests.cluster.simulated import GROUP, machine_config
from tests.helm.chart import Refused, Release, packaged

_NAMESPACE = "nodeagent"
_AGENT = f"/apis/apps/v1/namespaces/{_NAMESPACE}/daemonsets/agent"
_APPROVER = f"/apis/apps/v1/namespaces/{_NAMESPACE}/deployments/certificates"
_DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
_LABELLED = {"pod-security.kubernetes.io/enforce": "privileged"}


@pytest.fixture
def plane(own_control_plane: ControlPlane) -> ControlPlane:
    require("helm")
    own_control_plane.admin.create("/api/v1/namespaces", {"metadata": {"name": _NAMESPACE, "labels": _LABELLED}})
    return own_control_plane


def _env(plane: ControlPlane) -> dict[str, str]:
    (container,) = plane.admin.get(_AGENT)["spec"]["template"]["spec"]["containers"]
    return {each["name"]: each.get("value", "") for each in container["env"]}


def _is_there(plane: ControlPlane, path: str) -> bool:
    try:
        plane.admin.get(path)
    except ApiError as error:
        if error.status not in {404, 429}:  # 429: a kind that is new, and has still to be stored anywhere
            raise
        return False
    return True


def _ours(plane: ControlPlane) -> list[Any]:
    kinds = ("admissionregistration.k8s.io/v1/validatingadmissionpolicies", "rbac.authorization.k8s.io/v1/clusterroles")
    found = [each for kind in kinds for each in plane.admin.list(f"/apis/{kind}")]
    return [each for each in found if each["metadata"]["name"].startswith("nodeagent-")]


def test_a_release_lives_and_leaves_the_machine_configs(plane: ControlPlane, tmp_path: Path) -> None:
    archive = str(packaged(tmp_path))
    helm = Release(plane.kubeconfig("administrator", ["system:masters"]))
    helm("install", archive, "--set=image.repository=registry.example/nodeagent")
    eventually(lambda: _is_there(plane, f"{GROUP}/machineconfigs"), "the custom resources are served")
    plane.admin.create(f"{GROUP}/machineconfigs", machine_config("50-x", {"/etc/x": "one"}))
    assert len(_ours(plane)) > 5
    assert not _is_there(plane, _APPROVER)

    changed = ["--set=approval.enabled=true", r"--set=agent.settings.drift\.sweep_interval=30"]
    helm("upgrade", archive, "--reuse-values", *changed)
    assert _env(plane)["NODEAGENT_DRIFT_SWEEP_INTERVAL"] == "30"
    assert _is_there(plane, _APPROVER)

    helm("rollback", "1")
    assert "NODEAGENT_DRIFT_SWEEP_INTERVAL" not in _env(plane)
    eventually(lambda: not _is_there(plane, _APPROVER), "what the first release had not is gone")

    helm("uninstall")
    eventually(lambda: not _ours(plane) and not _is_there(plane, _AGENT), "everything is gone")
    assert {each["metadata"]["name"].split(".")[0] for each in plane.admin.list(_DEFINITIONS)} >= {"machineconfigs"}
    assert [each["metadata"]["name"] for each in plane.admin.list(f"{GROUP}/machineconfigs")] == ["50-x"]

    helm("install", archive)
    assert _is_there(plane, _AGENT)


def test_a_release_takes_over_what_kubectl_applied(own_control_plane: ControlPlane, tmp_path: Path) -> None:
    require("helm")
    plane = own_control_plane
    deploy(plane)
    before = plane.admin.get(_AGENT)["metadata"]
    archive, helm = str(packaged(tmp_path)), Release(plane.kubeconfig("administrator", ["system:masters"]))
    with pytest.raises(Refused, match="exists and cannot be imported"):
        helm("install", archive)
    helm("install", archive, "--take-ownership")
    after = plane.admin.get(_AGENT)["metadata"]
    assert after["labels"]["app.kubernetes.io/managed-by"] == "Helm"
    assert (after["uid"], after["generation"]) == (before["uid"], before["generation"])  # no pod is replaced
