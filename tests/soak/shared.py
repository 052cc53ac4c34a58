"""A pair of nodes that share a VIP: real keepalived, a server behind it, the daemon on each, and a client that asks.

Invariant: at rest the first has the VIP, and it alone; while agents come and go, nobody notices.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.fabric.agents import agents_config, api_server, codes, daemon, eventually, state, text
from tests.fabric.load import Load, load
from tests.fabric.network import DEADLINE, VIP, Router, network, until
from tests.soak.acts import Acts
from tests.soak.course import Fault

_PORT = 6443
_INTERVAL = 0.05  # seconds between two requests
_SETTINGS = ("--vip-etcd", "", "--vip-rise", "4")
_COMMAND = (sys.executable, "-m", "nodeagent", "vip")
_PRIORITIES = (150, 100)
_HEARTBEAT = "vip-heartbeat"
_AGENT_KILLED, _BACKUP_KILLED, _HANDED_OVER = "an agent is killed", "the backup's keepalived is killed", "hand-over"


class Shared:
    """Two routers with all that, and one for the client. `lost` are requests by the fault that they came after."""

    name = "vip"

    def __init__(self, routers: list[Router], answers: list[Callable[[int], None]], stack: ExitStack) -> None:
        self.counts = Counter[str]()
        *self._members, self._client = routers
        self._first, self._second = self._members
        self._answers = answers
        self._stack = stack
        self._agents: dict[str, tuple[subprocess.Popen[bytes], ExitStack]] = {}
        self._acts = Acts(time.time)
        for router in self._members:
            self._keepalived(router)
            self._agent(router)
        self.faults = (
            self._fault("the API server answers 500", "the VIP moves, and comes back", self._sicken),
            self._fault("the master's keepalived is killed", "the backup takes over", self._kill_master),
            self._fault(_BACKUP_KILLED, "the VIP stays, and no request is lost", self._kill_backup),
            self._fault(_HANDED_OVER, "the VIP moves, and two requests are lost at most", self._hand_over),
            self._fault("the first is cut off", "the second takes over, and lets go again", self._cut_off),
            self._fault(_AGENT_KILLED, "the VIP stays, and no request is lost", self._kill_agent, ends=True),
        )

    def _fault(self, name: str, invariant: str, act: Callable[[random.Random], None], *, ends: bool = False) -> Fault:
        return self._acts.noting(Fault(name, invariant, act, ends))

    def agents(self) -> Mapping[str, Path]:
        return {f"{self.name} {name}": Path(f"/proc/{process.pid}") for name, (process, _) in self._agents.items()}

    def rest(self) -> None:
        """The first has the VIP, the second has not, both agents say that all is well, and the client knows it."""
        first, second = self._members
        for router, wanted in ((first, "MASTER"), (second, "BACKUP")):
            self._eventually(router, lambda r=router, w=wanted: state(r) == w and not codes(r), f"it is {wanted}")  # type: ignore[misc]
        self._eventually(first, lambda: first.holds() and not second.holds(), "the first alone has the VIP")
        self._eventually(first, lambda: self._neighbour() in ("", first.mac), "the client knows that")

    # -- faults -------------------------------------------------------------------------------------------------------

    def _sicken(self, _: random.Random) -> None:
        self._answers[0](500)
        self._moved()
        self._answers[0](200)

    def _kill_master(self, _: random.Random) -> None:
        _kill_family(self._first)
        self._eventually(self._second, self._second.holds, "the second has taken over")
        self.counts["failovers"] += 1
        self._keepalived(self._first)

    def _kill_backup(self, chance: random.Random) -> None:
        _kill_family(self._second)
        time.sleep(chance.uniform(0.0, 2.0))
        assert self._first.holds(), "the VIP has left the first"
        self._keepalived(self._second)

    def _hand_over(self, _: random.Random) -> None:
        self._first.run(*_COMMAND, "drain")
        self._moved()
        self._first.run(*_COMMAND, "resume")

    def _cut_off(self, _: random.Random) -> None:
        self._first.cut()
        self._eventually(self._second, self._second.holds, "the second has taken over")
        self.counts["failovers"] += 1
        self._first.mend()

    def _kill_agent(self, chance: random.Random) -> None:
        router = chance.choice(self._members)
        process, running = self._agents[router.name]
        process.send_signal(signal.SIGKILL)
        running.close()
        self.counts["agents killed"] += 1
        time.sleep(chance.uniform(0.0, 2.0))
        beat = text(router, _HEARTBEAT)
        self._agent(router)
        self._eventually(router, lambda: text(router, _HEARTBEAT) not in ("", beat), "the next one has taken over")
        assert self._first.holds(), "the VIP has left the first"
        assert not self._second.holds(), "the second has the VIP"

    # -- the pair -----------------------------------------------------------------------------------------------------

    def _neighbour(self) -> str:
        """To whose address the client sends what is for the VIP; "" where it would ask first."""
        found = json.loads(self._client.run("ip", "-j", "neigh", "show", VIP, "dev", "eth0"))
        return next((str(each["lladdr"]) for each in found if "lladdr" in each), "")

    def _moved(self) -> None:
        first, second = self._members
        self._eventually(second, lambda: second.holds() and not first.holds(), "the VIP has moved")
        self.counts["failovers"] += 1

    def _keepalived(self, router: Router) -> None:
        number = self._members.index(router)
        router.start(agents_config(router, [self._members[1 - number].address], _PRIORITIES[number]))
        del router.processes[:-1]  # they have ended, and their numbers may be others' by now

    def _agent(self, router: Router) -> None:
        running = self._stack.enter_context(ExitStack())
        self._agents[router.name] = running.enter_context(daemon(router, *_SETTINGS)), running

    def _eventually(self, router: Router, met: Callable[[], bool], what: str) -> None:
        eventually(router, met, f"{router.name}: {what}")

    # -- the client ---------------------------------------------------------------------------------------------------

    def lost(self, load: Load) -> Counter[str]:
        """Requests that failed, by fault."""
        return self._acts.lost(load.failures)

    def unkept(self, load: Load) -> list[str]:
        """What the client has seen and should not have."""
        allowed = {"": 0, _AGENT_KILLED: 0, _BACKUP_KILLED: 0, _HANDED_OVER: 2 * self._acts.times(_HANDED_OVER)}
        return self._acts.unkept(load.failures, "requests", allowed)


@contextmanager
def shared(lifetime: float) -> Iterator[tuple[Shared, Load]]:
    """The pair, and what the client counts; that is known once the block has ended, as the pair is gone by then."""
    with network(3, lifetime) as routers, ExitStack() as stack:
        answers = [stack.enter_context(api_server(each)) for each in routers[:2]]
        scene = Shared(routers, answers, stack)
        scene.rest()
        with load(routers[2], VIP, _PORT, _INTERVAL) as counted:
            yield scene, counted


def _kill_family(router: Router) -> None:
    """keepalived and its children, as nobody warns them."""
    process = router.processes[-1]
    with open(f"/proc/{process.pid}/task/{process.pid}/children") as children:
        family = [process.pid, *map(int, children.read().split())]
    for pid in family:
        os.kill(pid, signal.SIGKILL)
    process.wait(DEADLINE)
    until(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in family), "nothing of it is left", 3 * DEADLINE)
