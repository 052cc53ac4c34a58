"""The agent as the DaemonSet runs it: the node's root at /host, a /run of its own, and those capabilities only."""

from __future__ import annotations

import subprocess
import sys

import pytest
import yaml

from tests.node.machine import CHECKOUT, Machine

_SOURCE = "/root/machineconfigs.yaml"
_DECLARED = """
apiVersion: machineconfiguration.alauda.io/v1alpha1
kind: MachineConfig
metadata:
  name: 50-contained
  labels: {machineconfiguration.alauda.io/role: worker}
spec:
  config:
    ignition: {version: 3.4.0}
    storage: {files: [{path: /etc/contained, mode: 0644, contents: {source: "data:,declared"}}]}
    systemd:
      units:
        - name: contained.service
          enabled: true
          contents: |
            [Service]
            ExecStart=/bin/sleep infinity
            [Install]
            WantedBy=multi-user.target
---
apiVersion: machineconfiguration.alauda.io/v1alpha1
kind: MachineConfiguration
metadata: {name: cluster}
spec:
  nodeDisruptionPolicy:
    units:
      - name: contained.service
        actions: [{type: DaemonReload}, {type: Restart, restart: {serviceName: contained.service}}]
"""


def _capabilities() -> set[str]:
    pod = yaml.safe_load((CHECKOUT / "deploy/daemonset.yaml").read_text())["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    return {each.lower() for each in container["securityContext"]["capabilities"]["add"]}


def _contained(machine: Machine, capabilities: set[str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the agent in a mount namespace like the pod's; `capabilities` are all that it can ever have."""
    bounding = ",".join(["-all", *(f"+{each}" for each in sorted(capabilities))])
    mounts = "mkdir -p /host && mount --rbind / /host && mount -t tmpfs none /run"
    become = ["setpriv", f"--bounding-set={bounding}", sys.executable, "-m", "nodeagent", *arguments]
    own_mounts = ["unshare", "--mount", "--propagation", "private"]
    return machine.run(*own_mounts, "sh", "-c", f'{mounts} && exec "$@"', "sh", *become, NODEAGENT_ROOT="/host")


@pytest.fixture
def node(machine: Machine) -> Machine:
    machine.write(_SOURCE, _DECLARED)
    return machine


def test_a_contained_agent_applies_files_and_starts_units_of_the_node(node: Machine) -> None:
    _contained(node, _capabilities(), "apply", f"/host{_SOURCE}")
    assert node.read("/etc/contained") == "declared"
    assert node.run("systemctl", "is-active", "contained.service").stdout.strip() == "active"
    assert node.run("systemctl", "is-enabled", "contained.service").stdout.strip() == "enabled"


def test_what_it_applied_is_the_nodes_own_state(node: Machine) -> None:
    _contained(node, _capabilities(), "apply", f"/host{_SOURCE}")
    assert "nothing to do" in node.python("-m", "nodeagent", "verify", _SOURCE).stdout


def test_an_agent_that_may_not_look_at_init_asks_no_systemd(node: Machine) -> None:
    _contained(node, _capabilities() - {"sys_ptrace"}, "apply", f"/host{_SOURCE}")
    assert node.read("/etc/contained") == "declared"
    assert node.run("systemctl", "is-active", "contained.service", check=False).stdout.strip() == "inactive"
