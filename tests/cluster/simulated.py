"""Simulated nodes: a real agent process each, on a scratch root of its own, with a Node object in a real API server.

Nothing stands in for the agent; what is missing is a kubelet, so the test sets what a kubelet would (Ready).
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

from nodeagent.machineconfig import provenance
from nodeagent.machineconfig.render import render
from nodeagent.machineconfig.source import load
from nodeagent.observed import nodes
from tests.cluster.client import ApiError
from tests.cluster.controlplane import ControlPlane, eventually

GROUP = "/apis/machineconfiguration.alauda.io/v1alpha1"
_VERSION = "machineconfiguration.alauda.io/v1alpha1"

Object = dict[str, Any]


def machine_config(name: str, files: Mapping[str, str], role: str = "worker") -> Object:
    """A MachineConfig of files by path."""
    entries = [
        {"path": path, "overwrite": True, "contents": {"source": f"data:,{quote(text)}"}}
        for path, text in files.items()
    ]
    return {
        "apiVersion": _VERSION,
        "kind": "MachineConfig",
        "metadata": {"name": name, "labels": {"machineconfiguration.alauda.io/role": role}},
        "spec": {"config": {"ignition": {"version": "3.4.0"}, "storage": {"files": entries}}},
    }


def publish(plane: ControlPlane, config: Object, pool: str = "worker") -> str:
    """Render one MachineConfig and publish that, as a controller of pools does; its name."""
    rendered = render(load([("test.json", json.dumps(config).encode())]).machine_configs, pool)
    document = rendered.document()
    document["metadata"]["annotations"] |= provenance.publishable(rendered.provenance)
    try:
        plane.admin.create(f"{GROUP}/machineconfigs", document)
    except ApiError as error:
        if error.reason != "AlreadyExists":
            raise
    return rendered.name


class SimulatedNode:
    """One node `name`; entering makes its Node object and starts its agent, leaving ends the agent.

    Without a kubeconfig of its own the agent has every right. `variables` are in its environment at each start.
    """

    def __init__(
        self,
        plane: ControlPlane,
        base: Path,
        name: str,
        labels: Mapping[str, str] | None = None,
        kubeconfig: Path | None = None,
        variables: Mapping[str, str] | None = None,
    ) -> None:
        self.plane = plane
        self.name = name
        self.path = f"/api/v1/nodes/{name}"
        self.base = base / name
        self.root = self.base / "root"
        # As on any Node: of one that begins without any field, the API server never records who writes it.
        self._labels = {"kubernetes.io/hostname": name, **(labels or {})}
        self._kubeconfig = kubeconfig or plane.kubeconfig(f"agent-{name}", ["system:masters"])
        self._variables = variables or {}
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        (self.root / "etc").mkdir(parents=True)
        self.plane.admin.create(
            "/api/v1/nodes",
            {"apiVersion": "v1", "kind": "Node", "metadata": {"name": self.name, "labels": self._labels}},
        )
        ready = {"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "a test says so"}
        self.plane.admin.patch(f"{self.path}/status", {"status": {"conditions": [ready]}}, "strategic")
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        if error is None:  # a failure may have left no server, and is told better without a second
            self.plane.admin.delete(self.path)

    # -- the agent ----------------------------------------------------------------------------------------------------

    def start(self, **variables: str) -> None:
        """Start the agent."""
        flags = {
            "root": self.root,
            "run-dir": self.base / "run",
            "node-name": self.name,
            "cluster-kubeconfig": self._kubeconfig,
            "metrics-address": "",
            "health-address": "",
        }
        command = [sys.executable, "-m", "nodeagent", "run", "--cluster-enabled"]
        command += [f"--{flag}={value}" for flag, value in flags.items()]
        with (self.base / "agent.log").open("ab") as log:
            self._process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", *command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])} | dict(self._variables) | variables,
            )

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """End the agent; its exit code, 0 if none runs."""
        if self._process is None:
            return 0
        self._process.send_signal(number)
        return self.ended()

    def ended(self) -> int:
        """The exit code of an agent that ends by itself."""
        assert self._process is not None
        try:
            return self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise
        finally:
            self._process = None

    @property
    def pid(self) -> int:
        """Of the agent that runs."""
        assert self._process is not None
        return self._process.pid

    @property
    def log(self) -> str:
        return (self.base / "agent.log").read_text()

    def local_state(self) -> str:
        """The state of machine configuration as the agent's status file has it; "" before there is any."""
        try:
            status = json.loads((self.base / "run/status.json").read_text())
        except FileNotFoundError:
            return ""
        return str(status["jobs"].get("machineconfig", {}).get("state", ""))

    # -- what the cluster says and sees -------------------------------------------------------------------------------

    def get(self) -> Object:
        found: Object = self.plane.admin.get(self.path)
        return found

    def said(self, annotation: str) -> str:
        return str(self.get()["metadata"].get("annotations", {}).get(annotation, ""))

    def annotate(self, **annotations: str | None) -> None:
        """Set annotations of the node protocol by their short names, as a controller does."""
        given = {nodes.PREFIX + key: value for key, value in annotations.items()}
        self.plane.admin.patch(self.path, {"metadata": {"annotations": given}}, "merge")

    def condition(self, kind: str = nodes.MACHINE_CONFIG_DEGRADED) -> Object:
        conditions = self.get()["status"].get("conditions", [])
        return next((each for each in conditions if each["type"] == kind), {})

    def events(self) -> list[Object]:
        """The Events on this Node."""
        return self.plane.admin.list(
            "/api/v1/namespaces/default/events", fieldSelector=f"involvedObject.name={self.name}"
        )

    def publish(self, config: Object, pool: str = "worker") -> str:
        """Render one MachineConfig and publish that; its name."""
        return publish(self.plane, config, pool)

    def until(self, condition: Callable[[], bool], what: str, deadline: float = 20.0) -> None:
        """Wait; a failure shows the agent's log."""
        try:
            eventually(condition, what, deadline)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.get()['metadata'].get('annotations')}\n{self.log[-4000:]}") from None

    def until_done(self, config: str) -> None:
        self.until(
            lambda: (self.said(nodes.CURRENT_CONFIG), self.said(nodes.STATE)) == (config, "Done"), f"{config} is Done"
        )
