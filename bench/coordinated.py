"""The coordinator with a large cluster of Node objects on a real API server: memory, CPU, time to react, requests."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench import measure
from bench.idle import pss_of
from bench.installation import AGENT
from bench.measure import cpu_of
from bench.report import Section, Target
from bench.scale import Scale
from nodeagent.observed import nodes
from tests.cluster.client import Client
from tests.cluster.controlplane import ControlPlane, eventually
from tests.cluster.simulated import GROUP, machine_config
from tests.controlplane import binaries

_POOLS = 20
_SETTLE = 10.0  # seconds
_PATIENCE = 600.0  # seconds
_MEMORY_LIMIT = 256.0  # MiB: what the Deployment's request and limit leave room for
_LABEL = "bench.test/pool"


def bench(base: str, scale: Scale) -> Section:
    """Nodes that say that they have what they are to have, in 20 pools; then one MachineConfig more in one of them."""
    os.makedirs(f"{base}/control-plane")
    with ControlPlane(Path(base, "control-plane"), binaries.ensured(), audited=True) as plane:
        plane.apply_crds()
        plane.admin.create("/api/v1/namespaces", {"metadata": {"name": "nodeagent"}})
        _populate(plane.admin, scale.nodes)
        with _coordinator(plane, base) as pid:
            began = time.perf_counter()
            eventually(
                lambda: len(_pools(plane.admin)) == _POOLS + 2 and _all_assigned(plane.admin), "assigned", _PATIENCE
            )
            start, start_cpu = time.perf_counter() - began, cpu_of(pid)
            _settle_nodes(plane.admin)
            time.sleep(_SETTLE)
            before, used, began = len(plane.requests("nodeagent-coordinator")), cpu_of(pid), time.perf_counter()
            time.sleep(scale.idle)
            seconds = time.perf_counter() - began
            resting = plane.requests("nodeagent-coordinator")[before:]
            rest_cpu = 100 * (cpu_of(pid) - used) / seconds
            reaction, reaction_cpu = _react(plane.admin, pid)
            pss = pss_of(pid)
    verbs = ", ".join(f"{count} {verb}" for verb, count in sorted(Counter(each["verb"] for each in resting).items()))
    return Section(
        f"Coordinated: {scale.nodes} nodes in {_POOLS + 2} pools",
        f"A real kube-apiserver with Node objects and no agents; at rest over {scale.idle:g} s. The reaction is from a "
        "new MachineConfig to the first node's new `desiredConfig`: rendered, published and assigned.",
        ("", "measured"),
        [
            ["from its start until every pool has assigned its first node", f"{start:.1f} s, {start_cpu:.1f} s of CPU"],
            ["from a new MachineConfig to the first assignment", f"{reaction * 1000:.0f} ms"],
            ["CPU of that", f"{reaction_cpu * 1000:.0f} ms"],
            ["PSS", f"{pss:.1f} MiB"],
            ["CPU at rest", f"{rest_cpu:.3f} % of a core"],
            ["requests a second at rest", f"{len(resting) / seconds:.2f} ({verbs or 'none'})"],
        ],
        [Target("PSS", pss, _MEMORY_LIMIT, " MiB")],
    )


def _populate(admin: Client, count: int) -> None:
    for pool in range(_POOLS):
        selector = {"matchLabels": {_LABEL: str(pool)}}
        spec = {"nodeSelector": selector, "machineConfigSelector": {"matchLabels": {"bench.test/config": str(pool)}}}
        admin.create(f"{GROUP}/machineconfigpools", _pool(f"pool-{pool}", spec))
    for number in range(count):
        labels = {_LABEL: str(number % (_POOLS + 1)), "kubernetes.io/hostname": f"node-{number}"}
        said = {nodes.STATE: "Done"}
        name = f"node-{number:05d}"
        admin.create("/api/v1/nodes", {"metadata": {"name": name, "labels": labels, "annotations": said}})
        ready = {"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "a benchmark says so"}
        admin.patch(f"/api/v1/nodes/{name}/status", {"status": {"conditions": [ready]}}, "strategic")


def _pool(name: str, spec: dict[str, Any]) -> dict[str, Any]:
    head = {"apiVersion": "machineconfiguration.alauda.io/v1alpha1", "kind": "MachineConfigPool"}
    return {**head, "metadata": {"name": name}, "spec": spec}


@contextmanager
def _coordinator(plane: ControlPlane, base: str) -> Iterator[int]:
    kubeconfig = plane.kubeconfig("coordinator", ["system:masters"])
    words = [AGENT, "coordinate", "--role", "pools", "--health-address=", "--metrics-address="]
    words += [f"--cluster-kubeconfig={kubeconfig}"]
    with open(f"{base}/log", "ab") as log:
        process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=measure.environment())
        try:
            yield process.pid
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)


def _pools(admin: Client) -> list[Any]:
    return admin.list(f"{GROUP}/machineconfigpools")


def _all_assigned(admin: Client) -> bool:
    return all(pool.get("status", {}).get("machineCount", 0) == 0 or _is_moving(pool) for pool in _pools(admin))


def _is_moving(pool: Any) -> bool:
    return bool(pool["status"]["unavailableMachineCount"] or pool["status"]["updatedMachineCount"])


def _settle_nodes(admin: Client) -> None:
    """Have each node say that it has the target of its pool, as its agent would in the end."""
    rendered = {}
    for config in admin.list(f"{GROUP}/machineconfigs"):
        if config["metadata"]["name"].startswith("render-"):
            rendered[config["metadata"]["labels"]["machineconfiguration.alauda.io/role"]] = config["metadata"]["name"]
    for node in admin.list("/api/v1/nodes"):
        pool = node["metadata"]["labels"][_LABEL]
        target = rendered.get(f"pool-{pool}", rendered["worker"])
        said = {nodes.CURRENT_CONFIG: target, nodes.DESIRED_CONFIG: target, nodes.STATE: "Done"}
        admin.patch(f"/api/v1/nodes/{node['metadata']['name']}", {"metadata": {"annotations": said}}, "merge")


def _react(admin: Client, pid: int) -> tuple[float, float]:
    """Seconds of wall time and of CPU from a new MachineConfig to the first assignment."""
    config = machine_config("50-bench", {"/etc/bench": "x"}, "pool-0")
    config["metadata"]["labels"]["bench.test/config"] = "0"
    used, began = cpu_of(pid), time.perf_counter()
    created = admin.create(f"{GROUP}/machineconfigs", config)
    members = f"{_LABEL}=0"

    def assigned() -> bool:
        found = admin.list("/api/v1/nodes", labelSelector=members, resourceVersion="0")
        targets = {node["metadata"]["annotations"].get(nodes.DESIRED_CONFIG) for node in found}
        return len(targets) > 1

    eventually(assigned, f"{created['metadata']['name']} is assigned", _PATIENCE)
    return time.perf_counter() - began, cpu_of(pid) - used
