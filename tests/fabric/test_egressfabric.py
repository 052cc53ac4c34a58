"""Egress gateways on a real OVN: both carry traffic, one that dies is missed, one that hands over costs nothing."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from nodeagent.host import silence
from tests.capabilities import require
from tests.fabric.network import until
from tests.fabric.ovnfabric import OUTSIDE, OUTSIDE6, Fabric, fabric
from tests.unit.egress.site import ours


@pytest.fixture(scope="module")
def site() -> Iterator[Fabric]:
    """A gateway on two nodes with BFD at 100 ms, three times."""
    require("root", "ovn", "bird", "libnftables", "ip", "nsenter")
    document = ours(
        internalIPs=["10.20.0.11,fd00:20::11", "10.20.0.12,fd00:20::12"],
        externalIPs=[",".join(each) for each in zip(OUTSIDE, OUTSIDE6, strict=True)],
        bfd={"enabled": True, "minRX": 100, "minTX": 100, "multiplier": 3},
        policies=[{"ipBlocks": ["10.10.0.0/24", "fd00:10::/64"], "snat": True}],
        selectors=None,
    )
    with fabric() as found:
        found.apply(document)
        yield found


@pytest.mark.parametrize(("version", "addresses"), [(4, OUTSIDE), (6, OUTSIDE6)])
def test_traffic_leaves_by_both_gateways_with_their_addresses(
    site: Fabric, version: int, addresses: tuple[str, ...]
) -> None:
    with site.probing(2.0, 0.005, version) as told:
        pass
    assert told["lost"] == 0
    assert set(told["seen"]) == set(addresses)


def test_a_start_of_the_agent_costs_no_packet(site: Fabric) -> None:
    with site.probing(4.0) as told:
        for name in site.parts:
            site.build(name)
    assert told["lost"] == 0, told


def test_a_planned_withdrawal_costs_no_packet_and_the_return_none_either(site: Fabric) -> None:
    with site.probing(4.0) as told:
        site.drain("ch1")
    assert told["lost"] == 0, told
    with site.probing(2.0) as told:
        pass
    assert (told["lost"], len(told["seen"])) == (0, 1), told
    with site.probing(2.0, version=6) as told:
        pass
    assert (told["lost"], len(told["seen"])) == (0, 1), told
    with site.probing(6.0) as told:
        site.drain("ch1", "")
        until(lambda: site.up() == 4, "its sessions are awake again", 60.0)
    assert told["lost"] == 0, told
    with site.probing(2.0) as told:
        pass
    assert (told["lost"], len(told["seen"])) == (0, 2), told


def test_silence_moves_the_traffic_while_the_gateway_forwards_on(site: Fabric) -> None:
    part = site.parts["ch1"]
    with site.probing(6.0) as told:
        silence.silence(part.namespace)
        until(lambda: site.up() == 2, "OVN misses it", 30.0)
    assert told["lost"] == 0, told
    with site.probing(2.0) as told:
        pass
    assert (told["lost"], len(told["seen"])) == (0, 1), told
    silence.unsilence(part.namespace)
    until(lambda: site.up() == 4, "the session is back", 60.0)


def test_a_northbound_database_that_is_away_and_a_controller_that_starts_again_cost_no_packet(site: Fabric) -> None:
    with site.probing(6.0) as told:
        site.whole.nb.stop()
        (controller,) = (each for each in site.chassis[1].programs if each.name == "ovn-controller")
        controller.stop()
        controller.start()
        site.whole.nb.start()
    assert told["lost"] == 0, told
    until(lambda: site.up() == 4, "all is followed again", 60.0)
    site.round()


def test_a_gateway_that_dies_is_missed_and_built_again(site: Fabric) -> None:
    part = site.parts["ch1"]
    with site.probing(6.0, 0.005) as told:
        site.kill(part)
        until(lambda: site.up() == 2, "OVN misses it", 30.0)
    assert told["lost"] < told["sent"] / 2, told  # it is 0.3 s of 6, and half of the flows at most
    with site.probing(2.0) as told:
        pass
    assert (told["lost"], len(told["seen"])) == (0, 1), told
    site.build("ch1")
    until(lambda: site.up() == 4, "the session is back", 60.0)
    with site.probing(2.0, 0.005) as told:
        pass
    assert (told["lost"], len(told["seen"])) == (0, 2), told


def test_an_end_of_the_object_leaves_no_row(site: Fabric) -> None:
    """The last test: it takes the gateway away."""
    site.cluster.delete()
    site.round()
    assert site.whole.nbctl("--bare", "--columns=_uuid", "list", "BFD").strip() == ""
    assert "29" not in site.whole.nbctl("lr-policy-list", "vpc1").replace("31000", "")
