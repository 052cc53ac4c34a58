"""The VIP moves under clients that ask a real server behind it every 5 ms."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from nodeagent.observed import nodes
from nodeagent.observed.nodes import NodeView
from nodeagent.vip.fleet import SETTLED, Reason, conflicts
from nodeagent.vip.health import FAULT
from tests.capabilities import require
from tests.fabric.agents import agents_config, api_server, codes, daemon, eventually, said, state, text
from tests.fabric.load import Load, load
from tests.fabric.network import DEADLINE, VIP, Router, network, others, until

_PORT = 6443
_INTERVAL = 0.005
_VIP = (sys.executable, "-m", "nodeagent", "vip")
Answers = list[Callable[[int], None]]


@pytest.fixture(params=["", "nopreempt"])
def triple(request: pytest.FixtureRequest) -> Iterator[tuple[list[Router], Answers, Router]]:
    """Three routers with a server and a daemon each, the first of them MASTER; what the servers answer; a client."""
    require("root", "keepalived", "ip", "nsenter")
    with network(4) as routers, ExitStack() as stack:
        members, client = routers[:3], routers[3]
        answers = [stack.enter_context(api_server(each)) for each in members]
        for number, each in enumerate(members):
            each.start(agents_config(each, others(each, members), 150 - 20 * number, request.param))
            if number == 0:
                until(each.holds, "the first holds the VIP")
            stack.enter_context(daemon(each, "--vip-etcd", "", "--vip-rise", "4"))
        for each, wanted in zip(members, ("MASTER", "BACKUP", "BACKUP"), strict=True):
            eventually(each, lambda each=each, wanted=wanted: state(each) == wanted, f"{each.name} is {wanted}")  # type: ignore[misc]
            eventually(each, lambda each=each: text(each, "vip-heartbeat") != "", f"{each.name} is looked after")  # type: ignore[misc]
        yield members, answers, client


def _told(counted: Load) -> str:
    return f"{len(counted.failures)} of {counted.requests} failed: {counted.failures[:5]}"


def test_a_planned_hand_over_fails_one_request_at_most(triple: tuple[list[Router], Answers, Router]) -> None:
    (first, second, third), _, client = triple
    with load(client, VIP, _PORT, _INTERVAL) as leaving:
        first.run(*_VIP, "drain")
        assert not first.holds()
        assert second.holds() or third.holds()
        time.sleep(1.0)  # more requests, to the new owner
    with load(client, VIP, _PORT, _INTERVAL) as coming:
        first.run(*_VIP, "resume")
        time.sleep(3.0)
    for counted in (leaving, coming):
        assert counted.requests > 50
        assert len(counted.failures) <= 1, _told(counted)


def test_a_sick_server_moves_the_vip_and_clients_go_on(triple: tuple[list[Router], Answers, Router]) -> None:
    (first, second, third), answers, client = triple
    with load(client, VIP, _PORT, 0.05) as counted:
        answers[0](500)
        began = time.monotonic()
        until(lambda: second.holds() or third.holds(), "the VIP has moved")
        moved = time.monotonic() - began
        until(lambda: not first.holds(), "the first has let go")
        time.sleep(1.0)
    assert text(first, "vip-health") == f"{FAULT}\n"
    assert moved < 5.0  # a second where the machine is quiet: bench measures it
    assert 0 < len(counted.failures) < counted.requests
    eventually(first, lambda: "apiserver-live" in said(first)["reason"], "the reason is told")


@pytest.mark.parametrize("delay", [0.0, 0.3, 1.0, 3.0])
def test_an_agent_that_is_killed_at_any_time_moves_nothing(pair: list[Router], delay: float) -> None:
    """Killed at once, while it starts, while it comes to know, and at work; the next one takes over each time."""
    first, second = pair
    with api_server(first), api_server(second):
        first.start(agents_config(first, [second.address], 150))
        until(first.holds, "the first holds the VIP")
        second.start(agents_config(second, [first.address], 100))
        with load(second, VIP, _PORT, 0.05) as counted:
            for _ in range(2):
                with daemon(first, "--vip-etcd", "") as agent:
                    time.sleep(delay)
                    os.kill(agent.pid, signal.SIGKILL)
                    agent.wait(DEADLINE)
            with daemon(first, "--vip-etcd", ""):
                eventually(first, lambda: state(first) == "MASTER", "the last one follows")
        assert not counted.failures, _told(counted)
        assert (first.holds(), second.holds()) == (True, False)


def _view(router: Router) -> NodeView:
    """What the coordinator would see of the node."""
    report = json.dumps({"jobs": {"vip": {"instances": said(router)["instances"]}}})
    return NodeView(router.name, annotations={nodes.REPORT: report}, conditions={"Ready": "True"})


def test_a_partition_that_nobody_can_see_locally_is_seen_over_the_cluster(pair: list[Router]) -> None:
    first, second = pair
    first.start(agents_config(first, [second.address], 150))
    until(first.holds, "the first holds the VIP")
    second.start(agents_config(second, [first.address], 100))
    with daemon(first), daemon(second):
        eventually(second, lambda: state(second) == "BACKUP", "the second is BACKUP")
        first.cut()
        eventually(second, lambda: state(second) == "MASTER", "the second has taken over")
        assert (state(first), first.holds()) == ("MASTER", True)
        (conflict,) = conflicts([_view(first), _view(second)], time.time() + SETTLED)
        assert (conflict.reason, conflict.nodes) == (Reason.DUPLICATE, (first.name, second.name))
        first.mend()
        eventually(second, lambda: state(second) == "BACKUP" and not codes(second), "one of them has let go")
        assert conflicts([_view(first), _view(second)], time.time() + SETTLED) == ()
