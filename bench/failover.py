"""The VIP: from a fault of the API server to the backup's address, beside the check script of kubeadm's HA guide.

Both move a real keepalived between two network namespaces, with a real TLS server where the API server would be.
"""

from __future__ import annotations

import os
import signal
import statistics
import subprocess
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager

from bench.report import Section, Target
from bench.scale import Scale
from nodeagent.host.addresses import assigned
from tests.fabric.agents import agents_config, api_server, daemon, text
from tests.fabric.namespace import inside
from tests.fabric.network import VIP, Router, network, until

_OURS, _GUIDE = "nodeagent, adverts each 0.3 s", "check script of kubeadm's HA guide"
_LONGEST = 90.0  # seconds: the guide's script fails ten times, three seconds apart
_LIMIT = 1.0  # seconds
_ROUNDS = 3  # half a minute each
_SICK = "answers 500"

# https://github.com/kubernetes/kubeadm/blob/main/docs/ha-considerations.md: what its files say, for this network.
_SCRIPT = """#!/bin/sh
errorExit() {
    echo "*** $*" 1>&2
    exit 1
}
curl -sfk --max-time 2 https://localhost:6443/healthz -o /dev/null || errorExit "Error GET https://localhost:6443/healthz"
"""
_CONFIG = """
global_defs {{
    router_id LVS_DEVEL
    enable_script_security
    script_user root
}}
vrrp_script check_apiserver {{
    script "/etc/keepalived/check_apiserver.sh"
    interval 3
    weight -2
    fall 10
    rise 2
}}
vrrp_instance VI_1 {{
    state {state}
    interface eth0
    virtual_router_id 51
    priority {priority}
    authentication {{
        auth_type PASS
        auth_pass 42
    }}
    virtual_ipaddress {{
        {vip}
    }}
    track_script {{
        check_apiserver
    }}
}}
"""

Cause = Callable[["_Scene"], None]


class _Scene:
    """A pair with servers, the first of which holds the VIP."""

    def __init__(self, first: Router, second: Router, answer: Callable[[int], None]) -> None:
        self.first = first
        self.second = second
        self.answer = answer

    def signal(self, number: int) -> None:
        """Send a signal to the first's server."""
        found = subprocess.run(
            ["pgrep", "--ns", str(self.first.pid), "--nslist", "net", "-f", "tests.fabric.apiserver"],
            check=True,
            capture_output=True,
            text=True,
        )
        for pid in found.stdout.split():
            os.kill(int(pid), number)


_CAUSES: dict[str, Cause] = {
    _SICK: lambda scene: scene.answer(500),
    "is killed": lambda scene: scene.signal(signal.SIGKILL),
    "hangs (SIGSTOP)": lambda scene: scene.signal(signal.SIGSTOP),
}


def bench(base: str, scale: Scale) -> Section:
    """Every cause with both."""
    del base
    contestants = {_OURS: _ours, _GUIDE: _guide}
    taken = defaultdict[tuple[str, str], list[float]](list)
    for _ in range(min(scale.rounds, _ROUNDS)):
        for cause, act in _CAUSES.items():
            for name, contestant in contestants.items():
                taken[name, cause].append(_measured(contestant, act))
    rows = [[name, *(_cell(taken[name, cause]) for cause in _CAUSES)] for name in contestants]
    median = statistics.median(taken[_OURS, _SICK])
    return Section(
        "VIP: from a fault to the backup's address",
        "Seconds (median, and the longest) from the fault of the master's API server until the kernel of the backup "
        "has the address: two network namespaces, real keepalived, a TLS server in the API server's place. The agent "
        "looks four times a second and gives up after two failed looks; one that hangs costs it two timeouts of a "
        "second.",
        ["the API server …", *_CAUSES],
        rows,
        [Target("An unhealthy API server moves the VIP", median, _LIMIT, " s")],
    )


def _cell(seconds: Sequence[float]) -> str:
    return f"{statistics.median(seconds):.2f} ({max(seconds):.2f})"


def _measured(contestant: Callable[[], AbstractContextManager[_Scene]], cause: Cause) -> float:
    with contestant() as scene:
        moved, ready = list[float](), threading.Event()

        def watch() -> None:
            ready.set()
            end = time.monotonic() + _LONGEST
            while VIP not in {each.address for each in assigned()} and time.monotonic() < end:
                time.sleep(0.001)
            moved.append(time.monotonic())

        watcher = threading.Thread(target=inside, args=(scene.second, watch, _LONGEST + 10.0))
        watcher.start()
        ready.wait()
        began = time.monotonic()
        cause(scene)
        watcher.join()
        return moved[0] - began


@contextmanager
def _pair() -> Iterator[tuple[_Scene, ExitStack]]:
    with network(2) as (first, second), ExitStack() as stack:
        answer = stack.enter_context(api_server(first))
        stack.enter_context(api_server(second))
        yield _Scene(first, second, answer), stack


@contextmanager
def _ours() -> Iterator[_Scene]:
    with _pair() as (scene, stack):
        scene.first.start(agents_config(scene.first, [scene.second.address], 150))
        until(scene.first.holds, "the first holds the VIP")
        scene.second.start(agents_config(scene.second, [scene.first.address], 100))
        stack.enter_context(daemon(scene.first, "--vip-etcd", ""))
        until(lambda: text(scene.first, "vip-heartbeat") != "", "the agent looks after it", 60.0)
        yield scene


@contextmanager
def _guide() -> Iterator[_Scene]:
    with _pair() as (scene, _):
        for router, state, priority in ((scene.first, "MASTER", 101), (scene.second, "BACKUP", 100)):
            router.write("/etc/keepalived/check_apiserver.sh", _SCRIPT)
            router.run("chmod", "0755", "/etc/keepalived/check_apiserver.sh")
            router.start(_CONFIG.format(state=state, priority=priority, vip=VIP))
            until(scene.first.holds, "the first holds the VIP", 30.0)
        until(lambda: not scene.second.holds(), "the second does not")
        time.sleep(4.0)  # the script has succeeded once
        yield scene
