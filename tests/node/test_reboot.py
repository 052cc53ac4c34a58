"""Reboots and power cuts: what was applied is confirmed by the boot that follows, or told to be missing."""

from __future__ import annotations

import signal
import time

import pytest

from tests.node.agent import FORCE_FILE, UNITS, Agent, file, restarts, sleeper
from tests.node.machine import Machine

FETCH = "import urllib.request as r; print(r.urlopen('http://127.0.0.1:9469/metrics', timeout=10).read().decode())"


@pytest.fixture
def agent(machine: Machine) -> Agent:
    agent = Agent(machine)
    agent.files(file("/etc/app.conf", "one\n"))
    return agent


def web(seconds: int) -> dict[str, object]:
    return {"name": "web.service", "enabled": True, "contents": sleeper(seconds)}


def test_the_daemon_reboots_the_node_and_confirms_what_it_booted_with(agent: Agent) -> None:
    agent.start()
    agent.until_done()
    before = agent.machine.boot_id
    agent.units(web(1001))
    agent.machine.wait_for_boot(2)
    report = agent.until_done()
    assert report["pending"] is None
    assert agent.machine.boot_id != before
    assert agent.command_of("web.service") == "/bin/sleep 1001"
    assert agent.machine.reboot_count == 1
    agent("status")


def test_where_it_may_not_reboot_that_stays_pending_for_all_to_see(agent: Agent) -> None:
    agent.start("--no-reboot")
    agent.units(web(1001))
    report = agent.until(lambda report: report["reason"] == "a reboot is pending: web.service")
    assert report["state"] == "Working"
    assert report["pending"]["why"] == "web.service"
    assert "reboot      pending since" in agent("status", code=3).stdout
    assert "nodeagent_reboot_pending 1.0" in agent.machine.python("-c", FETCH).stdout
    assert agent.machine.reboot_count == 0
    agent.systemctl("reboot", check=False)
    agent.machine.wait_for_boot(2)
    assert agent.until_done()["pending"] is None


def test_the_command_reboots_too(agent: Agent) -> None:
    agent.units(web(1001))
    done = agent.machine.python("-m", "nodeagent", "apply", check=False, deadline=120.0)
    assert done.returncode in (0, -signal.SIGTERM), done.stderr  # the shutdown that it asks for may be faster
    agent.machine.wait_for_boot(2)
    assert agent.command_of("web.service") == "/bin/sleep 1001"


def test_a_boot_that_differs_is_not_confirmed_until_it_is_put_right(agent: Agent) -> None:
    agent.units(web(1001))
    agent.apply()
    agent.machine.write("/etc/app.conf", "tampered\n")
    agent.start("--no-reboot")
    agent.machine.cut_power()
    agent.machine.wait_for_boot(2)
    report = agent.until(lambda report: report["state"] == "Degraded")
    assert "/etc/app.conf" in report["reason"]
    assert report["pending"] is not None
    agent.machine.write("/etc/app.conf", "one\n")
    assert agent.until_done()["pending"] is None


def test_the_force_file_applies_again_and_reboots(agent: Agent) -> None:
    agent.start()
    agent.until_done()
    agent.machine.write("/etc/app.conf", "tampered\n")
    agent.drift("/etc/app.conf", "content")
    agent.machine.write(FORCE_FILE, "")
    agent.machine.wait_for_boot(2)
    agent.until_done()
    assert agent.machine.read("/etc/app.conf") == "one\n"
    assert agent.machine.reboot_count == 1


def test_a_power_cut_while_applying_ends_before_or_after(agent: Agent) -> None:
    """Cut at several moments of a large apply, each on the disk that the last one has left."""
    agent.policy(restarts("web.service"))
    agent.start()
    agent.until_done()
    for number, delay in enumerate((0.02, 0.06, 0.1, 0.2), start=2):
        many = [file(f"/etc/many/{each:03}.conf", f"{number}\n" * 500) for each in range(200)]
        agent.files(*many, name="60-many")
        agent.units(web(1000 + number))
        time.sleep(delay)
        agent.machine.cut_power()
        agent.machine.wait_for_boot(number)
        agent.until_done()
        found = {path.read_text() for path in agent.machine.path("/etc/many").iterdir()}
        assert found == {f"{number}\n" * 500}
        assert agent.machine.read(f"{UNITS}/web.service") == sleeper(1000 + number)
        assert agent.command_of("web.service") == f"/bin/sleep {1000 + number}"
        assert agent.leftovers() == []
