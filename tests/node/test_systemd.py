"""The adapter of systemd on a real one: what starts runs, what fails is named, what hangs freezes nobody."""

from __future__ import annotations

import itertools
import json
import signal
import textwrap
import threading
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from nodeagent.changes.units import DaemonReload, RestartUnit
from nodeagent.errors import Broken, Transient
from nodeagent.host.systemd import Systemd
from tests.node.machine import Machine


@pytest.fixture
def systemd(machine: Machine) -> Systemd:
    """The machine's systemd, reached from outside over its system bus."""
    return Systemd(deadline=20.0, settle=0.5, run=str(machine.root / "run"))


def install(machine: Machine, name: str, text: str) -> None:
    machine.write(f"/etc/systemd/system/{name}", textwrap.dedent(text))


def service(machine: Machine, name: str, lines: str) -> None:
    install(machine, name, f"[Service]\n{lines}\n")
    machine.run("systemctl", "daemon-reload")


def inside(machine: Machine, code: str) -> list[Any]:
    """Run `code` inside the machine with `systemd` at hand: the list `said` that it filled."""
    script = f"""
import json
from nodeagent.errors import NodeAgentError
from nodeagent.host.systemd import Systemd
systemd, said = Systemd(deadline=10.0), []
{textwrap.dedent(code)}
print(json.dumps(said))
"""
    said: list[Any] = json.loads(machine.python("-c", script).stdout)
    return said


def test_restart_runs_a_new_process_with_the_new_text(machine: Machine, systemd: Systemd) -> None:
    service(machine, "web.service", "ExecStart=/bin/sleep 1001")
    systemd.start("web.service")
    before = machine.run("systemctl", "show", "--value", "-p", "MainPID", "web.service").stdout
    install(machine, "web.service", "[Service]\nExecStart=/bin/sleep 1002\n")
    systemd.carry_out([DaemonReload(), RestartUnit("web.service")])
    after = machine.run("systemctl", "show", "--value", "-p", "MainPID", "web.service").stdout
    assert after != before
    assert "1002" in machine.read(f"/proc/{after.strip()}/cmdline")


def test_reload_runs_the_reload_command_in_place(machine: Machine, systemd: Systemd) -> None:
    service(machine, "web.service", "ExecStart=/bin/sleep infinity\nExecReload=/bin/touch /run/reloaded")
    systemd.start("web.service")
    systemd.reload("web.service")
    assert machine.path("/run/reloaded").exists()


def test_a_failed_reload_is_told(machine: Machine, systemd: Systemd) -> None:
    service(machine, "web.service", "ExecStart=/bin/sleep infinity\nExecReload=/bin/false")
    systemd.start("web.service")
    with pytest.raises(Broken, match=r"web\.service failed to reload: its job ended as failed, it is active"):
        systemd.reload("web.service")


@pytest.mark.parametrize(
    ("lines", "cause"),
    [
        ("ExecStart=/nonexistent", r"exited with status 203 \(EXEC\), it is failed"),
        ("User=nobody-such\nExecStart=/bin/true", r"exited with status 217 \(USER\)"),
        ("Type=oneshot\nExecStart=/bin/sh -c 'exit 7'", r"exited with status 7, it is failed"),
        ("Type=oneshot\nExecStart=/bin/sh -c 'kill -SEGV $$$$'", r"killed by SIGSEGV"),
        (
            "ExecStart=/bin/false\nRestart=always\nRestartSec=50ms",
            r"exited with status 1|it ended and was started again",
        ),
        ("Type=notify\nExecStart=/bin/true", r"result protocol"),
        ("Type=notify\nTimeoutStartSec=300ms\nExecStart=/bin/sleep infinity", r"result timeout"),
    ],
)
def test_a_service_that_does_not_come_up_is_told_with_its_cause(
    machine: Machine, systemd: Systemd, lines: str, cause: str
) -> None:
    service(machine, "bad.service", lines)
    with pytest.raises(Broken, match=rf"bad\.service failed to restart: .*(?:{cause}).*journalctl -u bad\.service"):
        systemd.restart("bad.service")


