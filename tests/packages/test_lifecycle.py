"""The packages on a node: installed, started, upgraded with their state, removed without what they manage."""

from __future__ import annotations

import json

from tests.node.agent import STATE, file
from tests.packages.build import Release
from tests.packages.installed import Installed

Releases = tuple[Release, Release]


def _running_version(node: Installed) -> str:
    document = json.loads(node.machine.read("/run/nodeagent/status.json"))
    return str(document["version"])


def test_it_comes_ready_and_is_begun_with_by_the_administrator(node: Installed, built: Releases) -> None:
    node.install(built[0])
    assert node("--version").stdout == f"nodeagent {built[0].version}\n"
    assert node.enabled("nodeagent-recover.service") == "enabled"
    assert node.enabled("nodeagent.service") == "disabled"
    assert node.systemctl("is-active", "nodeagent.service", check=False) == "inactive"
    assert node.machine.run("id", "-u", "nodeagent").stdout.strip().isdigit()
    assert node.machine.path("/run/nodeagent").is_dir()
    assert node.machine.run("nodeagent", "config", "show").stdout


def test_the_service_does_its_work_within_its_bounds(node: Installed, built: Releases) -> None:
    node.install(built[0])
    node.files(file("/etc/app.conf", "one\n"))
    node.systemctl("enable", "--now", "nodeagent.service")
    node.until_done()
    assert node.machine.read("/etc/app.conf") == "one\n"
    pid = node.show("nodeagent.service", "MainPID")
    assert node.machine.read(f"/proc/{pid}/cmdline").startswith(
        "/usr/lib/nodeagent/bin/python\0-I\0/usr/bin/nodeagent\0"
    )
    node.machine.run("sh", "-c", "echo tampered >/etc/app.conf; sleep 2")  # so long the kernel's word can be read up on
    assert "sh" in {writer["command"] for writer in node.drift("/etc/app.conf", "content")["writers"]}
    node.machine.write("/etc/app.conf", "one\n")
    node.no_drift()
    node.units({"name": "sleeper.service", "enabled": True, "contents": "[Service]\nExecStart=/bin/sleep 1000\n"})
    node.machine.wait_until(lambda: node.show("sleeper.service", "LoadState") == "loaded", 30.0)
    assert "defect" not in node.journal()
    assert "Traceback" not in node.journal()


def test_an_upgrade_keeps_state_settings_and_what_is_managed(node: Installed, built: Releases) -> None:
    older, newer = built
    node.install(older)
    node.files(file("/etc/app.conf", "one\n"))
    node.machine.write("/etc/nodeagent/nodeagent.toml", '[log]\nlevel = "debug"\n')
    node.systemctl("enable", "--now", "nodeagent.service")
    config = node.until_done()["config"]
    before, pid = node.machine.read(f"{STATE}/applied.json"), node.show("nodeagent.service", "MainPID")
    assert _running_version(node) == older.version

    node.install(newer)
    node.machine.wait_until(lambda: node.show("nodeagent.service", "MainPID") not in ("0", pid), 30.0)
    node.machine.wait_until(lambda: _running_version(node) == newer.version, 30.0)
    assert node.until_done()["config"] == config
    assert node.machine.read(f"{STATE}/applied.json") == before
    assert node.machine.read("/etc/nodeagent/nodeagent.toml") == '[log]\nlevel = "debug"\n'
    assert node.enabled("nodeagent.service") == "enabled"
    node.machine.write("/etc/app.conf", "tampered\n")
    node.drift("/etc/app.conf", "content")


def test_an_upgrade_does_not_start_what_was_not_running(node: Installed, built: Releases) -> None:
    older, newer = built
    node.install(older)
    node.install(newer)
    assert node.enabled("nodeagent.service") == "disabled"
    assert node.systemctl("is-active", "nodeagent.service", check=False) == "inactive"


def test_removal_leaves_what_is_managed_and_the_way_back(node: Installed, built: Releases) -> None:
    clean = node.traces()
    node.machine.write("/etc/app.conf", "mine\n")
    node.install(built[0])
    node.files(file("/etc/app.conf", "one\n"))
    node.systemctl("enable", "--now", "nodeagent.service")
    node.until_done()
    node.remove()
    assert node.systemctl("is-active", "nodeagent.service", check=False) == "inactive"
    assert node.machine.read("/etc/app.conf") == "one\n"
    left = {
        path for path in node.traces() - clean if not path.startswith(("/var/lib/dpkg", f"{STATE}", "/etc/nodeagent"))
    }
    assert left == set()
    assert (node.machine.path(STATE) / "applied.json").exists()

    node.install(built[1])
    assert json.loads(node("history", "-o", "json").stdout)["current"] == 1
    node("rollback", "0")
    assert node.machine.read("/etc/app.conf") == "mine\n"
