"""Ports are plugged into a real Open vSwitch database, and only ours are seen and taken away."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from nodeagent.changes.kernel import Make, Remove
from nodeagent.errors import Transient
from nodeagent.observed.kernel import Port
from nodeagent.ovn.switch import Switch
from tests.capabilities import require
from tests.ovn import packages
from tests.ovn.central import Database

PORT = Port("egress-0123456789ab", "eg-0123456789ab", "gw-0.default")


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    """An Open_vSwitch database with the bridge br-int and somebody else's port on it."""
    require("ovn")
    tree = packages.ensured()
    file = tmp_path / "conf.db"
    subprocess.run(tree.command("bin/ovsdb-tool", "create", str(file), tree.schema("vswitch")), check=True, timeout=30)
    remote = f"--remote=punix:{tmp_path / 'ovs.sock'}"
    server = Database(tree, tmp_path, "ovs", "sbin/ovsdb-server", [str(file), remote])
    server.start()
    try:
        _vsctl(server, "init")
        _vsctl(server, "add-br", "br-int")
        _vsctl(server, "add-port", "br-int", "theirs")
        yield server
    finally:
        server.stop()


def _vsctl(database: Database, *arguments: str) -> str:
    command = database.tree.command("bin/ovs-vsctl", f"--db={database.remote}", "--no-wait", "--timeout=20", *arguments)
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=30).stdout


def test_a_port_is_plugged_in_seen_and_taken_out(database: Database) -> None:
    switch = Switch(database.remote, "br-int")
    assert switch.observe([PORT]) == frozenset()
    switch.carry_out(Make(PORT))
    assert switch.observe([PORT]) == {PORT}
    assert _vsctl(database, "list-ports", "br-int").split() == [PORT.peer, "theirs"]
    assert PORT.iface_id in _vsctl(database, "get", "Interface", PORT.peer, "external_ids:iface-id")
    switch.carry_out(Make(PORT))
    assert switch.observe([PORT]) == {PORT}
    switch.carry_out(Remove(PORT))
    switch.carry_out(Remove(PORT))
    assert switch.observe([]) == frozenset()
    assert _vsctl(database, "list-ports", "br-int").split() == ["theirs"]


def test_a_bridge_that_is_not_there_is_told(database: Database) -> None:
    with pytest.raises(Transient, match="bridge br-none is not there"):
        Switch(database.remote, "br-none").carry_out(Make(PORT))
    assert _vsctl(database, "list-ports", "br-int").split() == ["theirs"]


def test_a_switch_that_is_not_there_matters_only_where_a_port_is_wanted(tmp_path: Path) -> None:
    switch = Switch(f"unix:{tmp_path / 'none'}", "br-int")
    assert switch.observe([]) == frozenset()
    with pytest.raises(Transient, match="no Open vSwitch answers"):
        switch.observe([PORT])
