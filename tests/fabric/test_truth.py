"""What we believe of the VIP while real keepalived routers fail in the ways that hurt."""

from __future__ import annotations

import os
import signal
import time
from contextlib import closing

import pytest

from nodeagent.host.notifyfifo import NotifyFifo
from nodeagent.host.vrrp import VrrpHost
from nodeagent.observed.vrrp import Transition, VrrpState
from nodeagent.vip.findings import Code, Finding
from nodeagent.vip.observe import observe
from nodeagent.vip.truth import Sight, belief, findings
from tests.fabric.namespace import inside
from tests.fabric.network import NOBODY, VIP, Router, config, others, until


def _sight(router: Router) -> Sight:
    def look() -> Sight:
        with VrrpHost() as host:
            (sight,) = observe(host, time.time(), probe=True)
            return sight

    return inside(router, look)


def _findings(router: Router) -> tuple[Finding, ...]:
    return findings(_sight(router))


def _codes(router: Router) -> set[Code]:
    return {each.code for each in _findings(router)}


def _state(router: Router) -> VrrpState:
    sight = _sight(router)
    return belief(sight.installation.configuration.instances[0], sight).state


def _daemon(router: Router) -> int:
    """The main process: nsenter has become it."""
    return router.processes[0].pid


def _family(pid: int) -> list[int]:
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        return [pid, *map(int, file.read().split())]


@pytest.fixture
def elected(pair: list[Router]) -> tuple[Router, Router]:
    """Master and backup, long enough in office for a contradiction to count."""
    first, second = pair[0], pair[1]
    first.start(config(first, others(first, pair), priority=150))
    second.start(config(second, others(second, pair), priority=100))
    until(lambda: first.holds() and not second.holds(), "the first router holds the VIP")
    time.sleep(1.2)
    return first, second


def test_a_healthy_pair_has_no_findings(elected: tuple[Router, Router]) -> None:
    master, backup = elected
    assert (_state(master), _state(backup)) == (VrrpState.MASTER, VrrpState.BACKUP)
    assert (_findings(master), _findings(backup)) == ((), ())


def test_a_stale_address_after_a_kill_is_seen_on_both_sides(elected: tuple[Router, Router]) -> None:
    master, backup = elected
    for pid in _family(_daemon(master)):
        os.kill(pid, signal.SIGKILL)
    master.processes[0].wait(5)
    until(backup.holds, "the backup has taken over")
    assert _codes(master) == {Code.NOT_RUNNING, Code.VIP_WITHOUT_MASTER, Code.DUPLICATE_OWNER}
    assert _codes(backup) == {Code.DUPLICATE_OWNER}


def test_a_hung_keepalived_is_told_from_a_running_one(elected: tuple[Router, Router]) -> None:
    master, backup = elected
    for pid in _family(_daemon(master)):
        os.kill(pid, signal.SIGSTOP)
    until(backup.holds, "the backup has taken over")
    assert {Code.HUNG, Code.VIP_WITHOUT_MASTER, Code.DUPLICATE_OWNER} == _codes(master)


def test_a_link_that_is_down_is_a_fault(elected: tuple[Router, Router]) -> None:
    master, backup = elected
    master.run("ip", "link", "set", "eth0", "down")
    until(backup.holds, "the backup has taken over")
    assert Code.FAULT in _codes(master)


def test_an_address_that_another_program_left_behind_is_named(elected: tuple[Router, Router]) -> None:
    _, backup = elected
    backup.run("ip", "addr", "add", f"{VIP}/24", "dev", "eth0")
    (stale,) = [each for each in _findings(backup) if each.code is Code.VIP_WITHOUT_MASTER]
    assert stale.subject == VIP
    assert f"ip address del {VIP}/24 dev eth0" in stale.advice


def test_a_file_that_was_not_reloaded_is_told(elected: tuple[Router, Router]) -> None:
    master, _ = elected
    master.write("/etc/keepalived/keepalived.conf", config(master, [NOBODY], priority=42))
    assert _codes(master) == {Code.NOT_LOADED}


def test_two_masters_after_a_partition_see_each_other_once_it_heals(pair: list[Router]) -> None:
    """Two that do not know each other, as unequal peers make them: each is MASTER and has the address."""
    for router in pair:
        router.start(config(router, [NOBODY], priority=100))
    until(lambda: all(router.holds() for router in pair), "both hold the VIP")
    for router in pair:
        assert Code.DUPLICATE_OWNER in _codes(router)


def test_the_fifo_is_read_across_restarts_of_keepalived(router: Router) -> None:
    text = config(router, [NOBODY], priority=100)
    with closing(NotifyFifo(router.path("/run/keepalived/vrrp.fifo"))) as fifo:
        for _ in range(2):
            router.start(text)
            heard: list[Transition] = []

            def mastered(heard: list[Transition] = heard) -> bool:
                heard += fifo.transitions(0.1, 7.0)
                return Transition("VI_1", VrrpState.MASTER, 100, 7.0) in heard

            until(mastered, "the FIFO has told of MASTER")
            os.kill(_daemon(router), signal.SIGTERM)
            router.processes.pop().wait(5)
            stopped = [each.state for each in fifo.transitions(0.5, 8.0)]
            assert stopped == [VrrpState.STOP]
            router.write("/run/keepalived.log", "")


def test_keepalived_tells_both_of_its_fifos(router: Router) -> None:
    """What lets the agent hear beside another program's FIFO without taking its lines."""
    beside = "notify_fifo /run/nodeagent/vrrp.fifo\n  vrrp_notify_fifo"
    router.start(config(router, [NOBODY], priority=100).replace("vrrp_notify_fifo", beside))
    paths = ("/run/keepalived/vrrp.fifo", "/run/nodeagent/vrrp.fifo")
    for path in paths:
        with closing(NotifyFifo(router.path(path))) as fifo:
            heard = _heard_until(fifo, VrrpState.MASTER)
            assert heard[-1] == Transition("VI_1", VrrpState.MASTER, 100, 7.0)


def _heard_until(fifo: NotifyFifo, state: VrrpState) -> list[Transition]:
    heard: list[Transition] = []

    def told() -> bool:
        heard.extend(fifo.transitions(0.1, 7.0))
        return any(each.state is state for each in heard)

    until(told, f"the FIFO has told of {state}")
    return heard
