"""Kernel arguments end to end on a node with Debian's GRUB: drop-in, menu, drift, and the way back."""

from __future__ import annotations

import pytest

from nodeagent.machineconfig import grub
from tests.capabilities import require
from tests.node.agent import Agent
from tests.node.machine import Machine
from tests.node.test_bootloader import DEFAULTS, PROBE

ARGUMENTS = {"shouldExist": ["audit=1"], "shouldNotExist": ["quiet"]}


@pytest.fixture
def agent(machine: Machine) -> Agent:
    """A machine that boots, for all that it knows, by GRUB; nothing leaves its overlay."""
    require("grub-mkconfig", "update-grub")
    machine.write("/boot/vmlinuz-6.1.0-1-amd64", "a kernel")
    machine.write("/boot/initrd.img-6.1.0-1-amd64", "a disk")
    machine.write(grub.MENU, "")
    machine.write(grub.DEFAULTS, DEFAULTS)
    machine.write("/usr/sbin/grub-probe", PROBE, 0o755)
    return Agent(machine)


def menu(machine: Machine) -> tuple[tuple[str, ...], ...]:
    lines = grub.configured(machine.read(grub.MENU).encode())
    assert lines
    return lines


def test_arguments_reach_the_menu_and_leave_it_again(machine: Machine, agent: Agent) -> None:
    agent.declare("70-kernel", kernelArguments=ARGUMENTS)
    assert "reboot the node (kernel arguments) is pending" in agent.apply()
    assert all("audit=1" in line and "quiet" not in line for line in menu(machine))
    assert "kernel arguments" in agent("status", code=3).stdout

    machine.write(grub.MENU, machine.read(grub.MENU).replace("audit=1", ""))
    assert f"{grub.MENU}: kernel-arguments" in agent("verify", code=3).stdout
    agent.apply("--force")
    assert all("audit=1" in line for line in menu(machine))

    agent("rollback", "0", "--no-reboot")
    assert not machine.path(grub.DROPIN).exists()
    assert all("audit=1" not in line and "quiet" in line for line in menu(machine))


def test_arguments_leave_the_menu_even_where_the_drop_in_has_gone_before(machine: Machine, agent: Agent) -> None:
    agent.declare("70-kernel", kernelArguments=ARGUMENTS)
    agent.apply()
    machine.path(grub.DROPIN).unlink()
    assert all("audit=1" in line for line in menu(machine))
    agent("rollback", "0", "--no-reboot")
    assert all("audit=1" not in line and "quiet" in line for line in menu(machine))


def test_a_tool_that_fails_rolls_everything_back(machine: Machine, agent: Agent) -> None:
    machine.write("/usr/sbin/grub-probe", "#!/bin/sh\necho no disk >&2\nexit 1\n", 0o755)
    agent.declare("70-kernel", kernelArguments=ARGUMENTS)
    assert "update-grub failed" in agent.apply(code=1)
    assert not machine.path(grub.DROPIN).exists()
    assert not agent.leftovers()
