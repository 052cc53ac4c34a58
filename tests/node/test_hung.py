"""A hung PID 1: the agent goes on seeing and telling, says what it waits for, and ends what it began once it can."""

from __future__ import annotations

import json

import pytest

from tests.node.agent import FORCE_FILE, UNITS, Agent, file, restarts, sleeper
from tests.node.machine import Machine

FETCH = "import urllib.request as r; print(r.urlopen('http://127.0.0.1:9468/livez', timeout=5).read().decode())"
SOON = 3.0  # seconds


@pytest.fixture
def agent(machine: Machine) -> Agent:
    agent = Agent(machine)
    agent.policy(restarts("web.service"))
    agent.files(file("/etc/app.conf", "ours\n"))
    agent.units({"name": "web.service", "enabled": True, "contents": sleeper(1001)})
    agent.start("--apply-unit-timeout", "2s")
    agent.until_done()
    return agent


def test_drift_is_reported_while_systemd_hangs(agent: Agent) -> None:
    machine = agent.machine
    machine.freeze()
    try:
        machine.write("/etc/app.conf", "tampered\n")
        agent.drift("/etc/app.conf", "content", SOON)
        assert json.loads(machine.python("-c", FETCH).stdout)["status"] == "ok"
        machine.write("/etc/app.conf", "ours\n")
        agent.until(lambda report: not report["drift"], SOON)
    finally:
        machine.thaw()
    assert agent.until_done()["drift"] == []


def test_an_action_that_waits_for_systemd_is_told_and_made_in_the_end(agent: Agent) -> None:
    machine = agent.machine
    machine.freeze()
    try:
        agent.units({"name": "web.service", "enabled": True, "contents": sleeper(1002)})
        report = agent.until(lambda report: "systemd did not answer within 2 s" in report["reason"])
        assert report["state"] == "Working"
        assert machine.read(f"{UNITS}/web.service") == sleeper(1001)
    finally:
        machine.thaw()
    agent.until_done()
    assert agent.command_of("web.service") == "/bin/sleep 1002"
    assert agent.leftovers() == []


def test_systemd_may_hang_in_the_midst_of_an_action(agent: Agent) -> None:
    machine = agent.machine
    slow = ("ExecStartPre=/bin/touch /run/begun", "ExecStartPre=/bin/sleep 1")
    agent.units({"name": "web.service", "enabled": True, "contents": sleeper(1002, *slow)})
    machine.wait_until(machine.path("/run/begun").exists)
    machine.freeze()
    try:
        report = agent.until(lambda report: "systemd did not answer" in report["reason"])
        assert report["state"] == "Working"
        assert machine.read(f"{UNITS}/web.service") == sleeper(1001), "the files were not taken back"
    finally:
        machine.thaw()
    agent.until_done()
    assert agent.command_of("web.service") == "/bin/sleep 1002"
    assert agent.leftovers() == []


def test_a_start_that_takes_too_long_is_taken_back_and_told(agent: Agent) -> None:
    agent.units({"name": "web.service", "enabled": True, "contents": sleeper(1002, "ExecStartPre=/bin/sleep 1000")})
    report = agent.until(lambda report: report["state"] == "Degraded")
    assert "web.service failed to restart: not done within 2 s" in report["reason"]
    assert agent.command_of("web.service") == "/bin/sleep 1001"
    assert agent.leftovers() == []


def test_a_look_that_systemd_did_not_answer_is_made_up_for(agent: Agent) -> None:
    machine, path = agent.machine, f"{UNITS}/web.service"
    machine.freeze()
    try:
        machine.write(path, sleeper(6666))
        agent.drift(path, "content", SOON)
        machine.wait_until(lambda: "a round failed" in agent.journal())
    finally:
        machine.thaw()
    agent.drift("unit:web.service", "daemon-reload")


def test_a_force_file_is_not_forgotten(agent: Agent) -> None:
    machine = agent.machine
    machine.freeze()
    try:
        machine.write(FORCE_FILE, "")
        agent.until(lambda report: "systemd did not answer" in report["reason"])
        assert not machine.path(FORCE_FILE).exists()
    finally:
        machine.thaw()
    machine.wait_for_boot(2)
    agent.until_done()


def test_drift_is_reported_while_an_action_waits_for_a_unit(agent: Agent) -> None:
    machine = agent.machine
    agent.stop()
    agent.start("--apply-unit-timeout", "60s")
    release = "ExecStartPre=/bin/sh -c 'touch /run/begun; until test -e /run/go; do sleep 0.05; done'"
    agent.files(file("/etc/app.conf", "ours\n"), file("/etc/new.conf", "new\n"))
    agent.units({"name": "web.service", "enabled": True, "contents": sleeper(1002, release)})
    machine.wait_until(machine.path("/run/begun").exists)
    for path in ("/etc/app.conf", "/etc/new.conf"):
        machine.write(path, "tampered\n")
        agent.drift(path, "content", SOON)
    report = agent.status()
    assert report["state"] == "Working"
    assert report["reason"] == f"applying {report['desired']}"
    machine.write("/run/go", "")
    agent.until(lambda report: report["state"] == "Degraded" and report["reason"].startswith("drift: "))
    assert agent.command_of("web.service") == "/bin/sleep 1002"
