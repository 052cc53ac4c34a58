"""The VIP is handed to a peer before planned work, on real keepalived."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from nodeagent.agent.turn import Turn
from nodeagent.agent.viphandover import PlannedWork
from nodeagent.errors import Transient
from nodeagent.host.trackfile import TrackFile
from nodeagent.host.vrrp import VrrpHost
from nodeagent.settings import Settings
from nodeagent.settings.vip import VipSettings
from nodeagent.vip.handover import VipHandover
from tests.fabric.agent import agent
from tests.fabric.agents import api_server
from tests.fabric.namespace import inside
from tests.fabric.network import NOBODY, Router, config, others, until

_VIP = (sys.executable, "-m", "nodeagent", "vip")
_TRACKED = "/run/nodeagent/vip-health"


def _prepare(
    router: Router, track: TrackFile, *, well: bool = True, force: bool = False, deadline: float = 5.0
) -> None:
    def work() -> None:
        with VrrpHost() as host:
            VipHandover(host, track, _TRACKED, lambda _: well, force=force).prepare("a reboot", deadline)

    inside(router, work)


def _elect(pair: list[Router], extra: str = "") -> None:
    pair[0].start(config(pair[0], others(pair[0], pair), priority=150, extra=extra))
    until(pair[0].holds, "the first router holds the VIP")
    pair[1].start(config(pair[1], others(pair[1], pair), priority=100, extra=extra))


@pytest.mark.parametrize("extra", ["", "nopreempt"])
def test_prepare_returns_once_the_peer_has_the_vip(pair: list[Router], extra: str) -> None:
    first, second = pair
    _elect(pair, extra)
    with agent(first) as track:
        _prepare(first, track)
        assert (first.holds(), second.holds()) == (False, True)
        track.end_drain()
        if not extra:
            until(lambda: first.holds() and not second.holds(), "the VIP comes back where peers preempt")


def test_a_node_without_the_vip_has_nothing_to_wait_for_and_does_not_take_it(pair: list[Router]) -> None:
    first, second = pair
    _elect(pair)
    with agent(second) as track:
        _prepare(second, track, well=False)
        assert track.drained() < 0
        assert first.holds()


def test_nobody_lets_go_while_no_peer_is_well(pair: list[Router]) -> None:
    first = pair[0]
    _elect(pair)
    with agent(first) as track:
        with pytest.raises(Transient, match=r"no peer of VI_1 is seen to be well \(10\.77\.0\.2\)"):
            _prepare(first, track, well=False)
        assert track.drained() == 0
        assert first.holds()


def test_a_peer_that_does_not_take_over_leaves_all_as_it_was(router: Router) -> None:
    router.start(config(router, [NOBODY], priority=150))
    until(router.holds, "the router holds the VIP")
    with agent(router) as track:
        with pytest.raises(Transient, match=r"10\.77\.0\.100 did not move"):
            _prepare(router, track, deadline=1.0)
        assert track.drained() == 0
        assert router.holds()


def test_force_lets_go_even_if_nobody_is_there(router: Router) -> None:
    router.start(config(router, [NOBODY], priority=150))
    until(router.holds, "the router holds the VIP")
    with agent(router) as track:
        _prepare(router, track, well=False, force=True)
        assert not router.holds()


def test_an_instance_that_does_not_track_the_file_is_named(router: Router) -> None:
    router.start(config(router, [NOBODY], priority=150).replace("track_file { health }", ""))
    until(router.holds, "the router holds the VIP")
    with agent(router) as track, pytest.raises(Transient, match="does not track /run/nodeagent/vip-health"):
        _prepare(router, track)


def test_drain_and_resume_as_commands(pair: list[Router]) -> None:
    first, second = pair
    _elect(pair)
    with agent(first):
        refused = subprocess.run(first.inside(*_VIP, "drain"), check=False, capture_output=True, text=True, timeout=20)
        assert refused.returncode == 1
        assert "no peer of VI_1 is seen to be well" in refused.stderr
        first.run(*_VIP, "drain", "--force")
        assert (first.holds(), second.holds()) == (False, True)
        first.run(*_VIP, "resume")
        until(first.holds, "the VIP comes back")


@dataclass
class _Told:
    """Events."""

    reasons: list[str] = field(default_factory=list)

    def record(self, kind: str, reason: str, message: str) -> None:
        del kind, message
        self.reasons.append(reason)


def _planned(router: Router, told: _Told, **vip: object) -> None:
    """As the daemon does it before a reboot."""
    settings = replace(Settings(), vip=replace(VipSettings(), **vip))  # type: ignore[arg-type] # as given
    inside(router, lambda: PlannedWork(settings, Turn(None, "", "", "", ""), told).prepare("a reboot", 20.0))


@pytest.mark.parametrize("obstacle", ["does not track", "names no peers"])
def test_what_cannot_be_handed_over_at_all_stops_no_reboot(router: Router, obstacle: str) -> None:
    text = config(router, [NOBODY], priority=150)
    blind = "track_file { health }" if obstacle == "does not track" else f"unicast_peer {{ {NOBODY}\n }}"
    assert blind in text
    router.start(text.replace(blind, ""))
    until(router.holds, "the router holds the VIP")
    told = _Told()
    with agent(router):
        _planned(router, told)
    assert "VIPNotHandedOver" in told.reasons
    assert router.holds()


def test_a_node_without_keepalived_has_nothing_to_hand_over(router: Router) -> None:
    told = _Told()
    _planned(router, told)
    assert told.reasons == []


def test_planned_work_waits_for_a_peer_that_is_well_and_its_own_drain_ends_with_it(pair: list[Router]) -> None:
    first, second = pair
    _elect(pair)
    told = _Told()
    with agent(first):
        with pytest.raises(Transient, match="no peer of VI_1 is seen to be well"):
            _planned(first, told)
        assert first.holds()
        with api_server(second):
            _planned(first, told)
        assert (first.holds(), second.holds()) == (False, True)
        assert told.reasons == ["VIPHandedOver"]
        first.run(*_VIP, "resume")
        assert not first.holds(), "a command does not end what the agent began"
        Path(first.path("/run/nodeagent/vip-handover")).unlink()
        until(first.holds, "the VIP comes back")


@pytest.mark.parametrize("reachable", [True, False])
def test_without_an_api_server_a_peer_that_answers_on_the_link_is_well(pair: list[Router], reachable: bool) -> None:
    first, second = pair
    _elect(pair)
    with agent(first):
        if reachable:
            _planned(first, _Told(), endpoint=None)
            assert (first.holds(), second.holds()) == (False, True)
        else:
            second.cut()
            with pytest.raises(Transient, match="no peer of VI_1 is seen to be well"):
                _planned(first, _Told(), endpoint=None)
