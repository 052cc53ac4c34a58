"""Drift of a live node: each kind is found within moments, with the process that caused it, and survives restarts."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.capabilities import require
from tests.node.agent import STATE, UNITS, Agent, Spec, file, restarts, sleeper
from tests.node.machine import Machine

SOON = 5.0  # seconds; the daemon's own sweep comes after a minute, so what shows this soon was woken for
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHVsdGltYXRlbHktbm90LWEtcmVhbC1rZXktYXQtYWxs admin@example.com"
FOREIGN = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGFub3RoZXIta2V5LXRoYXQtaXMtbm90LXJlYWwtYXRhbGw= mallory@example.com"
HOME = "/home/boot"
APP = "/etc/app.conf"
KEYS = f"{HOME}/.ssh/authorized_keys"
CAPABILITY = "bytes.fromhex('0100000200200000000000000000000000000000')"  # cap_net_raw+ep: capabilities(7)


def add_user(machine: Machine) -> None:
    machine.write("/etc/passwd", machine.read("/etc/passwd") + f"boot:x:4242:4242::{HOME}:/bin/sh\n")
    machine.write("/etc/shadow", machine.read("/etc/shadow") + "boot:!:19000:0:99999:7:::\n", 0o640)
    machine.write("/etc/group", machine.read("/etc/group") + "boot:x:4242:\n")
    machine.run("install", "-d", "-o", "4242", "-g", "4242", HOME)


def declare(agent: Agent, *files: Spec) -> None:
    """A bit of everything, with `files` beside it."""
    dropin = {"name": "10-x.conf", "contents": "[Service]\nNice=1\n"}
    agent.declare(
        "50-worker",
        storage={
            "files": [file(APP, "ours\n", mode=0o644), *files],
            "links": [{"path": "/etc/app.link", "target": APP}],
        },
        systemd={
            "units": [
                {"name": "web.service", "enabled": True, "contents": sleeper(1001)},
                {"name": "off.service", "enabled": False, "contents": sleeper()},
                {"name": "vendor.service", "dropins": [dropin]},
            ]
        },
        passwd={"users": [{"name": "boot", "sshAuthorizedKeys": [KEY], "passwordHash": "$6$salt$hash"}]},
    )


@pytest.fixture(scope="module")
def followed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Agent]:
    """A daemon that follows a bit of everything; one file was declared once and is no more."""
    with Machine(tmp_path_factory.mktemp("drift")) as machine:
        add_user(machine)
        machine.write("/usr/lib/systemd/system/vendor.service", sleeper(2000))
        agent = Agent(machine)
        agent.policy(restarts("web.service", "off.service", "vendor.service"))
        declare(agent, file("/etc/stale.conf", "stale\n"))
        agent.apply()
        declare(agent)
        agent.start()
        agent.until_done()
        yield agent


@pytest.fixture
def agent(followed: Agent) -> Agent:
    """The daemon, after whatever an earlier test has left was put right."""
    if followed.status()["state"] != "Done":
        followed.apply("--force")
        followed.until_done()
    return followed


def shell(agent: Agent, script: str) -> None:
    agent.machine.run("sh", "-c", script)


@dataclass(frozen=True)
class Tampering:
    """What somebody does to a path, how it shows, and what undoes it."""

    path: str
    kind: str
    actual: str
    act: str
    undo: str


CASES = {
    "content": Tampering(APP, "content", "sha256", "echo evil >>{path}", "echo ours >{path}"),
    "mode": Tampering(APP, "mode", "0600", "chmod 600 {path}", "chmod 644 {path}"),
    "owner": Tampering(APP, "owner", "4242", "chown boot {path}", "chown root {path}"),
    "attributes": Tampering(
        APP,
        "attributes",
        "security.capability",
        f"python3 -c \"import os; os.setxattr('{{path}}', 'security.capability', {CAPABILITY})\"",
        "python3 -c \"import os; os.removexattr('{path}', 'security.capability')\"",
    ),
    "type": Tampering(
        APP,
        "type",
        "directory",
        "mv {path} /etc/aside && mkdir {path}",
        "rmdir {path} && mv /etc/aside {path}",
    ),
    "target": Tampering("/etc/app.link", "target", "passwd", "ln -sfn /etc/passwd {path}", f"ln -sfn {APP} {{path}}"),
    "missing": Tampering(APP, "missing", "absent", "mv {path} /etc/aside", "mv /etc/aside {path}"),
    "resurrected": Tampering("/etc/stale.conf", "resurrected", "file", "echo back >{path}", "rm {path}"),
    "unit file": Tampering(
        f"{UNITS}/web.service",
        "content",
        "sha256",
        "sed -i s/1001/1002/ {path}; systemctl daemon-reload",
        "sed -i s/1002/1001/ {path}; systemctl daemon-reload",
    ),
    "disable": Tampering(
        f"{UNITS}/multi-user.target.wants/web.service",
        "enablement",
        "absent",
        "systemctl disable web.service",
        "systemctl enable web.service",
    ),
    "mask": Tampering(
        f"{UNITS}/vendor.service",
        "mask",
        "/dev/null",
        "systemctl mask vendor.service",
        "systemctl unmask vendor.service",
    ),
    "runtime mask": Tampering(
        "/run/systemd/system/vendor.service",
        "mask",
        "/dev/null",
        "systemctl mask --runtime vendor.service",
        "systemctl unmask --runtime vendor.service",
    ),
    "enabled for another target": Tampering(
        f"{UNITS}/rescue.target.wants/off.service",
        "enablement",
        "off.service",
        "systemctl add-wants rescue.target off.service",
        f"rm -r {UNITS}/rescue.target.wants; systemctl daemon-reload",
    ),
    "enabled beside others": Tampering(
        f"{UNITS}/multi-user.target.wants/off.service",
        "enablement",
        "off.service",
        "systemctl enable off.service",
        "systemctl disable off.service",
    ),
    "dropin": Tampering(
        f"{UNITS}/vendor.service.d/override.conf",
        "dropin",
        "vendor.service",
        "echo '[Service]' >{path}; systemctl daemon-reload",
        "rm {path}; systemctl daemon-reload",
    ),
    "runtime dropin": Tampering(
        "/run/systemd/system/vendor.service.d/50-nice.conf",
        "dropin",
        "vendor.service",
        "mkdir -p $(dirname {path}); echo '[Service]' >{path}; systemctl daemon-reload",
        "rm -r $(dirname {path}); systemctl daemon-reload",
    ),
    "foreign key": Tampering(
        KEYS, "ssh-keys", "mallory@example.com", f"echo '{FOREIGN}' >>{{path}}", "sed -i /mallory/d {path}"
    ),
    "removed key": Tampering(KEYS, "ssh-keys", "without", "sed -i s/^ssh/#ssh/ {path}", "sed -i s/^#ssh/ssh/ {path}"),
    "password": Tampering(
        "/etc/shadow", "password", "another", "sed -i s/salt/pepper/ {path}", "sed -i s/pepper/salt/ {path}"
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_each_kind_is_found_and_its_end_too(agent: Agent, case: Tampering) -> None:
    shell(agent, case.act.format(path=case.path))
    try:
        found = agent.drift(case.path, case.kind, SOON)
        assert case.actual in found["finding"]["actual"]
        assert found["response"] == "alert"
        assert agent.until(lambda report: report["state"] == "Degraded")["reason"].startswith("drift: ")
    finally:
        shell(agent, case.undo.format(path=case.path))
    agent.until(lambda report: not report["drift"] and report["state"] == "Done", SOON)


def test_unit_files_that_systemd_has_not_read_are_told(agent: Agent) -> None:
    path = f"{UNITS}/vendor.service.d/override.conf"
    shell(agent, f"echo '[Service]' >{path}")
    assert "since systemd read" in agent.drift("unit:vendor.service", "daemon-reload", SOON)["finding"]["actual"]
    shell(agent, "systemctl daemon-reload")
    agent.until(lambda report: {each["finding"]["kind"] for each in report["drift"]} == {"dropin"}, SOON)
    shell(agent, f"rm {path}; systemctl daemon-reload")
    agent.until(lambda report: not report["drift"], SOON)


def test_the_writer_is_named_with_program_and_unit(agent: Agent) -> None:
    require("fanotify")
    script = "import time; open('/etc/app.conf', 'a').write('x'); time.sleep(30)"
    agent.machine.spawn("systemd-run", "--unit=culprit", sys.executable, "-c", script)
    found = agent.drift("/etc/app.conf", "content", SOON)
    writer = found["writers"][-1]
    assert writer["pid"] == int(agent.show("culprit.service", "MainPID"))
    assert writer["unit"] == "culprit.service"
    assert writer["executable"].startswith(sys.base_prefix)
    assert "/etc/app.conf" in writer["command_line"]
    assert writer["user"] == "root"
    assert "culprit.service" in agent("status", code=3).stdout
    assert "culprit.service" in agent("verify", code=3).stdout

    agent.systemctl("restart", "nodeagent.service")
    assert agent.drift("/etc/app.conf", "content")["writers"][-1] == writer, "it did not survive a restart"
    agent.systemctl("stop", "culprit.service")
    agent.machine.write("/etc/app.conf", "ours\n")
    agent.no_drift()


def test_what_changed_while_the_daemon_was_down_is_found_and_nobody_is_blamed(agent: Agent) -> None:
    agent.stop()
    agent.machine.write("/etc/app.conf", "offline\n")
    agent.systemctl("start", "nodeagent.service")
    found = agent.drift("/etc/app.conf", "content")
    assert found["writers"] == []
    assert found["unknown"] == "the agent was not watching then"
    agent.machine.write("/etc/app.conf", "ours\n")
    agent.no_drift()


def test_an_alert_keeps_new_configs_away_until_it_is_resolved(agent: Agent) -> None:
    agent.machine.write("/etc/app.conf", "tampered\n")
    agent.drift("/etc/app.conf", "content", SOON)
    agent.files(file("/etc/more.conf", "more\n"))
    agent.until(lambda report: report["desired"] != report["config"])
    assert not agent.machine.path("/etc/more.conf").exists()
    agent.apply()
    agent.until_done()
    assert agent.machine.read("/etc/app.conf") == "ours\n"
    assert agent.machine.read("/etc/more.conf") == "more\n"


def test_nothing_secret_is_in_reports_and_logs(agent: Agent) -> None:
    files = (f"{STATE}/drift.json", "/run/nodeagent/status.json")
    recorded = agent.journal() + "".join(map(agent.machine.read, files))
    assert "$6$salt$hash" not in recorded
    assert "offline" not in recorded
