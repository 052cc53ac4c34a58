"""What the link says of an address, and what other routers say on it."""

from __future__ import annotations

import pytest

from nodeagent.host.vrrp import VrrpHost
from nodeagent.observed.vrrp import Advert
from tests.fabric.agents import codes, daemon, eventually
from tests.fabric.namespace import inside
from tests.fabric.network import NOBODY, VIP, Router, config, network, others, until

_SHARED = {"4": "10.77.0.55", "6": "fd77::55"}


def _owners(router: Router, address: str) -> frozenset[str] | None:
    def ask() -> frozenset[str] | None:
        with VrrpHost() as host:
            return host.owners("eth0", address)

    return inside(router, ask)


@pytest.mark.parametrize("address", list(_SHARED.values()))
def test_whoever_else_has_an_address_is_found_and_we_are_not(pair: list[Router], address: str) -> None:
    first, second = pair
    assert _owners(first, address) == frozenset()
    second.run(
        "ip", "address", "add", f"{address}/64" if ":" in address else f"{address}/24", "dev", "eth0", *_now(address)
    )
    assert _owners(first, address) == frozenset([second.mac])
    assert _owners(second, address) == frozenset()


def _now(address: str) -> list[str]:
    """An IPv6 address counts at once only without duplicate address detection."""
    return ["nodad"] if ":" in address else []


def test_a_link_that_is_not_there_cannot_be_asked(router: Router) -> None:
    def ask() -> list[object]:
        with VrrpHost() as host:
            return [host.owners("nosuch0", address) for address in _SHARED.values()]

    assert inside(router, ask) == [None, None]


def _heard(router: Router) -> frozenset[Advert]:
    def listen() -> frozenset[Advert]:
        with VrrpHost() as host:
            return host.adverts(1.0)

    return inside(router, listen)


@pytest.mark.parametrize("multicast", [True, False])
def test_adverts_of_others_are_heard_and_our_own_are_not(pair: list[Router], multicast: bool) -> None:
    first, second = pair
    text = config(second, [first.address], priority=77)
    if multicast:
        text = text.replace(f"unicast_peer {{ {first.address}\n }}", "")
    second.start(text)
    until(second.holds, "it is MASTER")
    assert _heard(first) == {Advert(second.address, 51, 77)}
    assert _heard(second) == frozenset()


def test_adverts_over_ipv6_are_heard_too(pair: list[Router]) -> None:
    first, second = pair
    text = (
        config(second, [], priority=77).replace(f"unicast_src_ip {second.address}", "").replace("unicast_peer {  }", "")
    )
    second.start(text.replace(f"{VIP}/24", "fd00:77::100/64"))
    until(lambda: second.holds("fd00:77::100"), "it is MASTER")
    (advert,) = _heard(first)
    assert (advert.vrid, advert.priority) == (51, 77)
    assert advert.source.startswith("fe80::")
    assert _heard(second) == frozenset()


def test_somebody_elses_router_with_our_vrid_is_told() -> None:
    with network(3) as routers:
        first, second, stranger = routers
        first.start(config(first, [second.address], priority=150))
        second.start(config(second, [first.address], priority=100))
        stranger.start(config(stranger, others(stranger, routers), priority=200).replace("10.77.0.100", "10.77.0.101"))
        with daemon(first):
            eventually(first, lambda: "ForeignVRID" in codes(first), "it is told")
            stranger.stop()
            eventually(first, lambda: "ForeignVRID" not in codes(first), "it has gone")


def test_a_configuration_of_nobody_is_silent(router: Router) -> None:
    router.start(config(router, [NOBODY], priority=100))
    assert _heard(router) == frozenset()
