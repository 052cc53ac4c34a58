"""Enablement links made from texts alone mean to a real systemd what `systemctl enable` means."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from nodeagent.host.systemd import Systemd
from nodeagent.machineconfig.enablement import UNIT_DIRECTORY, install, template_of
from tests.node.machine import Machine

_UNITS = {
    "plain.service": "WantedBy=multi-user.target",
    "alias.service": "WantedBy=multi-user.target\nAlias=known-as.service",
    "many@.service": "WantedBy=multi-user.target\nDefaultInstance=main",
    "quiet.service": "RequiredBy=plain.service\nWantedBy=nobody.target\nWantedBy=",
}


def _bring(machine: Machine, names: list[str]) -> None:
    for name in names:
        file = template_of(name) or name
        text = f"[Service]\nExecStart=/bin/sleep infinity\n[Install]\n{_UNITS[file]}\n"
        machine.write(f"{UNIT_DIRECTORY}/{file}", text)


def _link(machine: Machine, name: str) -> None:
    file = f"{UNIT_DIRECTORY}/{template_of(name) or name}"
    for link in install(name, machine.read(file), file).links:
        path = machine.path(link.path)
        path.parent.mkdir(exist_ok=True)
        path.symlink_to(link.target)


def _links(machine: Machine) -> dict[str, str]:
    top = machine.path(UNIT_DIRECTORY)
    return {str(path.relative_to(top)): str(path.readlink()) for path in top.rglob("*") if path.is_symlink()}


@pytest.mark.parametrize("name", [*_UNITS, "many@one.service"])
def test_the_links_are_those_of_systemctl(machines: Callable[[], Machine], name: str) -> None:
    ours, theirs = machines(), machines()
    for machine in (ours, theirs):
        _bring(machine, [name])
    _link(ours, name)
    theirs.run("systemctl", "enable", name)
    assert _links(ours) == _links(theirs)


def test_linked_units_are_enabled_and_come_up_with_the_machine(machine: Machine) -> None:
    _bring(machine, list(_UNITS))
    for name in _UNITS:
        _link(machine, name)
    machine.run("systemctl", "reboot")
    machine.wait_for_boot(2)
    names = ["plain.service", "known-as.service", "many@main.service", "quiet.service"]
    states = Systemd(deadline=20.0, run=str(machine.root / "run")).states(names)
    assert {name: (state.active, state.file) for name, state in states.items()} == {
        "plain.service": ("active", "enabled"),
        "known-as.service": ("active", "alias"),
        "many@main.service": ("active", "enabled"),
        "quiet.service": ("active", "enabled"),
    }
