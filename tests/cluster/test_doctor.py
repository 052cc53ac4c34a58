"""The doctor's questions to a real API server, with the identity that deploy/ gives to an agent."""

from __future__ import annotations

import secrets
from pathlib import Path

import pytest

from nodeagent.agent.doctor import diagnosis
from nodeagent.doctor.check import Check, Verdict
from nodeagent.settings import load
from tests.cluster.controlplane import ControlPlane
from tests.cluster.manifests import deploy


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("settings") / "empty.toml"
    path.touch()
    return str(path)


def _api(file: str, root: Path, kubeconfig: Path, node: str) -> Check:
    flags = {
        "root": str(root),
        "run_dir": str(root),
        "node_name": node,
        "cluster.enabled": "true",
        "cluster.kubeconfig": str(kubeconfig),
        "certs.report_namespace": "nodeagent",
    }
    (found,) = [each for each in diagnosis(load(file, {}, flags)) if each.name == "api"]
    return found


def test_deploy_allows_all_that_is_asked_for(own_control_plane: ControlPlane, tmp_path: Path, empty: str) -> None:
    plane, name = own_control_plane, "examined"
    nobody = plane.kubeconfig("nobody", ["system:authenticated"])
    missing = _api(empty, tmp_path, plane.kubeconfig("admin", ["system:masters"]), name)
    assert missing.verdict is Verdict.FAILED
    assert f"there is no Node {name}; the API group machineconfiguration.alauda.io is missing" in missing.explanation
    deploy(plane)
    plane.admin.create("/api/v1/nodes", {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}})
    agent = plane.kubeconfig_with_token("agent", plane.service_account_token("nodeagent", "agent", node=name))
    fine = _api(empty, tmp_path, agent, name)
    assert fine.verdict is Verdict.OK, fine
    refused = _api(empty, tmp_path, nobody, name)
    assert refused.verdict is Verdict.FAILED
    assert "403" in refused.explanation


def test_a_server_that_is_away(own_control_plane: ControlPlane, tmp_path: Path, empty: str) -> None:
    kubeconfig = own_control_plane.kubeconfig(f"user-{secrets.token_hex(3)}", ["system:masters"])
    own_control_plane.close()
    away = _api(empty, tmp_path, kubeconfig, "any")
    assert away.verdict is Verdict.FAILED
    assert away.advice == "see cluster.kubeconfig, and the way to the API server"
