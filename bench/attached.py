"""The daemon in a cluster, attached to a real API server: what it costs the node, and what it costs the server."""

from __future__ import annotations

import os
import time
from collections import Counter
from pathlib import Path

from bench.idle import pss_of
from bench.measure import cpu_of
from bench.node import Daemon, Node
from bench.report import Section, Target
from bench.scale import Scale
from nodeagent.observed import nodes
from tests.cluster.controlplane import ControlPlane, eventually
from tests.cluster.simulated import machine_config, publish
from tests.controlplane import binaries

_NODE = "bench"
_SETTLE = 5.0  # seconds
_PAUSE = 0.2  # seconds between two reports
_PATIENCE = 60.0  # seconds
_MEMORY_LIMIT = 60.0  # MiB
_REQUEST_LIMIT = 30.0  # an hour
_HOUR = 3600.0
_WATCHES = 2
_REPORTS = 12  # of a kubelet in an hour in which nothing happens to its node
_LASTING = 45 * 60.0  # seconds that a watch lasts on average, before it is opened again: settled in nodeagent/kube


def bench(base: str, scale: Scale) -> Section:
    """Start, rest and reaction of one agent with 20 files; requests are counted in the server's audit log."""
    os.makedirs(f"{base}/control-plane")
    with ControlPlane(Path(base, "control-plane"), binaries.ensured(), audited=True) as plane:
        plane.apply_crds()
        plane.admin.create("/api/v1/nodes", {"metadata": {"name": _NODE, "labels": {"bench": "true"}}})
        node = Node(f"{base}/node", f"{base}/sources")
        flags = ("--cluster-enabled", "--node-name", _NODE, "--cluster-kubeconfig", str(_kubeconfig(plane)))
        with node.daemon(*flags) as daemon:
            reaction = _assign(plane, daemon, "one")
        with node.daemon(*flags) as daemon:
            start = daemon.start
            time.sleep(_SETTLE)
            before, used, began = len(plane.requests("nodeagent")), cpu_of(daemon.pid), time.perf_counter()
            time.sleep(scale.idle)
            seconds = time.perf_counter() - began
            quiet = plane.requests("nodeagent")[before:]
            share = 100 * (cpu_of(daemon.pid) - used) / seconds
            pss = pss_of(daemon.pid)
            watched = _hour_of_reports(plane, daemon.pid)
    hourly = len(quiet) * _HOUR / seconds + _WATCHES * _HOUR / _LASTING
    verbs = ", ".join(f"{count} {verb}" for verb, count in sorted(Counter(each["verb"] for each in quiet).items()))
    return Section(
        "Attached: the daemon in a cluster",
        f"A real kube-apiserver, one Node, 20 files assigned by annotation; at rest over {scale.idle:g} s. The two "
        "watches are opened again every 30 to 60 minutes, which the requests an hour include.",
        ("", "measured"),
        [
            ["CPU until ready", f"{start.cpu * 1000:.0f} ms"],
            ["from the annotation to Done on the Node", f"{reaction * 1000:.0f} ms"],
            ["PSS", f"{pss:.1f} MiB"],
            ["CPU at rest", f"{share:.3f} % of a core"],
            ["requests seen at rest", verbs or "none"],
            ["read from the watches while a kubelet reports for an hour", f"{watched / 1024:.1f} KiB"],
        ],
        [
            Target("PSS", pss, _MEMORY_LIMIT, " MiB"),
            Target("requests an hour at rest", hourly, _REQUEST_LIMIT),
        ],
    )


def _hour_of_reports(plane: ControlPlane, pid: int) -> int:
    """Bytes that the agent reads, TLS included, for as many reports as a kubelet makes in an hour."""
    before = _read_by(pid)
    for number in range(_REPORTS):
        ready = {"type": "Ready", "status": "True", "lastHeartbeatTime": f"2026-01-01T00:{number:02}:00Z"}
        plane.admin.patch(f"/api/v1/nodes/{_NODE}/status", {"status": {"conditions": [ready]}}, "strategic")
        time.sleep(_PAUSE)
    time.sleep(_SETTLE)
    return _read_by(pid) - before


def _read_by(pid: int) -> int:
    """Bytes that a process has read so far (proc_pid_io(5)); what a TLS connection reads counts."""
    with open(f"/proc/{pid}/io") as table:
        return next(int(line.split()[1]) for line in table if line.startswith("rchar:"))


def _kubeconfig(plane: ControlPlane) -> Path:
    return plane.kubeconfig("bench", ["system:masters"])


def _assign(plane: ControlPlane, daemon: Daemon, text: str) -> float:
    """Assign a config and wait until the Node says that it is in place; the seconds from one to the other."""
    config = publish(plane, machine_config("50-bench", {f"/etc/bench/{index}": text * 500 for index in range(20)}))
    path = f"/api/v1/nodes/{_NODE}"
    began = time.perf_counter()
    plane.admin.patch(path, {"metadata": {"annotations": {nodes.DESIRED_CONFIG: config}}}, "merge")

    def is_done() -> bool:
        said = plane.admin.get(path)["metadata"]["annotations"]
        return bool(said.get(nodes.CURRENT_CONFIG) == config and said.get(nodes.STATE) == "Done")

    eventually(is_done, "the config is in place", _PATIENCE)
    took = time.perf_counter() - began
    daemon.until("the daemon is at rest", lambda: daemon.status()["state"] == "Done")
    return took