def test_a_failed_dependency_is_told(machine: Machine, systemd: Systemd) -> None:
    service(machine, "base.service", "Type=oneshot\nExecStart=/bin/false")
    install(
        machine,
        "web.service",
        """\
        [Unit]
        Requires=base.service
        After=base.service
        [Service]
        ExecStart=/bin/sleep infinity
        """,
    )
    systemd.daemon_reload()
    with pytest.raises(Broken, match=r"web\.service failed to restart: a unit that it needs did not start"):
        systemd.restart("web.service")


def test_an_unmet_condition_is_no_failure(machine: Machine, systemd: Systemd) -> None:
    install(machine, "web.service", "[Unit]\nConditionPathExists=/nope\n[Service]\nExecStart=/bin/false\n")
    systemd.daemon_reload()
    systemd.restart("web.service")
    assert systemd.states(["web.service"])["web.service"].active == "inactive"


def test_units_of_other_types_are_told_as_well(machine: Machine, systemd: Systemd) -> None:
    install(machine, "tick.timer", "[Timer]\nOnActiveSec=1h\nUnit=tick.service\n")
    install(machine, "tick.service", "[Service]\nExecStart=/bin/true\n")
    install(machine, "mnt-x.mount", "[Mount]\nWhat=/nonexistent\nWhere=/mnt/x\nType=ext4\n")
    install(machine, "shell@.service", "[Service]\nExecStart=/bin/sleep infinity\n")
    systemd.carry_out([DaemonReload(), RestartUnit("tick.timer"), RestartUnit("shell@one.service")])
    with pytest.raises(Broken, match=r"mnt-x\.mount failed to restart: its job ended as failed"):
        systemd.restart("mnt-x.mount")
    states = systemd.states(["tick.timer", "shell@.service", "shell@one.service", "multi-user.target"])
    assert {name: (state.load, state.active) for name, state in states.items()} == {
        "tick.timer": ("loaded", "active"),
        "shell@.service": ("stub", "inactive"),
        "shell@one.service": ("loaded", "active"),
        "multi-user.target": ("loaded", "active"),
    }


def test_a_crash_of_last_week_is_no_failure_of_a_start(machine: Machine, systemd: Systemd) -> None:
    service(machine, "web.service", "ExecStart=/bin/sleep infinity\nRestart=always\nRestartSec=10ms")
    systemd.start("web.service")
    machine.run("systemctl", "kill", "--signal=KILL", "web.service")
    restarts = ("systemctl", "show", "--value", "-p", "NRestarts", "web.service")
    machine.wait_until(lambda: machine.run(*restarts).stdout.strip() == "1")
    systemd.start("web.service")


def test_a_unit_file_that_systemd_cannot_read_is_bad(machine: Machine, systemd: Systemd) -> None:
    machine.path("/etc/systemd/system/loop.service").symlink_to("loop.service")
    systemd.daemon_reload()
    assert systemd.states(["loop.service"])["loop.service"].file == "bad"


def test_without_dbus_daemon_the_private_socket_answers(machine: Machine) -> None:
    service(machine, "web.service", "ExecStart=/bin/sleep infinity")
    machine.run("systemctl", "stop", "dbus.socket", "dbus.service")
    code = """
    systemd.restart("web.service")
    systemd.daemon_reload()
    said.append(systemd.states(["web.service"])["web.service"].active)
    """
    assert inside(machine, code) == ["active"]


def test_a_dbus_daemon_that_hangs_is_passed_by(machine: Machine) -> None:
    process = machine.run("systemctl", "show", "--value", "-p", "MainPID", "dbus.service").stdout.strip()
    machine.run("kill", "-STOP", process)
    assert inside(machine, 'said.append(systemd.states(["dbus.service"])["dbus.service"].active)') == ["active"]


def test_the_bus_itself_can_be_restarted(machine: Machine) -> None:
    code = """
    systemd.restart("dbus.service")
    said.append(systemd.states(["dbus.service"])["dbus.service"].active)
    """
    assert inside(machine, code) == ["active"]


