"""What an operator asks of a node with a real systemd: doctor, support bundle, uninstall."""

from __future__ import annotations

import json
import tarfile
from typing import Any

import pytest

from tests.node.agent import Agent, file
from tests.node.machine import Machine


@pytest.fixture
def agent(machine: Machine) -> Agent:
    agent = Agent(machine)
    agent.files(file("/etc/app.conf", "the-secret-of-the-app\n"))
    agent.start()
    return agent


def _checks(agent: Agent) -> dict[str, dict[str, Any]]:
    done = agent.machine.python("-m", "nodeagent", "doctor", "-o", "json", check=False, deadline=120.0)
    assert done.returncode in (0, 3), done.stderr  # nothing sets the clock of a machine in a test
    return {each["name"]: each for each in json.loads(done.stdout)["checks"]}


def test_the_doctor_finds_a_node_well_and_then_what_is_wrong_with_it(agent: Agent) -> None:
    checks = _checks(agent)
    wanted = ("privileges", "mounts", "fanotify", "rename", "systemd")
    assert {name: checks[name]["verdict"] for name in wanted} == dict.fromkeys(wanted, "ok"), checks
    assert checks["systemd"]["explanation"].startswith("it answers over D-Bus")
    assert list(agent.machine.path("/var/lib/nodeagent").glob(".nodeagent-doctor*")) == []
    agent.machine.run("mount", "-t", "tmpfs", "-o", "ro", "none", "/var/lib")
    found = _checks(agent)["mounts"]
    agent.machine.run("umount", "/var/lib")
    assert found["verdict"] == "failed"
    assert "/var/lib is on a read-only file system (tmpfs)" in found["explanation"]


def test_the_bundle_has_the_log_and_not_what_files_hold(agent: Agent) -> None:
    agent("support-bundle", "-o", "/root/bundle.tar.gz")
    with tarfile.open(agent.machine.path("/root/bundle.tar.gz")) as archive:
        found = {each.name.rpartition("/")[2]: archive.extractfile(each) for each in archive.getmembers()}
        texts = {name: file.read().decode() for name, file in found.items() if file is not None}
    assert json.loads(texts["manifest.json"])["parts"]["log.txt"]["problem"] == ""
    assert "started" in texts["log.txt"]
    assert json.loads(texts["status.json"])["jobs"]["machineconfig"]["state"] == "Done"
    assert all("the-secret-of-the-app" not in text for text in texts.values())


def test_uninstall_waits_for_the_daemon_to_end_and_leaves_managed_files(agent: Agent) -> None:
    assert "disable --now nodeagent" in agent("uninstall", "--yes", code=1).stderr
    assert agent.machine.path("/run/nodeagent/status.json").exists()
    agent.systemctl("disable", "--now", "nodeagent.service")
    assert "/run/nodeagent/status.json" in agent("uninstall", code=3).stdout
    agent("uninstall", "--yes")
    assert not agent.machine.path("/run/nodeagent/status.json").exists()
    assert agent.machine.read("/etc/app.conf") == "the-secret-of-the-app\n"
    assert agent.leftovers() == []
    agent.start()
    assert agent.until_done()["generation"] == 1
