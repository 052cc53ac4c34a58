"""What the drift policy says is done on a live node: put right with its unit, left alone, or given up to a person."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.node.agent import UNITS, Agent, file, restarts, sleeper
from tests.node.machine import Machine

APP = "/etc/app.conf"
POLICY = f"{APP}=remediate,/etc/noise.conf=ignore,{UNITS}/*=remediate,/run/systemd/*=remediate"
FIGHTER = f"while :; do if grep -q ours {APP}; then echo mine >{APP}; fi; sleep 0.01; done"


@pytest.fixture(scope="module")
def followed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Agent]:
    with Machine(tmp_path_factory.mktemp("policy")) as machine:
        machine.write("/usr/lib/systemd/system/vendor.service", sleeper(2000))
        agent = Agent(machine)
        agent.policy(restarts("web.service", "vendor.service"))
        agent.units(
            {"name": "web.service", "enabled": True, "contents": sleeper(1001)},
            {"name": "vendor.service", "dropins": [{"name": "10-x.conf", "contents": "[Service]\nNice=1\n"}]},
            {"name": "rebooting.service", "enabled": True, "contents": sleeper(3001)},
        )
        agent.files(file(APP, "ours\n"), file("/etc/noise.conf", "quiet\n"), file("/etc/other.conf", "ours\n"))
        agent.apply()
        machine.cut_power()  # a reboot was pending, for rebooting.service
        machine.wait_for_boot(2)
        agent.start("--drift-policy", POLICY)
        agent.until_done()
        yield agent


@pytest.fixture
def agent(followed: Agent) -> Iterator[Agent]:
    """The node must be as it was applied after each test, and must not have been rebooted."""
    yield followed
    followed.until(lambda report: report["state"] == "Done" and not report["drift"])
    assert followed.machine.reboot_count == 1


def put_right(agent: Agent, path: str) -> None:
    """Wait until the daemon has told that it put `path` right."""
    told = f'"drift put right", "path": "{path}"'
    agent.machine.wait_until(lambda: told in agent.journal(), 10.0)


def test_a_file_is_put_right(agent: Agent) -> None:
    agent.machine.write(APP, "tampered\n")
    agent.machine.wait_until(lambda: agent.machine.read(APP) == "ours\n", 5.0)
    put_right(agent, APP)


def test_a_unit_is_put_right_and_restarted(agent: Agent) -> None:
    before = agent.show("web.service", "MainPID")
    agent.machine.write(f"{UNITS}/web.service", sleeper(6666))
    agent.machine.wait_until(lambda: agent.show("web.service", "MainPID") not in (before, "0"), 10.0)
    put_right(agent, f"{UNITS}/web.service")
    assert agent.command_of("web.service") == "/bin/sleep 1001"
    assert agent.show("web.service", "NeedDaemonReload") == "no"


def test_a_unit_whose_policy_is_a_reboot_is_put_right_without_one(agent: Agent) -> None:
    agent.machine.write(f"{UNITS}/rebooting.service", sleeper(6666))
    agent.machine.wait_until(lambda: agent.machine.read(f"{UNITS}/rebooting.service") == sleeper(3001), 5.0)
    agent.no_drift()
    assert agent.status()["pending"] is None


@pytest.mark.parametrize(
    ("command", "unit", "state"),
    [
        ("disable", "web.service", "enabled"),
        ("mask", "vendor.service", "disabled"),
        ("mask --runtime", "vendor.service", "disabled"),
    ],
)
def test_enablement_is_put_right(agent: Agent, command: str, unit: str, state: str) -> None:
    agent.systemctl(*command.split(), unit)
    agent.machine.wait_until(lambda: agent.enabled(unit) == state, 10.0)


def test_a_dropin_of_somebody_else_is_taken_away(agent: Agent) -> None:
    path = f"{UNITS}/vendor.service.d/override.conf"
    agent.machine.write(path, "[Service]\nNice=5\n")
    agent.systemctl("daemon-reload", check=False)
    agent.machine.wait_until(lambda: agent.show("vendor.service", "Nice") == "1", 10.0)
    assert not agent.machine.path(path).exists()


def test_what_is_ignored_is_shown_and_bothers_nobody(agent: Agent) -> None:
    agent.machine.write("/etc/noise.conf", "loud\n")
    assert agent.drift("/etc/noise.conf", "content")["response"] == "ignore"
    assert agent.status()["state"] == "Done"
    agent.machine.write("/etc/noise.conf", "quiet\n")


def test_what_cannot_be_put_right_is_told_and_left_to_a_person(agent: Agent) -> None:
    agent.machine.run("sh", "-c", f"rm {APP} && mkdir {APP}")
    report = agent.until(lambda report: "cannot be put right" in report["reason"])
    assert f"a directory stands at {APP}" in report["reason"]
    assert report["state"] == "Degraded"
    agent.machine.run("rmdir", APP)
    agent.apply()


def test_a_fight_ends_in_an_alert(agent: Agent) -> None:
    fighter = agent.machine.spawn("systemd-run", "--unit=fighter", "--collect", "sh", "-c", FIGHTER)
    assert fighter.wait(10.0) == 0
    report = agent.until(lambda report: report["state"] == "Degraded")
    assert APP in report["reason"]
    rounds = agent.journal().count("drift put right")
    agent.machine.write("/etc/other.conf", "tampered\n")
    agent.drift("/etc/other.conf", "content", 5.0)
    assert agent.journal().count("drift put right") == rounds, "it goes on fighting"
    assert agent.machine.read(APP) == "mine\n"
    agent.systemctl("stop", "fighter.service")
    agent.apply()
