"""A rollout under the identities of deploy/: what they may do is enough for it."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from nodeagent.observed import nodes
from tests.cluster.controlplane import ControlPlane, eventually
from tests.cluster.coordinators import CoordinatorProcess
from tests.cluster.manifests import deploy
from tests.cluster.simulated import GROUP, SimulatedNode, machine_config

_NAMESPACE = "nodeagent"
_DRAIN_FOR_X = {"files": [{"path": "/etc/x", "actions": [{"type": "Drain"}]}]}


def test_a_rollout_with_a_drain_needs_no_more_rights_than_deploy_gives(
    own_control_plane: ControlPlane, tmp_path: Path
) -> None:
    plane = own_control_plane
    deploy(plane)
    policy = {"apiVersion": "machineconfiguration.alauda.io/v1alpha1", "kind": "MachineConfiguration"}
    spec = {"metadata": {"name": "cluster"}, "spec": {"nodeDisruptionPolicy": _DRAIN_FOR_X}}
    plane.admin.create(f"{GROUP}/machineconfigurations", policy | spec)
    coordinator = plane.kubeconfig_with_token("pools", plane.service_account_token(_NAMESPACE, "pools"))
    with ExitStack() as stack:
        workers = [stack.enter_context(_worker(plane, tmp_path, f"worker-{index}")) for index in range(2)]
        process = stack.enter_context(CoordinatorProcess(plane, tmp_path, kubeconfig=coordinator))
        plane.admin.create(f"{GROUP}/machineconfigs", machine_config("50-x", {"/etc/x": "one"}))

        def all_have_it() -> bool:
            done = [worker.said(nodes.STATE) == "Done" for worker in workers]
            return all(done) and all((worker.root / "etc/x").exists() for worker in workers)

        try:
            eventually(all_have_it, "all nodes have the config", 60.0)
            eventually(lambda: _is_updated(plane), "the pool says so", 20.0)
            eventually(lambda: all(worker.events() for worker in workers), "the agents' Events are there")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{process.log[-3000:]}\n{workers[0].log[-3000:]}") from None
        for text in (process.log, *(worker.log for worker in workers)):
            assert "forbidden" not in text.lower()
            assert "denied" not in text.lower()


def _worker(plane: ControlPlane, base: Path, name: str) -> SimulatedNode:
    token = plane.service_account_token(_NAMESPACE, "agent", node=name)
    _adopt(plane)
    variables = {"NODEAGENT_CERTS_REPORT_NAMESPACE": _NAMESPACE}  # as the DaemonSet has it
    return SimulatedNode(plane, base, name, kubeconfig=plane.kubeconfig_with_token(name, token), variables=variables)


def _adopt(plane: ControlPlane) -> None:
    """Have the DaemonSet own the pods that the tokens are bound to, as those of its own: no drain evicts them."""
    daemon_set = plane.admin.get(f"/apis/apps/v1/namespaces/{_NAMESPACE}/daemonsets/agent")["metadata"]
    owner = {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "name": "agent",
        "uid": daemon_set["uid"],
        "controller": True,
    }
    for pod in plane.admin.list(f"/api/v1/namespaces/{_NAMESPACE}/pods"):
        path = f"/api/v1/namespaces/{_NAMESPACE}/pods/{pod['metadata']['name']}"
        plane.admin.patch(path, {"metadata": {"ownerReferences": [owner]}}, "merge")


def _is_updated(plane: ControlPlane) -> bool:
    pool = plane.admin.get(f"{GROUP}/machineconfigpools/worker")
    conditions = {each["type"]: each["status"] for each in pool.get("status", {}).get("conditions", [])}
    return conditions.get("Updated") == "True"
