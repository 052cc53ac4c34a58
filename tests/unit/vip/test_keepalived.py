"""What keepalived leaves in /proc, in its JSON and in its FIFO, in all the forms that are known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from nodeagent.errors import Broken
from nodeagent.host.keepalived import daemons, json_signal
from nodeagent.host.notifyfifo import transition
from nodeagent.host.vrrpdump import decode
from nodeagent.observed.vrrp import Transition, VrrpState

GLIBC, MUSL, NO_JSON = 0x4000000800014A03, 0x4000001000014A03, 0x4000000000014A03

DATA: dict[str, Any] = {
    "iname": "VI_1",
    "ifp_ifname": "eth0",
    "last_transition": 1795412854.93,
    "vrid": 51,
    "base_priority": 150,
    "effective_priority": 90,
    "adver_int": 0.3,
    "nopreempt": False,
    "state": 2,
    "version": 3,
    "vips": ["10.77.0.100/24 dev eth0 scope global set"],
    "evips": ["10.77.0.101/32 dev eth0 scope global set"],
}


def _process(
    proc: Path, pid: int, parent: int = 1, *, arguments: str = "keepalived\0-n", blocked: int = GLIBC, net: int = 1
) -> None:
    directory = proc / str(pid)
    (directory / "ns").mkdir(parents=True)
    (directory / "comm").write_text("keepalived\n")
    (directory / "stat").write_text(f"{pid} (keep) alived) S {parent} " + " ".join(["0"] * 17) + f" {1000 + pid} 0\n")
    (directory / "status").write_text(f"Name:\tkeepalived\nSigBlk:\t{blocked:016x}\n")
    (directory / "cmdline").write_text(arguments + "\0")
    (directory / "cgroup").write_text("0::/system.slice/keepalived.service\n")
    (directory / "ns" / "net").symlink_to(f"net:[{net}]")
    (directory / "cwd").symlink_to("/etc/keepalived")


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    (tmp_path / "thread-self" / "ns").mkdir(parents=True)
    (tmp_path / "thread-self" / "ns" / "net").symlink_to("net:[1]")
    return tmp_path


@pytest.mark.parametrize(("blocked", "number"), [(GLIBC, 36), (MUSL, 37), (NO_JSON, None), (0, None)])
def test_the_signal_for_json_is_read_from_what_the_process_waits_for(
    proc: Path, blocked: int, number: int | None
) -> None:
    _process(proc, 7, blocked=blocked)
    assert json_signal(7, str(proc)) == number


def test_only_main_processes_in_our_network_count(proc: Path) -> None:
    _process(proc, 10)
    _process(proc, 11, parent=10)
    _process(proc, 20, net=2)
    (daemon,) = daemons(str(proc))
    assert (daemon.pid, daemon.started, daemon.unit, daemon.dumps) == (10, 1010, "keepalived.service", True)


@pytest.mark.parametrize(
    ("arguments", "config", "config_id"),
    [
        ("-n\0-l\0-D", "", ""),
        ("-f\0/a/b.conf\0-i\0k1", "/a/b.conf", "k1"),
        ("-f/a/b.conf\0-nlDik1", "/a/b.conf", "k1"),
        ("--use-file=/a/b.conf\0--config-id\0k1\0--dont-fork", "/a/b.conf", "k1"),
        ("-nf\0b.conf", "/etc/keepalived/b.conf", ""),
        ("--of-a-later-version", "", ""),
    ],
)
def test_the_command_line_names_the_configuration(proc: Path, arguments: str, config: str, config_id: str) -> None:
    _process(proc, 10, arguments=f"/usr/sbin/keepalived\0{arguments}")
    (daemon,) = daemons(str(proc))
    assert (daemon.config, daemon.config_id) == (config, config_id)


@pytest.mark.parametrize("document", [[{"data": DATA}], {"json_version": 2, "vrrp": [{"data": DATA}]}])
def test_both_forms_of_json_are_read(document: object) -> None:
    (reported,) = decode(document)
    assert reported.state is VrrpState.MASTER
    assert (reported.base_priority, reported.priority, reported.vips) == (150, 90, ("10.77.0.100", "10.77.0.101"))


@pytest.mark.parametrize(
    "document", [{}, {"vrrp": {}}, "text", [{"data": {}}], [{"data": {**DATA, "vrid": "many"}}], [7]]
)
def test_json_of_another_form_is_refused(document: object) -> None:
    with pytest.raises(Broken, match="a form that is not known"):
        decode(document)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('INSTANCE "VI_1" MASTER 150', ("VI_1", VrrpState.MASTER, 150)),
        ('INSTANCE "with space" BACKUP_PRIORITY 90', ("with space", VrrpState.BACKUP, 90)),
        ('INSTANCE "VI_1" STOP 0', ("VI_1", VrrpState.STOP, 0)),
        ('INSTANCE "VI_1" MASTER_RX_LOWER_PRI 1', ("VI_1", VrrpState.MASTER, 1)),
        ('INSTANCE "VI_1" DELETED 0', ("VI_1", VrrpState.UNKNOWN, 0)),
    ],
)
def test_lines_of_the_fifo(line: str, expected: tuple[str, VrrpState, int]) -> None:
    assert transition(line, 5.0) == Transition(*expected, 5.0)


@pytest.mark.parametrize(
    "line", ["", 'GROUP "G" MASTER 0', 'INSTANCE "VI_1" MASTER', "INSTANCE VI_1 MASTER 1", "INSTANCE"]
)
def test_other_lines_of_the_fifo_are_passed_over(line: str) -> None:
    assert transition(line, 5.0) is None
