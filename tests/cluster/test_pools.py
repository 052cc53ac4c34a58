"""Pools with everything real but the kubelets: coordinator, agents, API server, evictions, budgets."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from nodeagent.observed import nodes
from tests.cluster.controlplane import ControlPlane, eventually
from tests.cluster.coordinators import NAMESPACE, CoordinatorProcess
from tests.cluster.simulated import GROUP, SimulatedNode, machine_config

_PODS = "/api/v1/namespaces/default/pods"
_BUDGETS = "/apis/policy/v1/namespaces/default/poddisruptionbudgets"
_DRAIN_FOR_X = {"files": [{"path": "/etc/x", "actions": [{"type": "Drain"}]}]}


class Site:
    """A cluster of simulated workers with one coordinator."""

    def __init__(self, plane: ControlPlane, base: Path, stack: ExitStack, workers: int, **flags: str) -> None:
        self.plane = plane
        self.admin = plane.admin
        plane.apply_crds()
        self.admin.create("/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})
        self.admin.apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}})
        names = [f"worker-{index}" for index in range(workers)]
        self.workers = [stack.enter_context(SimulatedNode(plane, base, name)) for name in names]
        self.coordinator = stack.enter_context(CoordinatorProcess(plane, base, flags=flags))

    def declare(self, name: str, path: str = "/etc/x", text: str = "one") -> None:
        self.admin.create(f"{GROUP}/machineconfigs", machine_config(name, {path: text}))

    def withdraw(self, name: str) -> None:
        self.admin.delete(f"{GROUP}/machineconfigs/{name}")

    def drain_for_x(self) -> None:
        self.admin.create(
            f"{GROUP}/machineconfigurations",
            {
                "apiVersion": "machineconfiguration.alauda.io/v1alpha1",
                "kind": "MachineConfiguration",
                "metadata": {"name": "cluster"},
                "spec": {"nodeDisruptionPolicy": _DRAIN_FOR_X},
            },
        )

    def pool(self, name: str = "worker") -> dict[str, Any]:
        """The pool; {} before the coordinator has made it."""
        found: dict[str, dict[str, Any]] = {
            each["metadata"]["name"]: each for each in self.admin.list(f"{GROUP}/machineconfigpools")
        }
        return found.get(name, {})

    def condition(self, kind: str, pool: str = "worker") -> dict[str, Any]:
        conditions = self.pool(pool).get("status", {}).get("conditions", [])
        return next((each for each in conditions if each["type"] == kind), {})

    def text(self, worker: SimulatedNode, path: str = "etc/x") -> str:
        file = worker.root / path
        return file.read_text() if file.exists() else ""

    def until(self, condition: Any, what: str, deadline: float = 40.0) -> None:
        try:
            eventually(condition, what, deadline)
        except AssertionError as error:
            said = {worker.name: worker.get()["metadata"].get("annotations") for worker in self.workers}
            raise AssertionError(f"{error}\n{said}\n{self.coordinator.log[-5000:]}") from None

    def until_all_have(self, text: str) -> None:
        self.until(lambda: all(self.text(worker) == text for worker in self.workers), f"all have {text!r}")
        self.until(lambda: self.condition("Updated").get("status") == "True", "the pool is updated")

    def run_pod(self, worker: SimulatedNode, name: str, **labels: str) -> None:
        container = {"name": "main", "image": "none.test/none"}
        spec = {"nodeName": worker.name, "containers": [container], "terminationGracePeriodSeconds": 0}
        metadata = {"name": name, "labels": labels}
        self.admin.create(_PODS, {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
        ready = {"type": "Ready", "status": "True"}
        self.admin.patch(f"{_PODS}/{name}/status", {"status": {"phase": "Running", "conditions": [ready]}}, "strategic")

    def pods(self) -> list[str]:
        return [pod["metadata"]["name"] for pod in self.admin.list(_PODS)]

    def cordoned(self) -> list[str]:
        return [worker.name for worker in self.workers if worker.get()["spec"].get("unschedulable")]


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as found:
        yield found


def test_a_config_reaches_all_nodes_one_after_the_other(
    own_control_plane: ControlPlane, tmp_path: Path, stack: ExitStack
) -> None:
    site = Site(own_control_plane, tmp_path, stack, 3)
    site.until(lambda: bool(site.condition("Updated")), "the pools are there")
    site.declare("50-x")
    site.until_all_have("one")
    status = site.pool()["status"]
    counters = ("machineCount", "updatedMachineCount", "readyMachineCount", "degradedMachineCount")
    assert [status[each] for each in counters] == [3, 3, 3, 0]
    assert [source["name"] for source in status["configuration"]["source"]] == ["00-worker", "50-x"]
    assert site.workers[0].said(nodes.CURRENT_CONFIG) == status["configuration"]["name"]
    site.admin.delete(f"{GROUP}/machineconfigs/{status['configuration']['name']}")
    site.until(lambda: _exists(site, status["configuration"]["name"]), "what was wiped is published again")


def test_a_bad_config_stops_at_the_canary_and_is_left_when_it_goes(
    own_control_plane: ControlPlane, tmp_path: Path, stack: ExitStack
) -> None:
    site = Site(own_control_plane, tmp_path, stack, 3)
    site.declare("50-x")
    site.until_all_have("one")
    site.declare("60-bad", "/run/x")
    site.until(lambda: site.condition("RolloutHalted").get("status") == "True", "the rollout stops by itself")
    assert site.condition("RolloutHalted")["reason"] == "CanaryFailed"
    told = site.admin.list("/api/v1/namespaces/default/events", fieldSelector="involvedObject.kind=MachineConfigPool")
    assert [(event["involvedObject"]["name"], event["reason"]) for event in told] == [("worker", "CanaryFailed")]
    assert sum(worker.said(nodes.STATE) == "Unreconcilable" for worker in site.workers) == 1
    site.withdraw("60-bad")
    site.until_all_have("one")
    assert {worker.said(nodes.STATE) for worker in site.workers} == {"Done"}


def test_what_does_not_render_says_why_and_changes_nothing(
    own_control_plane: ControlPlane, tmp_path: Path, stack: ExitStack
) -> None:
    site = Site(own_control_plane, tmp_path, stack, 1)
    site.declare("50-x")
    site.until_all_have("one")
    site.declare("60-bad", "/proc/x")
    site.until(lambda: site.condition("RenderDegraded").get("status") == "True", "the pool says so")
    assert "60-bad" in site.condition("RenderDegraded")["message"]
    assert site.text(site.workers[0]) == "one"


def test_drift_on_one_node_does_not_stall_the_pool(
    own_control_plane: ControlPlane, tmp_path: Path, stack: ExitStack
) -> None:
    site = Site(own_control_plane, tmp_path, stack, 3)
    site.declare("50-x")
    site.until_all_have("one")
    (site.workers[1].root / "etc/x").write_text("drifted")
    site.until(lambda: site.condition("NodeDegraded").get("status") == "True", "the pool names the node")
    assert "worker-1" in site.condition("NodeDegraded")["message"]
    site.declare("60-y", "/etc/y", "more")
    site.until(lambda: [site.text(each, "etc/y") for each in site.workers] == ["more", "", "more"], "the others go on")


def test_a_drain_evicts_what_may_go_names_what_blocks_and_gives_the_node_back(
    own_control_plane: ControlPlane, tmp_path: Path, stack: ExitStack
) -> None:
    own_control_plane.start_controllers()
    site = Site(own_control_plane, tmp_path, stack, 2)
    site.drain_for_x()
    for worker in site.workers:
        site.run_pod(worker, f"free-{worker.name}")
        site.run_pod(worker, f"held-{worker.name}", app="held")
    budget = {"minAvailable": 2, "selector": {"matchLabels": {"app": "held"}}}
    site.admin.create(
        _BUDGETS,
        {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "hold"}, "spec": budget},
    )
    site.until(lambda: site.admin.get(f"{_BUDGETS}/hold").get("status", {}).get("currentHealthy") == 2, "it is counted")
    site.declare("50-x")
    site.until(lambda: len(site.cordoned()) == 1, "one node is cordoned")
    site.until(lambda: len(site.pods()) == 3, "its free pod is evicted")
    (first,) = (worker for worker in site.workers if worker.name in site.cordoned())
    site.until(lambda: bool(_blocked(first)), "an Event names what blocks")
    assert f"default/held-{first.name}" in _blocked(first)[0]
    assert "PodDisruptionBudget hold" in _blocked(first)[0]
    assert len(site.cordoned()) == 1, "the other node waits"
    site.coordinator.stop(signal.SIGKILL)
    site.coordinator.start()
    site.admin.patch(f"{_BUDGETS}/hold", {"spec": {"minAvailable": 0}}, "merge")
    site.until_all_have("one")
    site.until(lambda: site.cordoned() == [], "both nodes are given back")
    assert site.pods() == []


def test_a_cordon_of_an_administrator_stays(own_control_plane: ControlPlane, tmp_path: Path, stack: ExitStack) -> None:
    site = Site(own_control_plane, tmp_path, stack, 2)
    site.drain_for_x()
    site.until(lambda: bool(site.pool()), "the pool is there")
    pool = f"{GROUP}/machineconfigpools/worker"
    site.admin.patch(pool, {"spec": {"maxUnavailable": "100%"}}, "merge")  # the cordoned node is unavailable by itself
    site.admin.patch(site.workers[0].path, {"spec": {"unschedulable": True}}, "merge")
    site.declare("50-x")
    site.until_all_have("one")
    site.until(lambda: site.cordoned() == ["worker-0"], "only the administrator's cordon is left")


def test_of_two_coordinators_one_works_and_the_other_takes_over(
    own_control_plane: ControlPlane, tmp_path: Path, stack: ExitStack
) -> None:
    site = Site(own_control_plane, tmp_path, stack, 3)
    other = stack.enter_context(CoordinatorProcess(own_control_plane, tmp_path, "two"))
    site.declare("50-x")
    site.until_all_have("one")
    site.coordinator.stop()
    site.declare("60-y", "/etc/y", "more")
    site.until(lambda: all(site.text(each, "etc/y") == "more" for each in site.workers), "the other goes on")
    assert "publish" in other.log or "create machineconfigs" in other.log


def test_an_api_server_that_dies_in_mid_rollout_only_delays_it(
    own_control_plane: ControlPlane, tmp_path: Path, stack: ExitStack
) -> None:
    site = Site(own_control_plane, tmp_path, stack, 3)
    site.until(lambda: bool(site.condition("Updated")), "the pools are there")
    site.declare("50-x")
    own_control_plane.apiserver.kill()
    time.sleep(1)
    own_control_plane.apiserver.start()
    site.until_all_have("one")


def _blocked(node: SimulatedNode) -> list[str]:
    return [event["message"] for event in node.events() if event["reason"] == "DrainBlocked"]


def _exists(site: Site, name: str) -> bool:
    return any(each["metadata"]["name"] == name for each in site.admin.list(f"{GROUP}/machineconfigs"))


def test_the_conditions_of_a_dead_agent_become_unknown(
    own_control_plane: ControlPlane, tmp_path: Path, stack: ExitStack
) -> None:
    site = Site(own_control_plane, tmp_path, stack, 1, **{"coordinator-agent-grace": "2s"})
    site.declare("50-x")
    site.until_all_have("one")
    (worker,) = site.workers
    assert worker.condition()["status"] == "False"
    worker.stop(signal.SIGKILL)
    lost = {"type": "Ready", "status": "Unknown", "reason": "NodeStatusUnknown", "message": "a test says so"}
    site.admin.patch(f"{worker.path}/status", {"status": {"conditions": [lost]}}, "strategic")
    site.until(lambda: worker.condition()["status"] == "Unknown", "nobody answers for its conditions", 90.0)
    assert worker.condition()["reason"] == "AgentGone"
    worker.start()
    site.until(lambda: worker.condition()["status"] == "False", "the agent answers again")
