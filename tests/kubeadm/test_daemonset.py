"""The agent as a pod of a real cluster: it works on the node it runs on, and outlives what happens to its pod."""

from __future__ import annotations

import json

import pytest

from nodeagent.observed import nodes
from tests.kubeadm.agent import AgentPod, Object, machine_config
from tests.node.agent import file, restarts, sleeper

_UNIT = "declared.service"


def declared(text: str, seconds: int = 1000) -> tuple[Object, Object]:
    """A file with `text`, and a service of which `seconds` tell one version from another; from a source each."""
    unit = {"name": _UNIT, "enabled": True, "contents": sleeper(seconds)}
    return (
        machine_config("50-file", storage={"files": [file("/etc/declared", text, mode=0o640)]}),
        machine_config("60-unit", systemd={"units": [unit]}),
    )


@pytest.fixture(autouse=True)
def no_disruption(agent: AgentPod) -> None:
    """No test here is about drains: a file costs nothing, a unit its restart."""
    agent.policy({**restarts(_UNIT), "files": [{"path": "/etc", "actions": [{"type": "None"}]}]})


def test_a_config_becomes_files_and_units_of_the_node(agent: AgentPod) -> None:
    node = agent.node
    name = agent.has(*declared("declared", 1001))
    assert node.read("/etc/declared") == "declared"
    assert node.path("/etc/declared").stat().st_mode & 0o7777 == 0o640
    assert node.run("systemctl", "is-active", _UNIT).stdout.strip() == "active"
    assert node.run("systemctl", "is-enabled", _UNIT).stdout.strip() == "enabled"
    assert agent.condition("Ready")["status"] == "True", "the kubelet's conditions stay"
    report = json.loads(agent.said(nodes.REPORT))
    assert (report["pod"], report["jobs"]["machineconfig"]["config"]) == (agent.name(), name)
    agent.has(*declared("declared", 1002))
    assert "sleep 1002" in node.run("systemctl", "show", "-p", "ExecStart", _UNIT).stdout


def test_commands_on_the_node_show_what_the_pod_does(agent: AgentPod) -> None:
    name = agent.has(*declared("declared"))
    shown = agent.node.python("-m", "nodeagent", "status").stdout
    assert name in shown
    assert "Done" in shown


def test_drift_names_the_path_its_source_and_the_writer(agent: AgentPod) -> None:
    name = agent.has(*declared("declared"))
    script = "open('/etc/declared', 'w').write('a secret')"
    agent.node.run("systemd-run", "--wait", "--unit=culprit", "/usr/bin/python3", "-c", script)
    agent.node.until(lambda: agent.condition().get("reason") == "Drift", "the drift shows")
    condition = agent.condition()
    assert condition["status"] == "True"
    assert "/etc/declared of 50-file by " in condition["message"]
    assert "culprit.service" in condition["message"]
    assert "a secret" not in json.dumps(condition)
    agent.node.run("sh", "-c", "printf declared >/etc/declared")
    agent.until_done(name)


def test_a_restart_of_the_kubelet_does_not_touch_it(agent: AgentPod) -> None:
    agent.has(*declared("before"))
    before = agent.container()
    agent.node.run("systemctl", "restart", "kubelet.service")
    agent.has(*declared("after the kubelet's restart"))
    agent.until_ready()
    assert agent.container()["containerID"] == before["containerID"]
    assert agent.container()["restartCount"] == before["restartCount"]
    assert agent.node.read("/etc/declared") == "after the kubelet's restart"


def test_an_update_goes_on_with_what_the_last_one_left(agent: AgentPod) -> None:
    node = agent.node
    name = agent.has(*declared("before the update", 1003))
    before, started = agent.name(), node.run("systemctl", "show", "-p", "MainPID", _UNIT).stdout
    node.kubectl("-n", "nodeagent", "rollout", "restart", "daemonset/agent")
    node.kubectl("-n", "nodeagent", "rollout", "status", "daemonset/agent", "--timeout=120s", deadline=130.0)
    agent.until_ready()
    assert agent.name() != before
    node.until(lambda: json.loads(agent.said(nodes.REPORT))["pod"] == agent.name(), "the new pod has reported")
    agent.until_done(name)
    assert node.run("systemctl", "show", "-p", "MainPID", _UNIT).stdout == started, "services went on meanwhile"
    agent.has(*declared("after the update", 1003))
    assert node.read("/etc/declared") == "after the update"


def test_after_a_reboot_it_finds_what_it_has_applied_and_goes_on(agent: AgentPod) -> None:
    node = agent.node
    name = agent.has(*declared("before the reboot", 1004))
    before = agent.container()
    node.reboot()
    node.until(lambda: agent.is_ready() and agent.container()["containerID"] != before["containerID"], "it is back")
    agent.until_done(name)
    assert node.run("systemctl", "is-active", _UNIT).stdout.strip() == "active"
    agent.has(*declared("after the reboot", 1004))
    assert node.read("/etc/declared") == "after the reboot"


def test_a_daemon_on_the_node_refuses_beside_the_pod(agent: AgentPod) -> None:
    second = ("-m", "nodeagent", "run", "--health-address", "", "--metrics-address", "")
    refused = agent.node.python(*second, check=False)
    assert refused.returncode == 1
    assert "another" in refused.stderr
