"""The leader of a clustered northbound database goes: no probe is lost, and nothing is written by halves."""

from __future__ import annotations

import random
import signal
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager

import pytest

from nodeagent.egress.rows import REROUTE
from nodeagent.observed.northbound import BFD, POLICY, Northbound
from nodeagent.ovn.link import Follow, Link
from tests.capabilities import require
from tests.fabric.network import until
from tests.fabric.ovnfabric import OUTSIDE, Fabric, fabric, order
from tests.fabric.traffic import carrying, unharmed
from tests.ovn.central import Database

Whole = frozenset[tuple[frozenset[str], frozenset[str]]]
SECONDS = 60.0


@pytest.fixture(scope="module")
def site() -> Iterator[Fabric]:
    """A gateway on two nodes with BFD at 300 ms, three times; its rows are kept by three servers."""
    require("root", "ovn", "bird", "libnftables", "ip", "nsenter")
    with fabric(3) as found:
        found.apply(order(300))
        yield found


@pytest.fixture
def views(site: Fabric) -> Iterator[list[Whole]]:
    """What another client sees of the policies, an entry a change."""
    found: list[Whole] = []

    def look() -> None:
        with link.view() as seen:
            found.append(_policies(seen))

    link = Link(site.whole.northbound, Follow((REROUTE,)), look, random.Random(1))
    link.start()
    try:
        link.wait(SECONDS)
        yield found
    finally:
        link.close()


def _policies(seen: Northbound) -> Whole:
    """Hosts that policies send to, and those that they watch."""
    watched = {row.uuid: row.columns["dst_ip"] for row in seen.table(BFD).values()}
    return frozenset(
        (_hosts(row.columns["nexthops"]), _hosts(watched[each] for each in row.columns["bfd_sessions"]))
        for row in seen.table(POLICY).values()
    )


def _hosts(addresses: Iterable[str]) -> frozenset[str]:
    """The last part of each: a gateway has the same in both versions of IP."""
    return frozenset(each.replace(":", ".").rpartition(".")[2] for each in addresses)


def wholes(site: Fabric) -> set[Whole]:
    """All policies with both gateways, and all without that of ch1."""
    both = _hosts(str(leg.host) for part in site.parts.values() for leg in part.inside)
    one = _hosts(str(leg.host) for leg in site.parts["ch2"].inside)
    return {frozenset({(both, both)}), frozenset({(one, one)})}


def leader(site: Fabric) -> Database:
    until(lambda: any(each.leads for each in site.whole.members), "a member leads", SECONDS)
    return next(each for each in site.whole.members if each.leads)


def leave(site: Fabric) -> None:
    site.drain("ch1")


def come_back(site: Fabric) -> None:
    site.drain("ch1", "")
    until(lambda: site.up() == 4, "its sessions are awake again", SECONDS)


def test_a_leader_that_goes_costs_no_probe_and_the_next_one_moves_traffic(site: Fabric, views: list[Whole]) -> None:
    def leave_after_hand_over() -> None:
        before = leader(site)
        before.ask("cluster/failure-test", "transfer-leadership")
        until(lambda: not before.leads, "it steps down", SECONDS)
        leave(site)
        assert leader(site) is not before

    def come_back_after_crash() -> None:
        before = leader(site)
        before.stop()
        come_back(site)
        before.start()

    unharmed(site, 4.0, leave_after_hand_over, lambda: come_back(site))
    assert len(carrying(site)) == 1
    unharmed(site, 4.0, come_back_after_crash, lambda: leave(site))
    assert carrying(site) == set(OUTSIDE)
    assert set(views) == wholes(site)


@contextmanager
def halted(members: Sequence[Database]) -> Iterator[None]:
    """They stand still while the block runs, and get afterwards what was sent to them."""
    for each in members:
        each.signal(signal.SIGSTOP)
    yield
    for each in members:
        each.signal(signal.SIGCONT)


@contextmanager
def killed(members: Sequence[Database]) -> Iterator[None]:
    """They are gone while the block runs, and what was sent to them is lost."""
    for each in members:
        each.stop()
    yield
    for each in members:
        each.start()


def test_what_a_leader_has_taken_when_it_dies_alone_is_done_whole_or_not_at_all(
    site: Fabric, views: list[Whole]
) -> None:
    def dying(lost: Callable[[Sequence[Database]], AbstractContextManager[None]], word: str) -> None:
        taking = leader(site)
        site.ask("ch1", word)
        with ThreadPoolExecutor(1) as executor:
            with lost([each for each in site.whole.members if each is not taking]):
                turn = executor.submit(site.round)
                until(lambda: _holds_back(taking), "it has taken what the coordinator writes")
                taking.stop()
            turn.result(SECONDS)
        taking.start()

    def leave_meanwhile() -> None:
        dying(halted, "drain")
        leave(site)

    def come_back_meanwhile() -> None:
        dying(killed, "")
        come_back(site)

    unharmed(site, 4.0, leave_meanwhile, lambda: come_back(site))
    unharmed(site, 4.0, come_back_meanwhile, lambda: leave(site))
    assert carrying(site) == set(OUTSIDE)
    assert set(views) == wholes(site)


def _holds_back(member: Database) -> bool:
    return "Entries not yet committed: 1" in member.ask("cluster/status", "OVN_Northbound")
