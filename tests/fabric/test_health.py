"""Health moves the VIP: the track file, its heartbeat, and the guard that takes over from a dead agent."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from nodeagent.host.livez import HealthServer
from nodeagent.host.trackfile import DRAIN, HANDOVER, HEARTBEAT, TRACK, TrackFile
from nodeagent.vip.health import FAULT, LIVE, READY, rules
from nodeagent.vip.monitor import Looks, looks_at
from tests.capabilities import require
from tests.fabric.agent import agent
from tests.fabric.apiserver import api_server
from tests.fabric.network import Router, config, others, until

_GUARD = os.path.join(os.path.dirname(__file__), "../../nodeagent/vip/vip-guard")


def _looks(server: HealthServer) -> Looks:
    paths = {LIVE: "/livez?exclude=etcd", READY: "/readyz"}
    return looks_at({name: partial(server.complaint, path) for name, path in paths.items()})


def _now() -> int:
    return int(time.clock_gettime(time.CLOCK_BOOTTIME))


def _guard(directory: Path, port: int) -> str:
    """What the track file says after the guard has run."""
    url = f"https://127.0.0.1:{port}/livez?exclude=etcd"
    subprocess.run([_GUARD, str(directory), url], check=True, timeout=10)
    track = directory / TRACK
    return track.read_text() if track.exists() else ""


@pytest.mark.parametrize("value", [FAULT, -60])
def test_the_track_file_moves_the_vip_and_brings_it_back(pair: list[Router], value: int) -> None:
    first, second = pair
    first.start(config(first, others(first, pair), priority=150))
    second.start(config(second, others(second, pair), priority=100))
    until(first.holds, "the first router holds the VIP")
    track = TrackFile(first.path("/run/nodeagent"))
    track.write(value)
    until(lambda: second.holds() and not first.holds(), "the VIP has moved")
    track.write(0)
    until(lambda: first.holds() and not second.holds(), "the VIP is back")


def test_a_track_file_that_is_given_up_keeps_nobody_from_the_vip(pair: list[Router]) -> None:
    first, second = pair
    first.start(config(first, others(first, pair), priority=150))
    second.start(config(second, others(second, pair), priority=100))
    until(first.holds, "the first router holds the VIP")
    track = TrackFile(first.path("/run/nodeagent"))
    track.write(-60)
    until(lambda: second.holds() and not first.holds(), "the VIP has moved")
    track.give_up()
    until(lambda: first.holds() and not second.holds(), "the VIP is back")
    assert track.left() == ()


def test_a_sick_api_server_moves_the_vip_and_a_well_one_brings_it_back(pair: list[Router]) -> None:
    first, second = pair
    with (
        api_server() as server,
        closing(HealthServer("127.0.0.1", server.port, 1.0)) as asked,
        agent(first, rules({READY: 20}, 2, 4), _looks(asked)),
    ):
        first.start(config(first, others(first, pair), priority=150))
        second.start(config(second, others(second, pair), priority=100))
        until(lambda: first.holds() and not second.holds(), "the first router holds the VIP")
        server.status = 500
        until(lambda: second.holds() and not first.holds(), "the VIP has moved")
        server.status = 200
        until(lambda: first.holds() and not second.holds(), "the VIP is back")


@pytest.mark.parametrize(("status", "complaint"), [(200, ""), (403, ""), (500, "answers 500")])
def test_a_live_server_is_told_from_a_sick_one(status: int, complaint: str) -> None:
    with api_server() as server:
        server.status = status
        with closing(HealthServer("127.0.0.1", server.port, 2.0)) as asked:
            for _ in range(2):  # the second time on the connection of the first
                assert asked.complaint("/livez?exclude=etcd") == complaint
        assert server.asked == ["/livez?exclude=etcd"] * 2


def test_a_server_that_hangs_or_is_gone_is_told_within_the_deadline() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        began = time.monotonic()
        assert HealthServer("127.0.0.1", port, 0.2).complaint("/livez") == "no answer within 0.2 s"
        assert time.monotonic() - began < 1.0
    assert HealthServer("127.0.0.1", port, 0.2).complaint("/livez") == "Connection refused"


def test_a_fresh_heartbeat_keeps_the_guard_quiet(tmp_path: Path) -> None:
    TrackFile(str(tmp_path)).write(-60)
    with api_server() as server:
        assert _guard(tmp_path, server.port) == "-60\n"
        assert server.asked == []


@pytest.mark.parametrize("beat", [None, "", "garbage", "-1", "1", "99999999999"])
def test_a_stale_fault_does_not_pin_a_healthy_node(tmp_path: Path, beat: str | None) -> None:
    require("curl")
    TrackFile(str(tmp_path)).write(FAULT)
    (tmp_path / HEARTBEAT).unlink() if beat is None else (tmp_path / HEARTBEAT).write_text(beat)
    with api_server() as server:
        assert _guard(tmp_path, server.port) == "0\n"


def test_a_stale_zero_does_not_keep_a_broken_node_in_the_election(tmp_path: Path) -> None:
    require("curl")
    TrackFile(str(tmp_path)).write(0)
    (tmp_path / HEARTBEAT).write_text(f"{_now() - 7}\n")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    assert _guard(tmp_path, port) == f"{FAULT}\n"


@pytest.mark.parametrize("name", [DRAIN, HANDOVER])
def test_the_guard_heeds_planned_work_as_the_agent_does(tmp_path: Path, name: str) -> None:
    require("curl")
    TrackFile(str(tmp_path), name).begin_drain(-253)
    with api_server() as server:
        assert _guard(tmp_path, server.port) == "-253\n"
        TrackFile(str(tmp_path), name).end_drain()
        assert _guard(tmp_path, server.port) == "0\n"


def test_the_guard_of_a_node_without_an_api_server_decides_nothing(tmp_path: Path) -> None:
    subprocess.run([_GUARD, str(tmp_path), "none"], check=True, timeout=10)
    assert (tmp_path / TRACK).read_text() == "0\n"


def test_the_agent_takes_the_track_file_back_from_the_guard(tmp_path: Path) -> None:
    track = TrackFile(str(tmp_path))
    track.write(0)
    (tmp_path / TRACK).write_text(f"{FAULT}\n")
    track.write(0)
    assert (tmp_path / TRACK).read_text() == "0\n"
    assert abs(int((tmp_path / HEARTBEAT).read_text()) - _now()) <= 1


def test_keepalived_runs_the_guard_and_a_dead_agent_stops_counting(pair: list[Router]) -> None:
    """The agent died while it said FAULT, and nothing listens where the API server was: the guard says the same."""
    require("curl")
    first, second = pair
    url = "https://127.0.0.1:1/livez"
    command = f"{os.path.abspath(_GUARD)} /run/nodeagent {url}"
    script = f'vrrp_script guard {{\n script "{command}"\n interval 1\n weight -1\n user root\n}}\n'
    first.start(script + config(first, others(first, pair), priority=150, extra="track_script { guard }"))
    second.start(config(second, others(second, pair), priority=100))
    until(second.holds, "the guard has found that nobody cares for the first router")
    TrackFile(first.path("/run/nodeagent")).write(0)
    until(lambda: first.holds() and not second.holds(), "an agent that lives brings the VIP back")
