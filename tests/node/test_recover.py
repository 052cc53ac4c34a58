"""The agent in its pod is killed while it swaps the kubelet's own unit: the node boots whole, without the pod."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import pytest
import yaml

from tests.capabilities import require
from tests.node.agent import SOURCE, STATE, UNITS, Agent, file, restarts
from tests.node.machine import CHECKOUT, Machine

_UNIT = "nodeagent-recover.service"
_CONFIG = "/etc/kubelet.conf"
_INSTALL = """
import os
from nodeagent import agent
from nodeagent.agent import recovery
from nodeagent.settings import load
with agent.opened(load(None, os.environ, {})) as place, place.store.locked(0, "daemon.lock"):
    recovery.prepare(place)
"""


def _kubelet(seconds: int) -> str:
    """A service that notes, before it starts, what it is configured with."""
    note = f"ExecStartPre=/bin/cp {_CONFIG} /var/lib/kubelet-saw"
    return f"[Service]\n{note}\nExecStart=/bin/sleep {seconds}\n[Install]\nWantedBy=multi-user.target\n"


def _contained(machine: Machine, *command: str, check: bool = True, before: Sequence[str] = ()) -> int:
    """Run Python with the pod's mounts and capabilities; `before` is a command that starts it. Its exit status."""
    pod = yaml.safe_load((CHECKOUT / "deploy/daemonset.yaml").read_text())["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    granted = (f"+{each.lower()}" for each in container["securityContext"]["capabilities"]["add"])
    bounding = ",".join(["-all", *granted])
    mounts = "mkdir -p /host && mount --rbind / /host && mount -t tmpfs none /run"
    become = [*before, "setpriv", f"--bounding-set={bounding}", sys.executable, *command]
    own_mounts = ["unshare", "--mount", "--propagation", "private"]
    script = ["sh", "-c", f'{mounts} && exec "$@"', "sh"]
    return machine.run(*own_mounts, *script, *become, check=check, NODEAGENT_ROOT="/host").returncode


def _declare(agent: Agent, version: int) -> None:
    agent.files(file(_CONFIG, f"version {version}\n"))
    agent.units({"name": "kubelet.service", "enabled": True, "contents": _kubelet(1000 + version)})


@pytest.fixture
def agent(machine: Machine) -> Agent:
    """A node with a kubelet and with recovery installed by a pod, of which the second version is declared."""
    agent = Agent(machine)
    agent.policy(restarts("kubelet.service"))
    _declare(agent, 1)
    _contained(machine, "-m", "nodeagent", "apply", "--no-reboot", f"/host{SOURCE}")
    _contained(machine, "-c", _INSTALL)
    _declare(agent, 2)
    return agent


def _copies(machine: Machine) -> dict[str, int]:
    """The inode of each copy by its name."""
    return {path.name: path.stat().st_ino for path in machine.path(f"{STATE}/recover").iterdir()}


def _killed(agent: Agent, call: str, number: int) -> None:
    """Apply in the pod and have SIGKILL come with a system call, once the kubelet's unit was swapped."""
    require("strace")
    kill = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={call}"]
    kill += ["-e", f"inject={call}:signal=KILL:when={number}"]
    apply = ["-m", "nodeagent", "apply", "--no-reboot", f"/host{SOURCE}"]
    assert _contained(agent.machine, *apply, check=False, before=kill) != 0
    assert list(agent.machine.path(STATE).glob("journal.*"))
    assert agent.machine.read(f"{UNITS}/kubelet.service") == _kubelet(1002)


def _without_python(machine: Machine) -> None:
    """Keep from recovery every Python but that of its copy."""
    hidden = (f"InaccessiblePaths=/host{path}" for path in {str(CHECKOUT), sys.prefix, sys.base_prefix})
    machine.write(f"{UNITS}/{_UNIT}.d/test.conf", "\n".join(("[Service]", *hidden, "")))


def _boot(machine: Machine) -> str:
    """Reboot by a power cut: what recovery said."""
    machine.cut_power()
    machine.wait_for_boot(2)
    return machine.run("journalctl", "--no-pager", "-o", "cat", "-b", "-u", _UNIT).stdout


def _monotonic(agent: Agent, unit: str, prop: str) -> int:
    return int(agent.show(unit, f"{prop}TimestampMonotonic"))


@pytest.mark.parametrize(
    ("call", "number", "version", "said"),
    [("renameat2", 3, 1, "was undone"), ("fdatasync", 3, 2, "was resumed")],
    ids=["while files are swapped", "before the kubelet restarts"],
)
def test_the_kubelet_starts_with_a_whole_configuration(
    agent: Agent, call: str, number: int, version: int, said: str
) -> None:
    machine = agent.machine
    _killed(agent, call, number)
    _without_python(machine)
    assert said in _boot(machine)
    assert machine.read(_CONFIG) == f"version {version}\n"
    assert machine.read(f"{UNITS}/kubelet.service") == _kubelet(1000 + version)
    assert machine.read("/var/lib/kubelet-saw") == f"version {version}\n"
    assert agent.command_of("kubelet.service") == f"/bin/sleep {1000 + version}"
    assert agent.leftovers() == []
    ended, started = _monotonic(agent, _UNIT, "InactiveEnter"), _monotonic(agent, "kubelet.service", "InactiveExit")
    assert 0 < ended < started
    assert agent.show(_UNIT, "Result") == "success"


def test_the_packaged_unit_does_the_same_on_a_node_of_its_own(machine: Machine) -> None:
    agent = Agent(machine)
    agent.policy(restarts("kubelet.service"))
    _declare(agent, 1)
    agent.apply()
    command = f'#!/bin/sh\nPYTHONPATH={CHECKOUT} exec {sys.executable} -m nodeagent "$@"\n'
    machine.write("/usr/bin/nodeagent", command, mode=0o755)
    machine.copy(CHECKOUT / "packaging/systemd" / _UNIT, f"{UNITS}/{_UNIT}")
    agent.systemctl("enable", _UNIT)
    _declare(agent, 2)
    _killed(agent, "renameat2", 3)
    assert "was undone" in _boot(machine)
    assert machine.read("/var/lib/kubelet-saw") == "version 1\n"
    assert agent.command_of("kubelet.service") == "/bin/sleep 1001"
    assert agent.leftovers() == []


def test_it_does_nothing_at_a_boot_after_which_nothing_is_to_be_done(agent: Agent) -> None:
    _boot(agent.machine)
    assert agent.show(_UNIT, "LoadState") == "loaded"
    assert agent.show(_UNIT, "ConditionResult") == "no"
    assert agent.enabled(_UNIT) == "enabled"


def test_it_is_installed_once(agent: Agent) -> None:
    copies, unit = _copies(agent.machine), agent.machine.path(f"{UNITS}/{_UNIT}").stat().st_ino
    _contained(agent.machine, "-c", _INSTALL)
    assert _copies(agent.machine) == copies
    assert agent.machine.path(f"{UNITS}/{_UNIT}").stat().st_ino == unit
    assert len(copies) == 1


def test_what_was_left_or_damaged_is_put_right(agent: Agent) -> None:
    machine = agent.machine
    before, unit = _copies(machine), machine.read(f"{UNITS}/{_UNIT}")
    machine.path(f"{STATE}/recover/.new/usr").mkdir(parents=True)
    machine.path(f"{STATE}/recover/of-another-image").mkdir()
    machine.write(f"{UNITS}/{_UNIT}", "[Service]\n")
    machine.path(f"{UNITS}/basic.target.wants/{_UNIT}").unlink()
    _contained(machine, "-c", _INSTALL)
    assert _copies(machine) == before
    assert machine.read(f"{UNITS}/{_UNIT}") == unit
    assert agent.enabled(_UNIT) == "enabled"
    assert agent.show(_UNIT, "NeedDaemonReload") == "no"


def test_the_copy_is_roots_alone(agent: Agent) -> None:
    copies = agent.machine.path(f"{STATE}/recover")
    assert all(path.lstat().st_uid == 0 for path in copies.rglob("*"))
    assert all(not path.lstat().st_mode & 0o077 for path in copies.rglob("*") if not path.is_symlink())


def test_uninstall_takes_it_from_the_node_and_leaves_what_is_managed(agent: Agent) -> None:
    machine = agent.machine
    planned = agent("uninstall", code=3).stdout
    assert f"remove {_UNIT}: {UNITS}/{_UNIT}, {UNITS}/basic.target.wants/{_UNIT}, {STATE}/recover" in planned
    agent("uninstall", "--yes")
    assert not machine.path(f"{UNITS}/{_UNIT}").exists()
    assert not machine.path(f"{UNITS}/basic.target.wants/{_UNIT}").is_symlink()
    assert not machine.path(f"{STATE}/recover").exists()
    assert agent.show(_UNIT, "LoadState") == "not-found"
    assert machine.read(_CONFIG) == "version 1\n"
    assert agent("uninstall").stdout == "nothing is left\n"
    machine.write(f"{UNITS}/{_UNIT}", "[Service]\nExecStart=/bin/true\n")
    assert agent("uninstall").stdout == "nothing is left\n", "a unit of somebody else is theirs"
