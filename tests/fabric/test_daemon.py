"""The daemon beside real keepalived: what it writes, what it says, and how it comes through what hurts."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing

import pytest

from nodeagent.host.notifyfifo import NotifyFifo
from nodeagent.host.trackfile import HEARTBEAT, TRACK
from nodeagent.observed.vrrp import VrrpState
from tests.fabric.agents import agents_config, codes, daemon, eventually, said, state, text
from tests.fabric.network import DEADLINE, NOBODY, VIP, Router, config, others, until


@pytest.fixture
def elected(pair: list[Router]) -> Iterator[tuple[Router, Router]]:
    """A pair with a daemon on each."""
    first, second = pair
    first.start(agents_config(first, others(first, pair), 150))
    second.start(agents_config(second, others(second, pair), 100))
    with daemon(first), daemon(second):
        eventually(first, lambda: state(first) == "MASTER", "the first is MASTER")
        eventually(second, lambda: state(second) == "BACKUP", "the second is BACKUP")
        yield first, second


def _family(pid: int) -> list[int]:
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        return [pid, *map(int, file.read().split())]


def _main(router: Router) -> int:
    return router.processes[-1].pid


def _beats(router: Router) -> None:
    """The number is written, and its heartbeat again and again."""
    heard = set[str]()

    def often() -> bool:
        heard.add(text(router, HEARTBEAT))
        return len(heard - {""}) > 2

    eventually(router, often, "the heart beats")
    assert text(router, TRACK) == "0\n"


def test_a_healthy_pair_is_well_and_its_number_is_fresh(elected: tuple[Router, Router]) -> None:
    master, backup = elected
    for router in elected:
        _beats(router)
    eventually(master, lambda: said(master)["state"] == "Done", "all is well")
    eventually(backup, lambda: said(backup)["state"] == "Done", "all is well")
    (instance,) = said(master)["instances"]
    assert instance["held"] == [VIP]
    assert instance["mac"] == master.mac


def test_a_move_is_known_on_both_sides(elected: tuple[Router, Router]) -> None:
    first, second = elected
    first.run(sys.executable, "-m", "nodeagent", "vip", "drain", "--force")
    eventually(second, lambda: state(second) == "MASTER", "the second knows that it is MASTER")
    eventually(first, lambda: said(first)["cause"] == "Drained", "the first says that it is drained")
    first.run(sys.executable, "-m", "nodeagent", "vip", "resume")
    eventually(first, lambda: state(first) == "MASTER" and said(first)["state"] == "Done", "all is as before")


def test_a_killed_keepalived_a_stale_address_and_a_restart(elected: tuple[Router, Router]) -> None:
    first, second = elected
    family = _family(_main(first))
    for pid in family:
        os.kill(pid, signal.SIGKILL)
    first.processes[-1].wait(DEADLINE)
    until(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in family), "nothing of it is left")
    eventually(first, lambda: {"KeepalivedNotRunning", "VIPWithoutMaster"} <= codes(first), "the stale address is told")
    eventually(second, lambda: "DuplicateOwner" in codes(second), "the other owner is told")
    first.start(agents_config(first, [second.address], 150))
    eventually(first, lambda: state(first) == "MASTER" and not codes(first), "the new keepalived is followed")


def test_a_hung_keepalived_is_told_and_so_is_that_it_goes_on(elected: tuple[Router, Router]) -> None:
    first, _ = elected
    for pid in _family(_main(first)):
        os.kill(pid, signal.SIGSTOP)
    eventually(first, lambda: "KeepalivedHung" in codes(first), "it hangs")
    for pid in _family(_main(first)):
        os.kill(pid, signal.SIGCONT)
    eventually(first, lambda: not codes(first), "it goes on")


def test_a_link_that_is_down_and_comes_back(elected: tuple[Router, Router]) -> None:
    first, _ = elected
    first.run("ip", "link", "set", "eth0", "down")
    eventually(first, lambda: "InstanceFault" in codes(first), "the fault is told")
    first.run("ip", "link", "set", "eth0", "up")
    eventually(first, lambda: state(first) == "MASTER" and not codes(first), "it is MASTER again")


def _fifo(router: Router) -> int:
    """The FIFO's inode, 0 while there is none: a reload unlinks it first."""
    try:
        return os.stat(router.path("/run/nodeagent/vrrp.fifo")).st_ino
    except FileNotFoundError:
        return 0


