"""A real OVN over namespaces: a chassis with a pod, two with gateways that the agent builds, and a world outside.

The coordinator's programming writes into the real northbound database, the node's part builds in the real kernel and
switch, BIRD speaks BFD. Only the API server is a dictionary.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nodeagent.egress.inventory import Inventory, gathered, kinds, readable
from nodeagent.egress.node.part import GatewayPart
from nodeagent.egress.node.partfile import part_of
from nodeagent.egress.rows import DROP, LOCAL, REROUTE
from nodeagent.egress.sight import sights
from nodeagent.egress.site import Site, Subnet, Vpc
from nodeagent.host import namespaces
from nodeagent.observed.northbound import BFD
from nodeagent.ovn.link import Follow, Link
from tests.fabric.birds import Birds, Speaking
from tests.fabric.chassis import UNDERLAY, Chassis, forget, in_network, ip, joined, vsctl, without_offload
from tests.fabric.network import Router, network, until
from tests.ovn import packages
from tests.ovn.central import Central, Database, central
from tests.unit.egress.site import node, ours
from tests.unit.egress.test_programming import KEY, Cluster

POD, WORLD, PORT = "10.10.0.10", "10.77.0.4", 9000
POD6, WORLD6 = "fd00:10::10", "fd00:77::4"
_WORLDS = [f"10.77.0.{number}" for number in range(101, 117)]
_WORLDS6 = [f"fd00:77::{number}" for number in range(101, 117)]
OUTSIDE = ("10.77.0.11", "10.77.0.12")
OUTSIDE6 = ("fd00:77::11", "fd00:77::12")
_SETTLED = 60.0


@dataclass
class Fabric:
    whole: Central
    link: Link
    chassis: list[Chassis]
    world: Router
    pod: str
    speakers: Speaking
    cluster: Cluster
    parts: dict[str, GatewayPart] = field(default_factory=dict)

    def round(self) -> None:
        """One round of the coordinator."""
        found = self._inventory()
        with self.link.view() as seen:
            told = sights(found, seen)
        self.cluster.now += 1
        self.cluster.programmer.work(found, told)

    def _inventory(self) -> Inventory:
        documents = [readable(each) for each in self.cluster.documents.values()]
        return gathered(documents, self.cluster.site, kinds("program"))

    def apply(self, document: dict[str, Any]) -> None:
        """Have the gateway: rows, both instances, both speakers; returns once its sessions are up."""
        self.program(document)
        for name in self.parts:
            self.build(name)
        until(lambda: self.up() == 2 * len(self.parts), "the sessions of both versions are up", _SETTLED)
        self.round()
        self.whole.nbctl("--wait=hv", "sync")

    def program(self, document: dict[str, Any]) -> dict[str, dict[str, Any]]:
        """Have the rows of the gateway, and `parts`; the documents of these, by node."""
        self.cluster.documents[KEY] = document
        self.round()
        assert self.cluster.condition("Validated")[0] == "True", self.cluster.condition("Validated")
        told = {each["node"]: {"gateway": KEY, **each} for each in self.cluster.status()["parts"]}
        documents = {node: {key: value for key, value in each.items() if key != "node"} for node, each in told.items()}
        self.parts |= {node: part_of(each, "status") for node, each in documents.items()}
        return documents

    def build(self, name: str) -> None:
        """Have the instance on that node, and its speaker."""
        self.place(name)
        self.speakers.keep(self.parts[name])

    def place(self, name: str) -> None:
        """Have the instance on that node, in kernel and switch."""
        part = self.parts[name]
        (chassis,) = (each for each in self.chassis if each.name == name)
        chassis.build(part)
        namespaces.within(part.namespace, lambda: without_offload("eth0"))

    def up(self) -> int:
        """Sessions that OVN has up."""
        with self.link.view() as seen:
            return sum(row.columns["status"] == "up" for row in seen.table(BFD).values())

    def drain(self, name: str, word: str = "drain") -> None:
        """As the node would ask on its Node, and rounds of the coordinator until it says that it is so."""
        self.ask(name, word)
        until(lambda: self._withdrawn(name) == {bool(word)}, "the coordinator says so", _SETTLED)
        self.whole.nbctl("--wait=hv", "sync")

    def ask(self, name: str, word: str) -> None:
        """What the node says on its Node; the next round sees it."""
        said = {"egress_drain": word} if word else {}
        nodes = {**self.cluster.site.nodes, name: node(name, **said)}  # type: ignore[arg-type] # words alone
        self.cluster.site = Site(**{**vars(self.cluster.site), "nodes": nodes})

    def _withdrawn(self, name: str) -> set[bool]:
        self.round()
        return {each["withdrawn"] for each in self.cluster.status()["sessions"] if each["node"] == name}

    def kill(self, part: GatewayPart) -> None:
        """The whole gateway at once, as with its node."""
        pids = self.speakers.processes(part).values()
        namespaces.within(part.namespace, lambda: _down("eth0"))
        for each in pids:
            os.kill(each, signal.SIGKILL)

    @contextmanager
    def probing(
        self, seconds: float, pause: float = 0.001, version: int = 4, first_port: int = 10_000
    ) -> Iterator[dict[str, Any]]:
        """Probes from the pod to the world while the block runs, and for `seconds` at least.

        What came of them is filled in at the end.
        """
        told: dict[str, Any] = {}
        command = [
            sys.executable,
            "-m",
            "tests.fabric.probes",
            "client",
            ",".join(_WORLDS if version == 4 else _WORLDS6),
            str(PORT),
            str(pause),
            str(seconds),
            POD if version == 4 else POD6,
            str(first_port),
        ]
        here = ["ip", "netns", "exec", self.pod, *command]
        client = subprocess.Popen(here, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        try:
            yield told
            output, _ = client.communicate(timeout=seconds + 30)  # which ends its input
            told |= json.loads(output)
        finally:
            client.kill()
            client.wait(10)


def _down(link: str) -> None:
    subprocess.run(["ip", "link", "set", link, "down"], check=True, timeout=10)


def order(interval: int) -> dict[str, Any]:
    """A gateway on both nodes, whose sessions say something each `interval` ms and are missed after three."""
    return ours(
        internalIPs=["10.20.0.11,fd00:20::11", "10.20.0.12,fd00:20::12"],
        externalIPs=[",".join(each) for each in zip(OUTSIDE, OUTSIDE6, strict=True)],
        bfd={"enabled": True, "minRX": interval, "minTX": interval, "multiplier": 3},
        policies=[{"ipBlocks": ["10.10.0.0/24", "fd00:10::/64"], "snat": True}],
        selectors=None,
    )


@contextmanager
def fabric(members: int = 1, speakers: Speaking | None = None) -> Iterator[Fabric]:
    """Everything up to the gateway itself; the northbound database has so many members.

    The gateways' ends of BFD are those of `speakers`, by default BIRD's.
    """
    with ExitStack() as stack:
        # not below /tmp, of which each router has its own
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ovn-", dir="/var/tmp")))
        *nodes, world = stack.enter_context(network(4))
        for pid in (world.bridge.pid, *(each.pid for each in (*nodes, world))):
            stack.callback(forget, f"fabric-{pid}")
        under = ["nsenter", "-t", str(world.bridge.pid), "-n", "--"]
        ip(under, "link", "add", "br1", "type", "bridge")
        ip(under, "addr", "add", f"{UNDERLAY}/24", "dev", "br1")
        ip(under, "link", "set", "br1", "up")
        tree = packages.ensured()
        (scratch / "central").mkdir()
        remotes = (f"ptcp:6642:{UNDERLAY}",)
        whole = stack.enter_context(central(tree, scratch / "central", remotes, under, members))
        chassis = [stack.enter_context(joined(number, each, under, scratch)) for number, each in enumerate(nodes)]
        in_network(world.pid, lambda: without_offload("eth0"))
        _furnish(whole)
        pod = stack.enter_context(_pod(chassis[0]))
        stack.enter_context(_answering(world))
        link = Link(whole.northbound, Follow((LOCAL, REROUTE, DROP), ports=True), lambda: None, random.Random(1))
        link.start()
        stack.callback(link.close)
        link.wait(30)
        cluster = Cluster()
        cluster.site = _site()
        cluster.programmer.database = link
        found = Fabric(whole, link, chassis, world, pod, speakers or Birds(scratch / "bfd"), cluster)
        stack.callback(_cleared, found)
        whole.nbctl("--wait=hv", "sync")
        yield found


def _cleared(found: Fabric) -> None:
    for part in found.parts.values():
        with suppress(Exception):
            found.speakers.end(part)
        with suppress(OSError):
            namespaces.remove(part.namespace)


def _furnish(whole: Central) -> None:
    """A router between the switch of pods and that of gateways; its port there watches them, as stock OVN can."""
    parts = (
        ("lr-add", "vpc1"),
        ("lrp-add", "vpc1", "vpc1-pods", "0a:00:00:00:10:01", "10.10.0.1/24", "fd00:10::1/64"),
        ("lrp-add", "vpc1", "vpc1-inside", "0a:00:00:00:20:01", "10.20.0.1/24", "fd00:20::1/64"),
        ("lrp-set-gateway-chassis", "vpc1-inside", "ch0", "10"),
        *(
            command
            for name in ("pods", "inside")
            for command in (
                ("ls-add", name),
                ("lsp-add", name, f"{name}-vpc1"),
                ("lsp-set-type", f"{name}-vpc1", "router"),
                ("lsp-set-addresses", f"{name}-vpc1", "router"),
                ("lsp-set-options", f"{name}-vpc1", f"router-port=vpc1-{name}"),
            )
        ),
        ("lsp-add", "pods", "pod1"),
        ("lsp-set-addresses", "pod1", f"0a:00:00:00:10:0a {POD} {POD6}"),
        ("lr-route-add", "vpc1", "0.0.0.0/0", "10.20.0.254"),  # without any route stock OVN drops before policies
        ("lr-route-add", "vpc1", "::/0", "fd00:20::fe"),
        ("lr-policy-add", "vpc1", "31000", "ip4.dst == {10.10.0.0/24, 10.20.0.0/24}", "allow"),
        ("lr-policy-add", "vpc1", "31000", "ip6.dst == {fd00:10::/64, fd00:20::/64}", "allow"),
    )
    whole.nbctl(*(word for part in parts for word in ("--", *part)))


@contextmanager
def _pod(chassis: Chassis) -> Iterator[str]:
    name = f"pod-{os.getpid()}"
    here = ["nsenter", "-t", str(chassis.router.pid), "-n", "--"]
    ip([], "netns", "add", name)
    try:
        ip(
            [],
            "-n",
            name,
            "link",
            "add",
            "eth0",
            "type",
            "veth",
            "peer",
            "name",
            "v-pod",
            "netns",
            str(chassis.router.pid),
        )
        ip([], "-n", name, "link", "set", "eth0", "address", "0a:00:00:00:10:0a", "mtu", "1400", "up")
        ip([], "-n", name, "addr", "add", f"{POD}/24", "dev", "eth0")
        ip([], "-n", name, "addr", "add", f"{POD6}/64", "dev", "eth0", "nodad")
        ip([], "-n", name, "route", "add", "default", "via", "10.10.0.1")
        ip([], "-n", name, "-6", "route", "add", "default", "via", "fd00:10::1")
        ip(here, "link", "set", "v-pod", "mtu", "1400", "up")
        namespaces.within(name, lambda: without_offload("eth0"))
        server = chassis.programs[0]
        assert isinstance(server, Database)
        vsctl(server, "add-port", "br-int", "v-pod", "--", "set", "interface", "v-pod", "external_ids:iface-id=pod1")
        yield name
    finally:
        forget(name)


@contextmanager
def _answering(world: Router) -> Iterator[None]:
    for address in _WORLDS:
        world.run("ip", "addr", "add", f"{address}/24", "dev", "eth0")
    for address in (WORLD6, *_WORLDS6):
        world.run("ip", "addr", "add", f"{address}/64", "dev", "eth0", "nodad")
    process = subprocess.Popen(
        world.program("tests.fabric.probes", "server", ",".join([*_WORLDS, *_WORLDS6]), str(PORT))
    )
    try:
        yield
    finally:
        process.kill()
        process.wait(10)


def _site() -> Site:
    port = {"name": "vpc1-inside", "ip": "10.20.0.1,fd00:20::1"}
    inside = {"vpc": "vpc1", "cidrBlock": "10.20.0.0/24,fd00:20::/64", "gateway": "10.20.0.1,fd00:20::1"}
    beyond = {
        "cidrBlock": "10.77.0.0/24,fd00:77::/64",
        "gateway": f"{WORLD},{WORLD6}",
        "provider": "beyond.default",
    }
    return Site(
        vpcs={"vpc1": Vpc.of({"metadata": {"name": "vpc1"}, "status": {"router": "vpc1", "bfdPort": port}})},
        subnets={
            "inside": Subnet.of({"metadata": {"name": "inside"}, "spec": inside}),
            "beyond": Subnet.of({"metadata": {"name": "beyond"}, "spec": beyond}),
        },
        nodes={name: node(name) for name in ("ch1", "ch2")},
        devices={"beyond.default": "eth0"},
    )
