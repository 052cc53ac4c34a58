"""`nodeagent vip configure` on a real systemd: keepalived runs, starts at boot, and is given back as it was."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from tests.capabilities import require
from tests.node.agent import UNITS, Agent
from tests.node.machine import Machine

UNIT = "keepalived.service"
CONFIG = "/etc/keepalived/keepalived.conf"
_DROPIN = f"{UNITS}/{UNIT}.d/nodeagent.conf"
_VIP = "10.78.0.100"


@pytest.fixture
def agent(machine: Machine) -> Agent:
    """The agent of a node on a link of its own, with a keepalived that is installed and not set up."""
    require("keepalived")
    found = Agent(machine)
    found.systemctl("disable", "--now", UNIT)
    machine.path(CONFIG).unlink(missing_ok=True)
    _link(machine)
    return found


def _link(machine: Machine) -> None:
    machine.run("ip", "link", "add", "vip0", "type", "veth", "peer", "name", "vip1")
    machine.run("ip", "addr", "add", "10.78.0.1/24", "dev", "vip0")
    for end in ("vip0", "vip1"):
        machine.run("ip", "link", "set", end, "up")


def _configure(agent: Agent, *arguments: str, code: int = 0) -> str:
    given = {"addresses": f"{_VIP}/24", "interface": "vip0", "peers": "10.78.0.2", "source": "10.78.0.1"}
    given |= {"endpoint": ""}
    settings = [word for key, value in given.items() for word in (f"--vip-{key}", value)]
    done = agent("vip", "configure", *settings, *arguments, code=code)
    return done.stdout + done.stderr


def _holds(machine: Machine) -> bool:
    return f" {_VIP}/" in machine.run("ip", "-o", "addr", "show", "dev", "vip0").stdout


def test_keepalived_is_enabled_and_started_as_the_plan_says(agent: Agent) -> None:
    planned = _configure(agent, "--dry-run", code=3)
    assert f"create link {UNITS}/multi-user.target.wants/{UNIT}" in planned
    assert f"restart {UNIT}" in planned
    assert agent.enabled(UNIT) == "disabled"
    _configure(agent)
    assert (agent.enabled(UNIT), agent.show(UNIT, "ActiveState")) == ("enabled", "active")
    assert agent.show(UNIT, "NeedDaemonReload") == "no"
    agent.machine.wait_until(lambda: _holds(agent.machine))
    assert _configure(agent, "--dry-run") == "vip: nothing to do\n"


def test_it_starts_at_boot(agent: Agent) -> None:
    _configure(agent)
    agent.systemctl("reboot")
    agent.machine.wait_for_boot(2)
    assert agent.show(UNIT, "ConditionResult") == "yes"


def test_what_was_stopped_is_started_and_what_was_disabled_enabled_again(agent: Agent) -> None:
    _configure(agent)
    agent.systemctl("disable", "--now", UNIT)
    again = json.loads(_configure(agent, "--dry-run", "-o", "json", code=3))
    assert {"MakeLink", "DaemonReload", "RestartUnit"} <= {change["change"] for change in again["changes"]}
    _configure(agent)
    assert (agent.enabled(UNIT), agent.show(UNIT, "ActiveState")) == ("enabled", "active")


def test_removal_gives_the_enablement_back(agent: Agent) -> None:
    _configure(agent)
    _configure(agent, "--remove")
    assert (agent.enabled(UNIT), agent.show(UNIT, "ActiveState")) == ("disabled", "inactive")
    assert not agent.machine.path(_DROPIN).exists()


def test_what_was_enabled_before_stays_enabled(agent: Agent) -> None:
    agent.systemctl("enable", UNIT)
    link = agent.machine.path(f"{UNITS}/multi-user.target.wants/{UNIT}")
    before = link.readlink()
    assert "multi-user.target.wants" not in _configure(agent, "--dry-run", code=3)
    _configure(agent)
    assert link.readlink() == before
    _configure(agent, "--remove")
    assert agent.enabled(UNIT) == "enabled"


def test_a_start_that_fails_takes_the_enablement_back(agent: Agent) -> None:
    agent.machine.write(f"{UNITS}/{UNIT}.d/broken.conf", "[Service]\nExecStartPre=/bin/false\n")
    agent.systemctl("daemon-reload")
    assert "everything is as it was before" in _configure(agent, "--apply-unit-timeout", "3s", code=1)
    assert agent.enabled(UNIT) == "disabled"
    assert not agent.machine.path(CONFIG).exists()


def _masked(agent: Agent) -> None:
    agent.systemctl("mask", UNIT)


def _disabled_by_config(agent: Agent) -> None:
    agent.units({"name": UNIT, "enabled": False})
    agent.apply()


def _started_by_hand(agent: Agent) -> None:
    text = "vrrp_instance A {\n interface vip0\n virtual_router_id 9\n virtual_ipaddress {\n 10.78.0.9\n }\n}\n"
    agent.machine.write("/run/by-hand.conf", text)
    agent.machine.run("keepalived", "-f", "/run/by-hand.conf")
    agent.machine.wait_until(agent.machine.path("/run/keepalived.pid").exists)


def _without_unit(agent: Agent) -> None:
    for directory in ("lib", "usr/lib"):
        agent.machine.path(f"/{directory}/systemd/system/{UNIT}").unlink(missing_ok=True)


@pytest.mark.parametrize(
    ("arrange", "why"),
    [
        (_masked, f"systemctl unmask {UNIT}"),
        (_disabled_by_config, "is disabled by MachineConfig"),
        (_started_by_hand, "another keepalived runs"),
        (_without_unit, "install keepalived's own"),
    ],
)
def test_what_keeps_the_unit_from_running_is_told_before_anything_is_done(
    agent: Agent, arrange: Callable[[Agent], None], why: str
) -> None:
    arrange(agent)
    assert why in _configure(agent, code=1)
    assert not agent.machine.path(CONFIG).exists()


def test_a_machine_config_that_enables_the_unit_keeps_doing_so(agent: Agent) -> None:
    agent.units({"name": UNIT, "enabled": True})
    agent.apply()
    assert "multi-user.target.wants" not in _configure(agent, "--dry-run", code=3)
    _configure(agent)
    assert agent.apply() == agent.apply()
    assert agent.show(UNIT, "ActiveState") == "active"


@pytest.mark.parametrize(
    "claim",
    [
        {"enabled": False},
        {"enabled": True},
        {"dropins": [{"name": "nodeagent.conf", "contents": "[Service]\nNice=1\n"}]},
    ],
)
def test_a_machine_config_cannot_claim_what_configure_has_set_up(agent: Agent, claim: dict[str, object]) -> None:
    _configure(agent)
    agent.units({"name": UNIT, **claim})
    refused = agent.apply(code=1)
    assert "belongs to nodeagent vip configure" in refused
    assert "50-units" in refused
    assert _configure(agent, "--dry-run") == "vip: nothing to do\n"


def test_adopting_leaves_the_enablement_and_says_that_nothing_starts_it(agent: Agent) -> None:
    agent.machine.write(CONFIG, "vrrp_instance A {\n interface vip0\n virtual_router_id 9\n}\n")
    assert f"does not start at boot; systemctl enable {UNIT}" in _configure(agent, "--adopt")
    assert agent.enabled(UNIT) == "disabled"
    agent.systemctl("enable", UNIT)
    assert "does not start at boot" not in _configure(agent, "--adopt")
