"""Going back on a live node: an earlier generation, or the node as it was, with its services."""

from __future__ import annotations

import pytest

from tests.node.agent import UNITS, Agent, file, restarts, sleeper
from tests.node.machine import Machine


@pytest.fixture
def agent(machine: Machine) -> Agent:
    """Two generations: the second has another text for web.service and one file more."""
    machine.write("/usr/lib/systemd/system/vendor.service", sleeper(2000))
    machine.write("/etc/app.conf", "vendor\n")
    agent = Agent(machine)
    agent.policy(restarts("web.service", "vendor.service"))
    agent.files(file("/etc/app.conf", "one\n"))
    agent.units({"name": "web.service", "enabled": True, "contents": sleeper(1001)})
    agent.apply()
    agent.files(file("/etc/app.conf", "two\n"), file("/etc/new.conf", "two\n"))
    dropin = {"name": "10-x.conf", "contents": "[Service]\nNice=1\n"}
    agent.units(
        {"name": "web.service", "enabled": True, "contents": sleeper(1002)},
        {"name": "vendor.service", "enabled": True, "dropins": [dropin]},
    )
    agent.apply()
    return agent


def test_back_to_the_generation_before(agent: Agent) -> None:
    agent("rollback")
    assert agent.machine.read("/etc/app.conf") == "one\n"
    assert not agent.machine.path("/etc/new.conf").exists()
    assert agent.command_of("web.service") == "/bin/sleep 1001"
    assert agent.show("vendor.service", "Nice") == "0"
    assert agent.enabled("vendor.service") == "disabled"
    agent("verify")


def test_back_to_the_node_as_it_was(agent: Agent) -> None:
    agent("rollback", "0", "--no-reboot")
    assert agent.machine.read("/etc/app.conf") == "vendor\n"
    assert agent.show("web.service", "UnitFileState") == ""
    assert agent.enabled("vendor.service") == "disabled"
    assert not agent.machine.path(f"{UNITS}/vendor.service.d").exists()


def test_the_daemon_leaves_alone_what_was_rolled_back_from(agent: Agent) -> None:
    agent.start()
    left = agent.until_done()["config"]
    agent("rollback")
    report = agent.until(lambda report: report["held"] == left)
    agent.machine.write("/etc/app.conf", "tampered\n")
    agent.drift("/etc/app.conf", "content", 5.0)
    agent.machine.write("/etc/app.conf", "one\n")
    assert agent.no_drift()["config"] == report["config"] != left
    agent.files(file("/etc/app.conf", "three\n"))
    agent.until_done()
    assert agent.machine.read("/etc/app.conf") == "three\n"