def test_without_root_the_agent_is_told_what_to_do(machine: Machine) -> None:
    service(machine, "web.service", "ExecStart=/bin/sleep infinity")
    code = """
    import os
    os.setgid(65534)
    os.setuid(65534)
    try:
        systemd.restart("web.service")
    except NodeAgentError as error:
        said.append([type(error).__name__, str(error)])
    """
    ((kind, words),) = inside(machine, code)
    assert kind == "Broken"
    assert "root" in words


def test_a_frozen_pid_1_stops_the_call_and_no_thread(machine: Machine) -> None:
    systemd = Systemd(deadline=1.0, run=str(machine.root / "run"))
    beats: list[float] = []
    done = threading.Event()

    def beat() -> None:
        while not done.wait(0.01):
            beats.append(time.monotonic())

    heart = threading.Thread(target=beat)
    machine.freeze()
    began = time.monotonic()
    heart.start()
    try:
        with pytest.raises(Transient, match="systemd did not answer within 1 s"):
            systemd.daemon_reload()
    finally:
        ended = time.monotonic()
        done.set()
        heart.join()
        machine.thaw()
    assert ended - began < 5.0
    assert max(later - sooner for sooner, later in itertools.pairwise(beats)) < 1.0
    assert not [child for child in psutil.Process().children() if "systemd_child" in " ".join(child.cmdline())]
    systemd.daemon_reload()


def test_reboot_ends_in_a_new_boot(machine: Machine, systemd: Systemd) -> None:
    service(
        machine,
        "note.service",
        "Type=oneshot\nRemainAfterExit=yes\nExecStart=/bin/true\nExecStop=/bin/touch /stopped",
    )
    systemd.start("note.service")
    before = machine.boot_id
    systemd.reboot()
    machine.wait_for_boot(2)
    assert machine.boot_id != before
    assert machine.read("/proc/sys/kernel/random/boot_id").strip() == machine.boot_id
    assert machine.path("/stopped").exists(), "the reboot did not stop units in order"
    assert Systemd(run=str(machine.root / "run")).running()


def test_power_cut_ends_in_a_new_boot_with_the_same_disk(machine: Machine) -> None:
    machine.write("/etc/kept", "yes")
    machine.cut_power()
    machine.wait_for_boot(2)
    assert machine.read("/etc/kept") == "yes"
    assert machine.reboot_count == 1


def test_a_machine_leaves_nothing_behind(tmp_path: Path) -> None:
    mounts = Path("/proc/self/mounts").read_text()
    with Machine(tmp_path) as machine:
        process = psutil.Process(machine.pid)
        assert process.name() == "systemd"
        name = machine.name
    process.wait(10.0)
    assert Path("/proc/self/mounts").read_text() == mounts
    assert [path.name for path in tmp_path.iterdir()] == [f"{name}.log"]
    assert not list(Path("/sys/fs/cgroup").glob(f"**/{name}"))


def test_a_machine_dies_with_its_test(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    try:
        with machine:
            process = psutil.Process(machine.pid)
            machine._supervisor.send_signal(signal.SIGKILL)
            process.wait(10.0)
    finally:
        machine.destroy()


def test_the_machine_has_the_checkout_and_nothing_of_the_host(machine: Machine) -> None:
    said = machine.python("-c", "import nodeagent, pystemd; print(nodeagent.__file__)").stdout
    assert said.strip() == str(Path(__file__).resolve().parents[2] / "nodeagent/__init__.py")
    assert not list(machine.path("/var/log").rglob("dpkg.log"))
    assert machine.run("touch", said.strip(), check=False).returncode != 0


def test_states_of_many_units_cost_one_process(systemd: Systemd, machine: Machine) -> None:
    names = [f"many-{number}.service" for number in range(50)]
    for name in names:
        install(machine, name, "[Service]\nExecStart=/bin/true\n")
    systemd.daemon_reload()
    assert {state.load for state in systemd.states(names).values()} == {"loaded"}
