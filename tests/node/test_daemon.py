"""The daemon as a service: started, stopped, watched over by systemd, and following its sources."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.node.agent import SOURCE, STATE, Agent, file
from tests.node.machine import Machine

FETCH = "import sys, urllib.request as r; print(r.urlopen(sys.argv[1], timeout=10).read().decode())"


@pytest.fixture
def agent(machine: Machine) -> Agent:
    agent = Agent(machine)
    agent.files(file("/etc/app.conf", "one\n"))
    return agent


def get(agent: Agent, url: str) -> str:
    return agent.machine.python("-c", FETCH, url).stdout


def test_it_is_up_once_it_has_looked_and_goes_when_told(agent: Agent) -> None:
    agent.start()
    assert agent.machine.read("/etc/app.conf") == "one\n", "systemd was told READY before the first round"
    assert agent.systemctl("is-active", "nodeagent.service") == "active"
    assert agent.show("nodeagent.service", "StatusText") == "Done"
    assert json.loads(get(agent, "http://127.0.0.1:9468/livez"))["status"] == "ok"
    assert json.loads(get(agent, "http://127.0.0.1:9468/readyz"))["ready"]
    metrics = get(agent, "http://127.0.0.1:9469/metrics")
    assert 'nodeagent_applies_total{outcome="applied"} 1.0' in metrics
    assert "nodeagent_degraded 0.0" in metrics

    second = agent("run", "--health-address", "", "--metrics-address", "", code=1)
    assert "another" in second.stderr
    agent.stop()
    assert agent.show("nodeagent.service", "Result") == "success"
    assert agent.show("nodeagent.service", "ExecMainStatus") == "0"
    assert agent.leftovers() == []


def test_a_daemon_that_stands_still_is_killed_and_started_again(agent: Agent) -> None:
    agent.start(service={"WatchdogSec": "2s", "WatchdogSignal": "KILL"})
    before = agent.show("nodeagent.service", "MainPID")
    agent.machine.run("kill", "-STOP", before)
    agent.machine.wait_until(lambda: agent.show("nodeagent.service", "NRestarts") == "1", 30.0)
    agent.machine.wait_until(lambda: agent.systemctl("is-active", "nodeagent.service", check=False) == "active", 30.0)
    assert agent.show("nodeagent.service", "MainPID") != before
    agent.machine.write("/etc/app.conf", "tampered\n")
    agent.drift("/etc/app.conf", "content")


def test_it_follows_its_sources_and_keeps_what_it_has_where_they_are_wrong(agent: Agent) -> None:
    machine = agent.machine
    agent.start()
    agent.files(file("/etc/app.conf", "two\n"))
    machine.wait_until(lambda: machine.read("/etc/app.conf") == "two\n", 5.0)
    in_place = agent.until_done()["config"]

    agent.declare("60-bad", storage={"files": [{"path": "relative"}]})
    report = agent.until(lambda report: report["state"] == "Degraded")
    assert "60-bad" in report["reason"]
    assert "relative" in report["reason"]
    assert report["config"] == in_place
    machine.write("/etc/app.conf", "tampered\n")
    agent.drift("/etc/app.conf", "content", 5.0)
    machine.write("/etc/app.conf", "two\n")
    agent.no_drift()

    agent.withdraw("60-bad")
    agent.until(lambda report: report["state"] == "Done")
    agent.files(file("/etc/app.conf", "three\n"))
    machine.wait_until(lambda: machine.read("/etc/app.conf") == "three\n", 5.0)
    agent.until_done()


def test_sources_that_cannot_be_applied_here_change_nothing(agent: Agent) -> None:
    agent.start()
    in_place = agent.until_done()["config"]
    agent.files(file("/etc/app.conf", "two\n"), file("/proc/sys/net/x", "no\n"))
    report = agent.until(lambda report: report["state"] in ("Degraded", "Unreconcilable"))
    assert "/proc/sys/net/x" in report["reason"]
    assert report["config"] == in_place
    assert agent.machine.read("/etc/app.conf") == "one\n"


def test_sources_that_appear_later_are_found(agent: Agent) -> None:
    agent.machine.run("mv", SOURCE, "/root/sources")
    agent.start()
    assert agent.until(lambda report: report["state"] == "Degraded")["config"] == ""
    agent.machine.run("mv", "/root/sources", SOURCE)
    agent.until_done()
    assert agent.machine.read("/etc/app.conf") == "one\n"


def test_state_and_status_are_as_private_as_they_should_be(agent: Agent) -> None:
    agent.start()
    agent.until_done()
    state = agent.machine.path(STATE)
    modes = {path.stat().st_mode & 0o077 for path in [state, *Path(state).rglob("*")]}
    assert modes == {0}
