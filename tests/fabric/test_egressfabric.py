"""Egress gateways on a real OVN: both carry traffic, one that dies is missed, one that hands over costs nothing."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from nodeagent.host import silence
from tests.capabilities import require
from tests.fabric.network import until
from tests.fabric.ovnfabric import OUTSIDE, OUTSIDE6, Fabric, fabric, order
from tests.fabric.traffic import carrying, unharmed


@pytest.fixture(scope="module")
def site() -> Iterator[Fabric]:
    """A gateway on two nodes with BFD at 300 ms, three times: a busy machine misses less by itself."""
    require("root", "ovn", "bird", "libnftables", "ip", "nsenter")
    with fabric() as found:
        found.apply(order(300))
        yield found


@pytest.mark.parametrize(("version", "addresses"), [(4, OUTSIDE), (6, OUTSIDE6)])
def test_traffic_leaves_by_both_gateways_with_their_addresses(
    site: Fabric, version: int, addresses: tuple[str, ...]
) -> None:
    assert carrying(site, version) == set(addresses)


def test_a_start_of_the_agent_costs_no_packet(site: Fabric) -> None:
    def build() -> None:
        for name in site.parts:
            site.build(name)

    unharmed(site, 4.0, build, lambda: None)


def test_a_planned_withdrawal_costs_no_packet_and_the_return_none_either(site: Fabric) -> None:
    def leave() -> None:
        site.drain("ch1")

    def come_back() -> None:
        site.drain("ch1", "")
        until(lambda: site.up() == 4, "its sessions are awake again", 60.0)

    unharmed(site, 4.0, leave, come_back)
    assert (len(carrying(site)), len(carrying(site, 6))) == (1, 1)
    unharmed(site, 6.0, come_back, leave)
    assert carrying(site) == set(OUTSIDE)


def test_silence_moves_the_traffic_while_the_gateway_forwards_on(site: Fabric) -> None:
    namespace = site.parts["ch1"].namespace

    def leave() -> None:
        silence.silence(namespace)
        until(lambda: site.up() == 2, "OVN misses it", 30.0)

    def come_back() -> None:
        silence.unsilence(namespace)
        until(lambda: site.up() == 4, "the session is back", 60.0)

    unharmed(site, 6.0, leave, come_back)
    assert len(carrying(site)) == 1
    come_back()


def test_a_northbound_database_that_is_away_and_a_controller_that_starts_again_cost_no_packet(site: Fabric) -> None:
    def work() -> None:
        site.whole.nb.stop()
        (controller,) = (each for each in site.chassis[1].programs if each.name == "ovn-controller")
        controller.stop()
        controller.start()
        site.whole.nb.start()

    def follow() -> None:
        until(lambda: site.up() == 4, "all is followed again", 60.0)

    unharmed(site, 6.0, work, follow)
    follow()
    site.round()


def test_a_gateway_that_dies_is_missed_and_built_again(site: Fabric) -> None:
    part = site.parts["ch1"]
    with site.probing(8.0, 0.005) as told:
        site.kill(part)
        until(lambda: site.up() == 2, "OVN misses it", 30.0)
    assert 0 < told["lost"] < told["sent"] / 2, told  # some of the flows, for as long as it takes to miss it
    assert len(carrying(site)) == 1
    site.build("ch1")
    until(lambda: site.up() == 4, "the session is back", 60.0)
    assert carrying(site) == set(OUTSIDE)


def test_an_end_of_the_object_leaves_no_row(site: Fabric) -> None:
    """The last test: it takes the gateway away."""
    site.cluster.delete()
    site.round()
    assert site.whole.nbctl("--bare", "--columns=_uuid", "list", "BFD").strip() == ""
    assert "29" not in site.whole.nbctl("lr-policy-list", "vpc1").replace("31000", "")
