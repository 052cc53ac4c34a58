"""Two nodes that carry an egress gateway on a real OVN: the daemon on each, BIRD, and probes through both.

Invariants: at rest all sessions are up, both nodes lack nothing, and traffic leaves by both; whatever happens to one of
them, the rows and the other go on; what is planned, or touches no packet, loses none.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

from nodeagent.egress.node.part import GatewayPart
from nodeagent.host.speakers import Speakers
from tests.fabric.agents import daemon
from tests.fabric.chassis import Chassis
from tests.fabric.network import until
from tests.fabric.ovnfabric import OUTSIDE, Fabric, fabric, order
from tests.node.machine import CHECKOUT
from tests.soak.acts import Acts, Loss
from tests.soak.course import Fault

_PARTS = "/run/parts"
_COMMAND = (sys.executable, "-m", "nodeagent", "egress")
_SLICE = 10.0  # seconds that one client probes
_PAUSE = 0.02  # seconds between two probes
_LOOK = (0.5, 0.01, 4, 30_000)  # at who carries traffic: seconds, pause, version, first port
_STALLED = 10  # probes: so many may be lost with a fault that should cost none, as machines stall for a moment
_ROUND = 0.5  # seconds between two rounds of the coordinator
_FORGIVING = 20.0  # and by its own clock
_BATCH = 6.0  # seconds after which OVN has written into its database what has become of sessions
_SOON = 60.0  # seconds
_OFFLOAD = "from tests.fabric.chassis import without_offload; without_offload('eth0')"
_HARMS = (
    ("ip", "route", "del", "default"),
    ("ip", "rule", "del", "priority", "1002"),
    ("ip", "addr", "flush", "dev", "net1"),
    ("ip", "link", "set", "net1", "down"),
)
_AGENT_KILLED, _BIRD_KILLED, _HANDED_OVER = "an agent is killed", "BIRD is killed", "hand-over"
_COSTLESS = (_AGENT_KILLED, _BIRD_KILLED, _HANDED_OVER)


class Gateways:
    """The nodes ch1 and ch2."""

    name = "egress"

    def __init__(self, fabric: Fabric, stack: ExitStack) -> None:
        self.counts = Counter[str]()
        self._fabric, self._stack = fabric, stack
        self._nodes = {each.name: each for each in fabric.chassis[1:]}
        self._agents: dict[str, tuple[subprocess.Popen[bytes], ExitStack]] = {}
        self._acts, self._missed = Acts(time.monotonic), list[Loss]()
        self._over = threading.Event()
        self._order()
        stack.callback(self._clear)  # after the agents, which would start speakers again
        for name in self._nodes:
            self._agent(name)
        self.faults = (
            self._fault(_AGENT_KILLED, "all sessions stay up, and no probe is lost", self._kill_agent, ends=True),
            self._fault(_BIRD_KILLED, "its sessions come up again, and no probe is lost", self._kill_speaker),
            self._fault(_HANDED_OVER, "its sessions go down and come up again, and no probe is lost", self._hand_over),
            self._fault("the world outside is cut off", "its traffic moves, and comes back", self._cut_off),
            self._fault("a rule drops what is forwarded", "its traffic moves, and comes back", self._jam),
            self._fault("the kernel's state is damaged", "it is put right", self._damage),
            self._fault("rows are damaged, and the database goes away", "they are put right", self._disturb),
        )

    def _fault(self, name: str, invariant: str, act: Callable[[random.Random], None], *, ends: bool = False) -> Fault:
        return self._acts.noting(Fault(name, invariant, act, ends))

    def agents(self) -> Mapping[str, Path]:
        return {f"{self.name} {name}": Path(f"/proc/{process.pid}") for name, (process, _) in self._agents.items()}

    def rest(self) -> None:
        for name in self._nodes:
            self._wait(lambda name=name: self._said(name).get("cause") == "GatewaysInPlace", f"{name} is well")  # type: ignore[misc]
        self._wait(self._complete, "all sessions are up, by rows that are as they should be")
        self._wait(lambda: self._carrying() == set(OUTSIDE), "traffic leaves by both")

    # -- faults -------------------------------------------------------------------------------------------------------

    def _kill_agent(self, chance: random.Random) -> None:
        name = chance.choice(sorted(self._nodes))
        process, running = self._agents[name]
        process.send_signal(signal.SIGKILL)
        running.close()
        self.counts["agents killed"] += 1
        self._agent(name)
        assert self._fabric.up() == self._sessions, f"a session went down with the agent of {name}"

    def _kill_speaker(self, chance: random.Random) -> None:
        node, part = self._one(chance)
        pid = Path(node.router.path(f"/run/nodeagent/bfd/{part.namespace}/pid"))
        before = pid.read_text()
        os.kill(int(before), signal.SIGKILL)
        self._wait(lambda: pid.exists() and pid.read_text() != before, "another BIRD runs")
        time.sleep(_BATCH)
        self.counts["speakers killed"] += 1

    def _hand_over(self, chance: random.Random) -> None:
        node, _ = self._one(chance)
        node.router.run(*_COMMAND, "drain", "--gateways-detection", "5s")
        self._wait(lambda: self._fabric.up() == self._sessions // 2, "routers have missed it")
        node.router.run(*_COMMAND, "resume", "--gateways-detection", "5s")
        self.counts["hand-overs"] += 1

    def _cut_off(self, chance: random.Random) -> None:
        node, _ = self._one(chance)
        node.router.cut()
        self._missed_by_all(node, "UpstreamDead")
        node.router.mend()
        self.counts["cut off"] += 1

    def _jam(self, chance: random.Random) -> None:
        node, part = self._one(chance)
        self._python(node, part.namespace, "-m", "tests.fabric.jam", "add")
        self._missed_by_all(node, "NothingForwarded")
        self._python(node, part.namespace, "-m", "tests.fabric.jam", "delete")
        self.counts["jams"] += 1

    def _missed_by_all(self, node: Chassis, cause: str) -> None:
        self._wait(lambda: self._said(node.name).get("cause") == cause, "the node has missed it")
        self._wait(lambda: self._fabric.up() == self._sessions // 2, "routers have missed the node")
        assert len(self._carrying()) == 1, "traffic leaves by a gateway through which none gets"

    def _damage(self, chance: random.Random) -> None:
        node, part = self._one(chance)
        node.router.run("ip", "netns", "exec", part.namespace, *chance.choice(_HARMS))
        self._wait(lambda: self._lacks_nothing(node), "the node lacks nothing")
        self.counts["kernel state put right"] += 1

    def _disturb(self, chance: random.Random) -> None:
        priority = chance.choice(("29090", "29100"))
        self._fabric.whole.nbctl("lr-policy-del", "vpc1", priority)
        self._fabric.whole.nb.stop()
        time.sleep(chance.uniform(0.5, 2.0))
        self._fabric.whole.nb.start()
        self._wait(lambda: priority in self._mended(), "the policy is back")
        self.counts["rows put right"] += 1

    # -- the gateway --------------------------------------------------------------------------------------------------

    @property
    def _sessions(self) -> int:
        return sum(len(part.inside) for part in self._fabric.parts.values())

    def _order(self) -> None:
        """Rows, and a file with its part on each node."""
        for name, document in self._fabric.program(order(500)).items():
            self._nodes[name].router.write(f"{_PARTS}/gw.json", json.dumps(document))

    def _agent(self, name: str) -> None:
        node, running = self._nodes[name], self._stack.enter_context(ExitStack())
        settings = ("--gateways-parts", _PARTS, "--gateways-switch", node.remote, "--gateways-interval", "1s")
        self._agents[name] = running.enter_context(daemon(node.router, *settings)), running
        namespace = self._fabric.parts[name].namespace
        self._wait(lambda: self._said(name).get("cause") == "GatewaysInPlace", f"{name} has its gateway")
        self._python(node, namespace, "-c", _OFFLOAD)

    def _one(self, chance: random.Random) -> tuple[Chassis, GatewayPart]:
        name = chance.choice(sorted(self._nodes))
        return self._nodes[name], self._fabric.parts[name]

    def _said(self, name: str) -> Mapping[str, object]:
        try:
            document = json.loads(Path(self._nodes[name].router.path("/run/nodeagent/status.json")).read_text())
        except FileNotFoundError:
            return {}
        found: Mapping[str, object] = document["jobs"].get("egress", {})
        return found

    def _python(self, node: Chassis, namespace: str, *arguments: str) -> None:
        command = ("env", f"PYTHONPATH={CHECKOUT}", sys.executable, *arguments)
        node.router.run("ip", "netns", "exec", namespace, *command)

    def _lacks_nothing(self, node: Chassis) -> bool:
        arguments = ("node", "--gateways-parts", _PARTS, "--gateways-switch", node.remote)
        command = node.router.inside(*_COMMAND, *arguments)
        return subprocess.run(command, check=False, capture_output=True, timeout=60).returncode == 0

    def _carrying(self) -> set[str]:
        """The addresses with which traffic leaves."""
        with self._fabric.probing(*_LOOK) as told:
            pass
        return set(told["seen"])

    def _complete(self) -> bool:
        self._mended()
        return self._fabric.up() == self._sessions

    def _mended(self) -> str:
        """The policies after one more round of the coordinator."""
        time.sleep(_ROUND)
        self._fabric.cluster.now += _FORGIVING  # or it would damp what faults make flap, for minutes
        self._fabric.round()
        return self._fabric.whole.nbctl("lr-policy-list", "vpc1")

    def _wait(self, met: Callable[[], bool], what: str) -> None:
        try:
            until(met, what, _SOON)
        except AssertionError as error:
            told = {name: self._said(name) for name in self._nodes}
            raise AssertionError(f"{error}; {self._fabric.up()} sessions are up; the agents say {told}") from error

    # -- the probes ---------------------------------------------------------------------------------------------------

    def probe(self) -> None:
        """Count probes until `end`."""
        while not self._over.is_set():
            with self._fabric.probing(_SLICE, _PAUSE) as told:
                pass
            self.counts["probes"] += told["sent"]
            self._missed += [(when, "no answer") for when in told["missed"]]

    def end(self) -> None:
        self._over.set()

    @property
    def lost(self) -> Counter[str]:
        """Probes without an answer, by fault."""
        return self._acts.lost(self._missed)

    @property
    def unkept(self) -> list[str]:
        """What the probes have seen and should not have."""
        allowed = {"": _STALLED, **{name: _STALLED * self._acts.times(name) for name in _COSTLESS}}
        return self._acts.unkept(self._missed, "probes", allowed)

    def _clear(self) -> None:
        """End the speakers, which outlive agents."""
        for name, part in self._fabric.parts.items():
            Speakers(self._nodes[name].router.path("/run/nodeagent/bfd")).end(part.namespace)


@contextmanager
def gateways() -> Iterator[Gateways]:
    """The scene, under probes while the block runs."""
    with ExitStack() as stack:
        scene = Gateways(stack.enter_context(fabric()), stack)
        scene.rest()
        probes = stack.enter_context(ThreadPoolExecutor(1)).submit(scene.probe)
        try:
            yield scene
        finally:
            scene.end()
        probes.result(_SOON)
