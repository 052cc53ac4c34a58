"""The daemon beside real keepalived: what it writes, what it says, and how it comes through what hurts."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from nodeagent.host.trackfile import HEARTBEAT, TRACK
from tests.fabric.network import DEADLINE, NOBODY, VIP, Router, config, others, until

_QUIET = ("--metrics-address", "", "--health-address", "")
_SETTINGS = ("--vip-endpoint", "", "--vip-etcd", "", "--vip-probe-interval", "1", "--vip-rise", "2")


@contextmanager
def daemon(router: Router, *settings: str) -> Iterator[subprocess.Popen[bytes]]:
    """`nodeagent run` in a router."""
    command = [sys.executable, "-m", "nodeagent", "run", "--state-dir", "/run/state", "--source", "/run/none"]
    with open(router.path("/run/agent.log"), "ab") as log:
        process = subprocess.Popen(router.inside(*command, *_QUIET, *_SETTINGS, *settings), stdout=log, stderr=log)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(3 * DEADLINE)
        finally:
            process.kill()
            process.wait(DEADLINE)


def _text(router: Router, name: str) -> str:
    try:
        return Path(router.path(f"/run/nodeagent/{name}")).read_text()
    except FileNotFoundError:
        return ""


def _said(router: Router) -> Mapping[str, Any]:
    document = json.loads(_text(router, "status.json") or "{}")
    job: Mapping[str, Any] = document.get("jobs", {}).get("vip", {})
    return job


def _codes(router: Router) -> set[str]:
    return {each["code"] for each in _said(router).get("findings", ())}


def _state(router: Router) -> str:
    return next((str(each["state"]) for each in _said(router).get("instances", ())), "")


def _until(router: Router, met: Callable[[], bool], what: str) -> None:
    try:
        until(met, what, 30.0)
    except AssertionError as error:
        raise AssertionError(f"{error}; it says {_said(router)}\n{_text(router, '../agent.log')[-2000:]}") from error


def _config(router: Router, peers: list[str], priority: int) -> str:
    return config(router, peers, priority=priority).replace("/run/keepalived/vrrp.fifo", "/run/nodeagent/vrrp.fifo")


@pytest.fixture
def elected(pair: list[Router]) -> Iterator[tuple[Router, Router]]:
    """A pair with a daemon on each."""
    first, second = pair
    first.start(_config(first, others(first, pair), 150))
    second.start(_config(second, others(second, pair), 100))
    with daemon(first), daemon(second):
        _until(first, lambda: _state(first) == "MASTER", "the first is MASTER")
        _until(second, lambda: _state(second) == "BACKUP", "the second is BACKUP")
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
        heard.add(_text(router, HEARTBEAT))
        return len(heard - {""}) > 2

    _until(router, often, "the heart beats")
    assert _text(router, TRACK) == "0\n"


def test_a_healthy_pair_is_well_and_its_number_is_fresh(elected: tuple[Router, Router]) -> None:
    master, backup = elected
    for router in elected:
        _beats(router)
    _until(master, lambda: _said(master)["state"] == "Done", "all is well")
    _until(backup, lambda: _said(backup)["state"] == "Done", "all is well")
    (instance,) = _said(master)["instances"]
    assert instance["held"] == [VIP]
    assert instance["mac"] == master.run("cat", "/sys/class/net/eth0/address").strip()


def test_a_move_is_known_on_both_sides(elected: tuple[Router, Router]) -> None:
    first, second = elected
    first.run(sys.executable, "-m", "nodeagent", "vip", "drain", "--force")
    _until(second, lambda: _state(second) == "MASTER", "the second knows that it is MASTER")
    _until(first, lambda: _said(first)["cause"] == "Drained", "the first says that it is drained")
    first.run(sys.executable, "-m", "nodeagent", "vip", "resume")
    _until(first, lambda: _state(first) == "MASTER" and _said(first)["state"] == "Done", "all is as before")


def test_a_killed_keepalived_a_stale_address_and_a_restart(elected: tuple[Router, Router]) -> None:
    first, second = elected
    for pid in _family(_main(first)):
        os.kill(pid, signal.SIGKILL)
    first.processes[-1].wait(DEADLINE)
    _until(first, lambda: {"KeepalivedNotRunning", "VIPWithoutMaster"} <= _codes(first), "the stale address is told")
    _until(second, lambda: "DuplicateOwner" in _codes(second), "the other owner is told")
    first.start(_config(first, [second.address], 150))
    _until(first, lambda: _state(first) == "MASTER" and not _codes(first), "the new keepalived is followed")


def test_a_hung_keepalived_is_told_and_so_is_that_it_goes_on(elected: tuple[Router, Router]) -> None:
    first, _ = elected
    for pid in _family(_main(first)):
        os.kill(pid, signal.SIGSTOP)
    _until(first, lambda: "KeepalivedHung" in _codes(first), "it hangs")
    for pid in _family(_main(first)):
        os.kill(pid, signal.SIGCONT)
    _until(first, lambda: not _codes(first), "it goes on")


def test_a_link_that_is_down_and_comes_back(elected: tuple[Router, Router]) -> None:
    first, _ = elected
    first.run("ip", "link", "set", "eth0", "down")
    _until(first, lambda: "InstanceFault" in _codes(first), "the fault is told")
    first.run("ip", "link", "set", "eth0", "up")
    _until(first, lambda: _state(first) == "MASTER" and not _codes(first), "it is MASTER again")


def test_the_fifo_is_followed_over_reloads(elected: tuple[Router, Router]) -> None:
    first, second = elected
    inode = os.stat(first.path("/run/nodeagent/vrrp.fifo")).st_ino
    os.kill(_main(first), signal.SIGHUP)
    _until(first, lambda: os.stat(first.path("/run/nodeagent/vrrp.fifo")).st_ino != inode, "it is made anew")
    second.run(sys.executable, "-m", "nodeagent", "vip", "drain", "--force")
    _until(first, lambda: _state(first) == "MASTER", "it is MASTER still")
    second.run(sys.executable, "-m", "nodeagent", "vip", "resume")
    first.run(sys.executable, "-m", "nodeagent", "vip", "drain", "--force")
    _until(first, lambda: _state(first) in ("BACKUP", "FAULT"), "the transition is heard")


def test_a_bad_file_that_keepalived_does_not_take_is_told(elected: tuple[Router, Router]) -> None:
    first, second = elected
    first.write("/etc/keepalived/keepalived.conf", _config(first, [second.address], 42))
    _until(first, lambda: "ConfigurationNotLoaded" in _codes(first), "what runs is not what stands there")


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
        _until(first, lambda: "VIPDropped" in _codes(first), "it is told")
        (found,) = [each for each in _said(first)["findings"] if each["code"] == "VIPDropped"]
        assert f"(process {process.pid})" in found["message"]
    finally:
        process.kill()
        process.wait(DEADLINE)


def test_without_keepalived_the_job_is_off_until_there_is_one(router: Router) -> None:
    with daemon(router):
        _until(router, lambda: _said(router).get("cause") == "NoKeepalived", "it says so")
        time.sleep(1.0)
        assert _text(router, TRACK) == ""
        router.start(_config(router, [NOBODY], 100))
        _beats(router)
        _until(router, lambda: _state(router) == "MASTER", "it is on")


def test_an_agent_that_is_killed_leaves_the_vip_where_it_is_and_comes_back(elected: tuple[Router, Router]) -> None:
    first, _ = elected
    _beats(first)
    first.run("pkill", "-KILL", "--ns", str(first.pid), "--nslist", "net", "-f", "nodeagent run")
    assert first.holds()
    beat = _text(first, HEARTBEAT)
    with daemon(first):
        _until(first, lambda: _text(first, HEARTBEAT) not in ("", beat), "the new one has taken over")
        assert first.holds()
        assert _text(first, TRACK) == "0\n"