def test_the_fifo_is_followed_over_reloads(elected: tuple[Router, Router]) -> None:
    first, second = elected
    inode = _fifo(first)
    os.kill(_main(first), signal.SIGHUP)
    eventually(first, lambda: _fifo(first) not in {0, inode}, "it is made anew")
    second.run(sys.executable, "-m", "nodeagent", "vip", "drain", "--force")
    eventually(first, lambda: state(first) == "MASTER", "it is MASTER still")
    second.run(sys.executable, "-m", "nodeagent", "vip", "resume")
    first.run(sys.executable, "-m", "nodeagent", "vip", "drain", "--force")
    eventually(first, lambda: state(first) in ("BACKUP", "FAULT"), "the transition is heard")


def test_a_fifo_of_somebody_else_keeps_its_lines_and_moves_are_known_all_the_same(pair: list[Router]) -> None:
    first, second = pair
    first.start(config(first, [second.address], priority=150))
    second.start(config(second, [first.address], priority=100))
    with daemon(first), daemon(second), closing(NotifyFifo(first.path("/run/keepalived/vrrp.fifo"))) as theirs:
        eventually(first, lambda: state(first) == "MASTER", "the first is MASTER")
        first.run(sys.executable, "-m", "nodeagent", "vip", "drain", "--force")
        eventually(first, lambda: state(first) == "FAULT", "the first knows that it is not")
        eventually(second, lambda: state(second) == "MASTER", "the second knows that it is MASTER")
        heard = [each.state for each in theirs.transitions(0, 7.0)]
        assert [each for each in heard if each is not VrrpState.BACKUP] == [VrrpState.MASTER, VrrpState.FAULT]


def test_a_bad_file_that_keepalived_does_not_take_is_told(elected: tuple[Router, Router]) -> None:
    first, second = elected
    first.write("/etc/keepalived/keepalived.conf", agents_config(first, [second.address], 42))
    eventually(first, lambda: "ConfigurationNotLoaded" in codes(first), "what runs is not what stands there")


def test_a_reload_that_ends_keepalived_is_told_and_so_is_that_it_was_mended(elected: tuple[Router, Router]) -> None:
    """A VRID out of range is a permanent error to keepalived 2.2: it ends, and leaves the address."""
    first, second = elected
    good = agents_config(first, [second.address], 150)
    bad = "vrrp_instance BAD {\n interface eth0\n virtual_router_id 444\n virtual_ipaddress { 10.77.0.200/24 }\n}\n"
    first.write("/etc/keepalived/keepalived.conf", good + bad)
    os.kill(_main(first), signal.SIGHUP)
    told = {"ConfigurationProblem", "KeepalivedNotRunning", "VIPWithoutMaster"}
    eventually(first, lambda: told <= codes(first), "the line, the end and the address are told")
    until(second.holds, "the second has taken over")
    first.start(good)
    eventually(first, lambda: not codes(first) and state(first) == "MASTER", "all is well again")


def test_who_took_the_address_away_is_named(elected: tuple[Router, Router]) -> None:
    """A program that stays, as networkd does: the kernel tells its number with the change."""
    first, _ = elected
    program = (
        "import socket, struct, sys, time\n"
        "link = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)\n"
        f"address = socket.inet_aton('{VIP}')\n"
        "body = struct.pack('=BBBBI', 2, 24, 0, 0, socket.if_nametoindex('eth0'))\n"
        "body += struct.pack('=HH4s', 8, 2, address)\n"
        "link.bind((0, 0))\n"
        "link.sendto(struct.pack('=IHHII', 16 + len(body), 21, 5, 1, 0) + body, (0, 0))\n"
        "time.sleep(60)\n"
    )
    process = subprocess.Popen(first.inside(sys.executable, "-c", program))
    try:
        eventually(first, lambda: "VIPDropped" in codes(first), "it is told")
        (found,) = [each for each in said(first)["findings"] if each["code"] == "VIPDropped"]
        assert f"(process {process.pid})" in found["message"]
    finally:
        process.kill()
        process.wait(DEADLINE)


def test_without_keepalived_the_job_is_off_until_there_is_one(router: Router) -> None:
    with daemon(router):
        eventually(router, lambda: said(router).get("cause") == "NoKeepalived", "it says so")
        time.sleep(1.0)
        assert text(router, TRACK) == ""
        router.start(agents_config(router, [NOBODY], 100))
        _beats(router)
        eventually(router, lambda: state(router) == "MASTER", "it is on")


def test_an_agent_that_is_killed_leaves_the_vip_where_it_is_and_comes_back(elected: tuple[Router, Router]) -> None:
    first, _ = elected
    _beats(first)
    first.run("pkill", "-KILL", "--ns", str(first.pid), "--nslist", "net", "-f", "nodeagent run")
    assert first.holds()
    beat = text(first, HEARTBEAT)
    with daemon(first):
        eventually(first, lambda: text(first, HEARTBEAT) not in ("", beat), "the new one has taken over")
        assert first.holds()
        assert text(first, TRACK) == "0\n"
