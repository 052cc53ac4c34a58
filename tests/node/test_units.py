"""Units on a real systemd: enablement, masks, presets, dropins and actions are what systemd itself says they are."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.node.agent import UNITS, Agent, action, file, restarts, sleeper
from tests.node.machine import Machine


@pytest.fixture(scope="module")
def booted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Agent]:
    with Machine(tmp_path_factory.mktemp("units")) as machine:
        machine.write("/usr/lib/systemd/system/vendor.service", sleeper(2000))
        machine.write("/usr/lib/systemd/system/vendor@.service", sleeper(2001))
        machine.run("systemctl", "daemon-reload")
        yield Agent(machine)


@pytest.fixture
def agent(booted: Agent) -> Iterator[Agent]:
    """The agent on a machine to which nothing is applied, before and after."""
    yield booted
    booted.systemctl("stop", "web.service", "vendor.service", check=False)
    booted.empty()


def links(agent: Agent) -> set[str]:
    """Everything in the administrator's unit directory."""
    top = agent.machine.path(UNITS)
    return {str(path.relative_to(top)) for path in Path(top).rglob("*")}


def test_enabled_and_disabled_are_what_systemd_says(agent: Agent) -> None:
    before = links(agent)
    agent.units(
        {"name": "web.service", "enabled": True, "contents": sleeper()},
        {"name": "off.service", "enabled": False, "contents": sleeper()},
    )
    agent.apply()
    assert agent.enabled("web.service") == "enabled"
    assert agent.enabled("off.service") == "disabled"
    assert agent.show("web.service", "NeedDaemonReload") == "no"
    agent.empty()
    assert agent.show("web.service", "LoadState") == "not-found"
    assert links(agent) == before


def test_a_vendor_unit_gets_back_the_enablement_that_it_had(agent: Agent) -> None:
    agent.systemctl("enable", "vendor.service")
    before = links(agent)
    agent.units(
        {
            "name": "vendor.service",
            "enabled": False,
            "dropins": [{"name": "10-env.conf", "contents": "[Service]\nEnvironment=OURS=1\n"}],
        }
    )
    agent.apply()
    assert agent.enabled("vendor.service") == "disabled"
    assert agent.show("vendor.service", "Environment") == "OURS=1"
    agent.empty()
    assert agent.enabled("vendor.service") == "enabled"
    assert agent.show("vendor.service", "Environment") == ""
    assert links(agent) == before
    agent.systemctl("disable", "vendor.service")


def test_a_restart_runs_the_new_text_and_a_reload_keeps_the_process(agent: Agent) -> None:
    reloads = ("ExecReload=/bin/touch /run/reloaded",)
    on_file = {"path": "/etc/web.conf", "actions": [action("Reload", "web.service")]}
    agent.policy(restarts("web.service") | {"files": [on_file]})
    agent.units({"name": "web.service", "enabled": True, "contents": sleeper(1001, *reloads)})
    agent.apply()
    first = agent.show("web.service", "MainPID")
    agent.units({"name": "web.service", "enabled": True, "contents": sleeper(1002, *reloads)})
    agent.apply()
    second = agent.show("web.service", "MainPID")
    assert second != first
    assert agent.command_of("web.service") == "/bin/sleep 1002"

    agent.files(file("/etc/web.conf", "new\n"))
    agent.apply()
    assert agent.machine.path("/run/reloaded").exists()
    assert agent.show("web.service", "MainPID") == second


def test_without_a_policy_a_unit_waits_for_a_reboot(agent: Agent) -> None:
    agent.units({"name": "web.service", "enabled": True, "contents": sleeper()})
    assert "; reboot the node (web.service) is pending" in agent.apply()
    assert agent.enabled("web.service") == "enabled"
    assert agent.show("web.service", "ActiveState") == "inactive"
    assert "pending since" in agent("status", code=3).stdout


def test_a_mask_holds_until_it_is_taken_back(agent: Agent) -> None:
    agent.units({"name": "vendor.service", "mask": True})
    agent.apply()
    assert agent.enabled("vendor.service") == "masked"
    assert "masked" in agent.machine.run("systemctl", "start", "vendor.service", check=False).stderr
    agent.units({"name": "vendor.service", "mask": False})
    agent.apply()
    assert agent.enabled("vendor.service") == "disabled"
    agent.systemctl("start", "vendor.service")


def test_a_mask_of_somebody_else_is_lifted_and_given_back(agent: Agent) -> None:
    agent.systemctl("mask", "vendor.service")
    agent.units({"name": "vendor.service", "mask": False})
    agent.apply()
    assert agent.enabled("vendor.service") == "disabled"
    agent.empty()
    assert agent.enabled("vendor.service") == "masked"
    agent.systemctl("unmask", "vendor.service")


def test_presets_decide_where_nothing_is_declared(agent: Agent) -> None:
    preset = "enable yes.service\ndisable no.service\nenable many@.service one two\n"
    agent.machine.write("/etc/systemd/system-preset/10-test.preset", preset)
    try:
        agent.units(*({"name": name, "contents": sleeper()} for name in ("yes.service", "no.service", "many@.service")))
        agent.apply()
        states = {name: agent.enabled(name) for name in ("yes.service", "no.service", "many@one.service")}
        assert states == {"yes.service": "enabled", "no.service": "disabled", "many@one.service": "enabled"}
        assert agent.enabled("many@three.service") == "disabled"
    finally:
        agent.machine.path("/etc/systemd/system-preset/10-test.preset").unlink()


def test_an_instance_of_a_template_is_enabled_alone(agent: Agent) -> None:
    agent.units({"name": "vendor@one.service", "enabled": True})
    agent.apply()
    assert agent.enabled("vendor@one.service") == "enabled"
    assert agent.enabled("vendor@two.service") == "disabled"
    assert agent.show("multi-user.target", "Wants").split().count("vendor@one.service") == 1


def test_a_dropin_is_in_effect_at_once(agent: Agent) -> None:
    agent.policy(restarts("vendor.service"))
    agent.units(
        {
            "name": "vendor.service",
            "dropins": [{"name": "10-run.conf", "contents": "[Service]\nExecStart=\nExecStart=/bin/sleep 3003\n"}],
        }
    )
    agent.apply()
    assert agent.command_of("vendor.service") == "/bin/sleep 3003"
    agent.units({"name": "vendor.service", "dropins": []}, name="50-units")
    agent.apply()
    assert agent.command_of("vendor.service") == "/bin/sleep 2000"


def test_a_unit_that_goes_or_is_masked_is_stopped_where_its_policy_would_restart_it(agent: Agent) -> None:
    agent.policy(restarts("web.service", "vendor.service", "other.service"))
    agent.units({"name": "web.service", "enabled": True, "contents": sleeper()})
    agent.apply()
    assert agent.show("web.service", "ActiveState") == "active"
    agent.units({"name": "other.service", "contents": sleeper()})
    agent.apply()
    assert agent.show("web.service", "ActiveState") == "inactive"
    assert agent.show("web.service", "LoadState") == "not-found"
    agent.systemctl("start", "vendor.service")
    agent.units({"name": "vendor.service", "mask": True})
    agent.apply()
    assert agent.show("vendor.service", "ActiveState") == "inactive"
    agent.units({"name": "vendor.service", "contents": sleeper(1005)})
    agent.apply()
    assert agent.command_of("vendor.service") == "/bin/sleep 1005"
    agent.units({"name": "other.service", "contents": sleeper()})
    agent.apply()
    assert agent.command_of("vendor.service") == "/bin/sleep 2000", "the package's unit runs again"
