"""Applying on a real node: what is declared stands there, what goes gives back what was, what fails is undone."""

from __future__ import annotations

import os
import stat

import pytest

from tests.node.agent import UNITS, Agent, file, restarts, sleeper
from tests.node.machine import Machine


@pytest.fixture
def agent(machine: Machine) -> Agent:
    return Agent(machine)


def mode_of(machine: Machine, path: str) -> int:
    return stat.S_IMODE(machine.path(path).lstat().st_mode)


def test_files_directories_and_links_come_and_go(agent: Agent) -> None:
    machine = agent.machine
    machine.write("/etc/chrony.conf", "vendor\n", 0o640)
    agent.declare(
        "50-worker",
        storage={
            "files": [file("/etc/chrony.conf", "ours\n", mode=0o600), file("/etc/new/deep.conf", "deep\n")],
            "directories": [{"path": "/var/lib/ours", "mode": 0o750}],
            "links": [{"path": "/etc/chrony.link", "target": "/etc/chrony.conf"}],
        },
    )
    agent.apply()
    assert (machine.read("/etc/chrony.conf"), mode_of(machine, "/etc/chrony.conf")) == ("ours\n", 0o600)
    assert machine.read("/etc/new/deep.conf") == "deep\n"
    assert mode_of(machine, "/var/lib/ours") == 0o750
    assert os.readlink(machine.path("/etc/chrony.link")) == "/etc/chrony.conf"
    agent("verify")

    agent.empty()
    assert (machine.read("/etc/chrony.conf"), mode_of(machine, "/etc/chrony.conf")) == ("vendor\n", 0o640)
    left = [path for path in ("/etc/new", "/var/lib/ours", "/etc/chrony.link") if os.path.lexists(machine.path(path))]
    assert left == []
    assert agent.leftovers() == []


def broken_update(agent: Agent, lines: str) -> str:
    """Apply a good version of web.service, then one whose service has `lines`: what was said of that."""
    agent.policy(restarts("web.service"))
    agent.units({"name": "web.service", "enabled": True, "contents": sleeper(1001)})
    agent.files(file("/etc/web.conf", "good\n"))
    agent.apply()
    text = f"[Service]\n{lines}\n[Install]\nWantedBy=multi-user.target\nRequiredBy=graphical.target\n"
    agent.units({"name": "web.service", "enabled": True, "contents": text})
    agent.files(file("/etc/web.conf", "bad\n"), file("/etc/brand-new.conf", "bad\n"))
    return agent.apply(code=1)


@pytest.mark.parametrize(
    ("lines", "cause"),
    [
        ("ExecStart=/bin/false", "result exit-code, exited with status 1"),
        ("ExecStart=/nonexistent/binary", "exited with status 203 (EXEC)"),
        ("Type=oneshot\nExecStart=/bin/sh -c 'kill -SEGV $$$$'", "killed by SIGSEGV"),
    ],
)
def test_a_unit_that_does_not_come_up_takes_everything_back(agent: Agent, lines: str, cause: str) -> None:
    machine = agent.machine
    said = broken_update(agent, lines)
    assert "web.service failed to restart" in said
    assert cause in said
    assert "everything is as it was before" in said
    assert "Traceback" not in said
    assert machine.read("/etc/web.conf") == "good\n"
    assert machine.read(f"{UNITS}/web.service") == sleeper(1001)
    assert not machine.path("/etc/brand-new.conf").exists()
    assert not machine.path(f"{UNITS}/graphical.target.requires").exists()
    assert agent.command_of("web.service") == "/bin/sleep 1001"
    assert agent.show("web.service", "NeedDaemonReload") == "no"
    assert agent.leftovers() == []
    agent("verify")


def test_a_new_unit_that_does_not_come_up_leaves_no_trace(agent: Agent) -> None:
    agent.policy(restarts("other.service", "web.service"))
    agent.units(
        {"name": "other.service", "contents": sleeper(), "enabled": False},
        {"name": "web.service", "contents": "[Service]\nExecStart=/bin/false\n", "enabled": False},
    )
    agent.apply(code=1)
    assert agent.show("web.service", "LoadState") == "not-found"
    assert agent.show("other.service", "ActiveState") == "inactive"
    assert agent.show("other.service", "LoadState") == "not-found"
    assert agent.systemctl("list-units", "--failed", "--plain", "--no-legend") == "", "systemd still calls it failed"
    assert agent.leftovers() == []
