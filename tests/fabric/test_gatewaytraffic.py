"""Traffic through a gateway that the agent has built leaves with its address, and no start of the agent costs a packet.

One namespace is the node (and, behind a cable, OVN's router with a pod), another is the world outside.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import pytest

from nodeagent.changes.kernel import KernelChange, Make
from nodeagent.egress.node.keeper import Keeper, Parts
from nodeagent.egress.node.part import PREFIX, GatewayPart, Leg
from nodeagent.engine.report import Report, State
from nodeagent.host import namespaces
from nodeagent.host.gatewaycounters import passing
from nodeagent.host.gatewaykernel import GatewayKernel
from nodeagent.observed.kernel import Fact
from tests.capabilities import require
from tests.fabric.jam import jam
from tests.fabric.namespace import inside
from tests.fabric.network import DEADLINE, Router, network, until
from tests.unit.egress.parts import part

POD, ROUTER, INSIDE = "10.16.0.5", "10.20.0.1", "10.20.0.11"
OUTSIDE, WORLD = "10.77.0.11", "10.77.0.2"
_PORT = 8080


@dataclass
class _Ports:
    """In the place of a switch: OVN's router is at the other end of the cable itself."""

    facts: set[Fact] = field(default_factory=set)

    def observe(self, _: Collection[Fact]) -> frozenset[Fact]:
        return frozenset(self.facts)

    def carry_out(self, change: KernelChange) -> None:
        (self.facts.add if isinstance(change, Make) else self.facts.discard)(change.fact)


@dataclass
class _Site:
    node: Router
    world: Router
    part: GatewayPart
    ports: _Ports = field(default_factory=_Ports)
    said: list[Report] = field(default_factory=list)

    def publish(self, report: Report) -> None:
        self.said.append(report)

    def keep(self, *parts: GatewayPart) -> Report:
        """As a new start of the agent: nothing is remembered but what stands."""
        keeper = Keeper(lambda: Parts(parts), GatewayKernel(PREFIX), self.ports, self, 10.0)
        inside(self.node, keeper.tick)
        return self.said[-1]

    def wire(self) -> None:
        """OVN's router and a pod, at the node's end of the cable."""
        cable = f"eg-{self.part.identity}"
        for command in (
            ("address", "add", f"{ROUTER}/24", "dev", cable),
            ("address", "add", f"{POD}/32", "dev", "lo"),
            ("route", "add", f"{WORLD}/32", "via", INSIDE, "src", POD),
        ):
            self.node.run("ip", *command)


@pytest.fixture
def site() -> Iterator[_Site]:
    require("root", "ip", "nsenter", "libnftables")
    with network(2) as (node, world):
        outside = (Leg(f"{OUTSIDE}/24", WORLD),)
        legs = (Leg(f"{INSIDE}/24", ROUTER),)
        name = f"traffic-{os.getpid()}-{threading.get_ident()}"
        given = part(port=name, underlay="eth0", inside=legs, outside=outside, peers=frozenset())
        found = _Site(node, world, given)
        yield found
        inside(node, lambda: namespaces.remove(given.namespace))


@contextmanager
def _server(world: Router) -> Iterator[None]:
    """Tells each client the address that it comes from."""
    listener = inside(world, lambda: socket.create_server((WORLD, _PORT)))
    listener.settimeout(0.1)
    over = threading.Event()

    def serve() -> None:
        while not over.is_set():
            try:
                link, peer = listener.accept()
            except TimeoutError:
                continue
            with link:
                link.sendall(peer[0].encode())

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        listener.close()


def _asked(node: Router) -> str:
    """The address that the world sees; OSError if it is not reached within a second."""

    def ask() -> str:
        with socket.create_connection((WORLD, _PORT), 1.0, (POD, 0)) as link:
            return link.recv(64).decode()

    return inside(node, ask, DEADLINE)


def _is_reached(node: Router) -> bool:
    try:
        return bool(_asked(node))
    except OSError:
        return False


def test_traffic_leaves_with_the_gateways_address_and_starts_of_the_agent_cost_nothing(site: _Site) -> None:
    assert site.keep(site.part).state is State.DONE
    site.wire()
    with _server(site.world):
        until(lambda: _is_reached(site.node), "the world is reached")
        assert _asked(site.node) == OUTSIDE
        over, failures = threading.Event(), list[str]()

        def ask_on() -> None:
            while not over.is_set():
                try:
                    _asked(site.node)
                except OSError as error:
                    failures.append(str(error))

        thread = threading.Thread(target=ask_on)
        thread.start()
        try:
            for _ in range(5):
                assert site.keep(site.part).state is State.DONE
        finally:
            over.set()
            thread.join()
    assert failures == []


def test_sources_that_are_kept_leave_with_their_own_address(site: _Site) -> None:
    site.keep(replace(site.part, kept=frozenset({f"{POD}/32"})))
    site.wire()
    site.world.run("ip", "route", "add", f"{POD}/32", "via", OUTSIDE)
    with _server(site.world):
        until(lambda: _is_reached(site.node), "the world is reached")
        assert _asked(site.node) == POD


def _sent(site: _Site, datagrams: int) -> tuple[int, int]:
    """How many packets came to be forwarded and were, while the pod sent some to the world and some to the gateway."""

    def send() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as pod:
            pod.bind((POD, 0))
            for _ in range(datagrams):
                pod.sendto(b"x", (WORLD, _PORT))
                pod.sendto(b"x", (INSIDE, _PORT))

    before = inside(site.node, lambda: passing(site.part.namespace)[4])
    inside(site.node, send)
    after = inside(site.node, lambda: passing(site.part.namespace)[4])
    return after.came - before.came, after.went - before.went


def test_counters_tell_what_comes_from_what_goes_on(site: _Site) -> None:
    site.keep(site.part)
    site.wire()
    with _server(site.world):
        until(lambda: _is_reached(site.node), "the world is reached")
    came, went = _sent(site, 100)
    assert came == went == 100
    inside(site.node, lambda: namespaces.within(site.part.namespace, lambda: jam("add")))
    came, went = _sent(site, 100)
    assert (came, went) == (100, 0)


def test_a_gateway_that_went_with_its_node_is_built_again(site: _Site) -> None:
    site.keep(site.part)
    inside(site.node, lambda: namespaces.remove(site.part.namespace))
    until(lambda: f"eg-{site.part.identity}" not in site.node.run("ip", "-o", "link"), "the cable has gone")
    site.keep(site.part)
    site.wire()
    with _server(site.world):
        until(lambda: _is_reached(site.node), "the world is reached")
        assert _asked(site.node) == OUTSIDE
