"""A pool of nodes on a real API server: two coordinators of which one works, and an agent on each node.

Invariant: whatever happens, each node comes to what was declared last and says so, one node at a time.
"""

from __future__ import annotations

import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from http.client import HTTPException
from itertools import count
from pathlib import Path

from nodeagent.observed import nodes
from tests.cluster.client import ApiError
from tests.cluster.controlplane import ControlPlane
from tests.cluster.coordinators import NAMESPACE, CoordinatorProcess
from tests.cluster.simulated import GROUP, SimulatedNode, machine_config
from tests.controlplane import binaries
from tests.fabric.network import until
from tests.soak.course import Fault

_PATH, _DRIFTING = "/etc/soak.conf", "/etc/soak-watched.conf"
_LEASE = f"/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases/nodeagent-pools"
CONNECTIONS = 4  # that a process keeps open by need (kube/connection.py)
_SOON = 90.0  # seconds: another coordinator takes over within some twenty
_PAUSE = 0.1  # seconds between two looks at how many nodes work


class Pool:
    """Two workers and two coordinators."""

    name = "cluster"

    def __init__(self, plane: ControlPlane, base: Path, stack: ExitStack) -> None:
        self.counts = Counter[str]()
        self._plane = plane
        self._versions, self._version = count(1), 0
        plane.apply_crds()
        plane.admin.create("/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})
        self._nodes = [stack.enter_context(SimulatedNode(plane, base, f"worker-{number}")) for number in range(2)]
        self._coordinators = {
            name: stack.enter_context(CoordinatorProcess(plane, base, name, roles=["pools", "vip"]))
            for name in ("one", "two")
        }
        self._declare()
        self.faults = (
            Fault("another version is declared", "all nodes have it, one after the other", self._renew),
            Fault("a managed file is changed", "the Node says so, and when it has ended", self._tamper),
            Fault("the Node is falsified", "the agent puts its own words right", self._falsify),
            Fault("the API server goes away", "what is declared after it reaches all nodes", self._cut),
            Fault("the coordinator that works is killed", "the other goes on", self._kill_coordinator, ends=True),
            Fault("an agent is killed", "the next one goes on", self._kill_agent, ends=True),
        )

    def agents(self) -> Mapping[str, Path]:
        processes = {each.name: each.pid for each in self._nodes}
        processes |= {f"coordinator {name}": each.pid for name, each in self._coordinators.items()}
        return {name: Path(f"/proc/{pid}") for name, pid in processes.items()}

    def rest(self) -> None:
        """All nodes have the version, say that they do, and never more than one was at work on it."""
        self._wait(self._settled, f"all nodes have version {self._version}")

    # -- faults -------------------------------------------------------------------------------------------------------

    def _renew(self, _: random.Random) -> None:
        self._declare()

    def _tamper(self, chance: random.Random) -> None:
        node = chance.choice(self._nodes)
        file = node.root / _DRIFTING.lstrip("/")
        file.write_text("tampered\n")
        self._wait(lambda: node.said(nodes.STATE) == "Degraded", "the drift is told")
        self.counts["drift found"] += 1
        file.write_text("watched\n")

    def _falsify(self, chance: random.Random) -> None:
        node = chance.choice(self._nodes)
        said = {nodes.STATE: "Nonsense", nodes.CURRENT_CONFIG: "render-worker-none"}
        by_hand = f"{node.path}?fieldManager=kubectl-annotate"  # anybody else would be taken for a second agent
        self._plane.admin.patch(by_hand, {"metadata": {"annotations": said}})
        self._wait(lambda: node.said(nodes.CURRENT_CONFIG) != "render-worker-none", "it is put right")
        self.counts["words put right"] += 1

    def _cut(self, chance: random.Random) -> None:
        self._plane.apiserver.kill()
        time.sleep(chance.uniform(0.5, 3.0))
        self._plane.apiserver.start()
        self._declare()
        self.counts["API servers started anew"] += 1

    def _kill_coordinator(self, _: random.Random) -> None:
        holder = self._leader()
        killed = self._coordinators[holder]
        killed.stop(signal.SIGKILL)
        self._declare()
        self.rest()
        assert self._leader() != holder, "who was killed leads"
        killed.start()
        self.counts["failovers"] += 1

    def _kill_agent(self, chance: random.Random) -> None:
        node = chance.choice(self._nodes)
        self._declare()
        time.sleep(chance.uniform(0.0, 2.0))
        node.stop(signal.SIGKILL)
        node.start()
        self.counts["agents killed"] += 1

    def _leader(self) -> str:
        """The coordinator that works: it says at its start as whom it runs for the Lease."""
        holder = self._plane.admin.get(_LEASE)["spec"]["holderIdentity"]
        (name,) = (name for name, each in self._coordinators.items() if f'"{holder}"' in each.log)
        return name

    # -- the pool -----------------------------------------------------------------------------------------------------

    def _declare(self) -> None:
        self._version = next(self._versions)
        self._plane.admin.apply(machine_config("50-soak", {_PATH: self._text(), _DRIFTING: "watched\n"}))

    def _text(self) -> str:
        return f"version {self._version}\n"

    def _settled(self) -> bool:
        states = [node.said(nodes.STATE) for node in self._nodes]
        assert states.count("Working") <= 1, f"more than one node is at work: {states}"
        files = [node.root / _PATH.lstrip("/") for node in self._nodes]
        if [file.read_text() if file.exists() else "" for file in files] != [self._text()] * len(files):
            return False
        return set(states) == {"Done"} and self._updated()

    def _updated(self) -> bool:
        pools = self._plane.admin.list(f"{GROUP}/machineconfigpools")
        (conditions,) = (
            each.get("status", {}).get("conditions", []) for each in pools if each["metadata"]["name"] == "worker"
        )
        return [each["status"] for each in conditions if each["type"] == "Updated"] == ["True"]

    def _wait(self, met: Callable[[], bool], what: str) -> None:
        def looked() -> bool:
            time.sleep(_PAUSE)
            try:
                return met()
            except (OSError, HTTPException, ApiError, ValueError):  # the API server is not there yet, or no pool
                return False

        try:
            until(looked, what, _SOON)
        except AssertionError as error:
            told = [*(each.log for each in self._nodes), *(each.log for each in self._coordinators.values())]
            raise AssertionError("\n".join([str(error), *(each[-2000:] for each in told)])) from error


@contextmanager
def cluster(scratch: Path) -> Iterator[Pool]:
    with ExitStack() as stack:
        directory = scratch / "cluster"
        directory.mkdir()
        plane = stack.enter_context(ControlPlane(directory, binaries.ensured()))
        scene = Pool(plane, directory, stack)
        scene.rest()
        yield scene
