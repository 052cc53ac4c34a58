"""The link to the northbound database where it hurts: leaders that go, rows that go unseen, values that do not fit."""

from __future__ import annotations

import random
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from nodeagent.changes.ovn import Insert, Transaction
from nodeagent.egress.rows import REROUTE
from nodeagent.errors import Broken, Transient
from nodeagent.observed.northbound import ADDRESS_SET, BFD, ROUTER, Northbound
from nodeagent.ovn.link import Follow, Link
from tests.ovn.central import Database, free_ports, nbctl

KEY = "default/gw"
IDS = {"vendor": "nodeagent", "vpc-egress-gateway": KEY, "af": "4"}
SECONDS = 60.0
GONE = '["OVN_Northbound", {"op": "delete", "table": "Address_Set", "where": [["name", "==", "gone"]]}]'


@contextmanager
def followed(remotes: str, changed: Callable[[], None] = lambda: None) -> Iterator[Link]:
    link = Link(remotes, Follow((REROUTE,)), changed, random.Random(1))
    link.start()
    try:
        link.wait(SECONDS)
        yield link
    finally:
        link.close()


def eventually(met: Callable[[], object]) -> None:
    end = time.monotonic() + SECONDS
    while not met():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def holds(link: Link, met: Callable[[Northbound], object]) -> bool:
    with link.view() as seen:
        return bool(met(seen))


def session(address: str, **columns: object) -> Transaction:
    """Makes one row of a session."""
    given = {"logical_port": "bfd@vpc1", "dst_ip": address, "min_rx": 100, "external_ids": IDS}
    return Transaction(KEY, (Insert(BFD, address, given | columns),))


def written(link: Link, address: str) -> bool:
    """Whether the session stands there: a transaction whose answer was lost may have been carried out all the same."""
    if holds(link, lambda seen: seen.named(BFD, f"bfd@vpc1 {address}")):
        return True
    try:
        link.commit(session(address))
    except Transient:
        return False
    return True


def test_a_cluster_is_written_to_after_its_leader_is_gone(members: list[Database]) -> None:
    with followed(",".join(each.remote for each in members)) as link:
        eventually(lambda: written(link, "10.20.0.11"))
        leader = next(each for each in members if each.leads)
        leader.stop()
        assert holds(link, lambda seen: seen.owned(KEY)), "what was known stays known"
        eventually(lambda: written(link, "10.20.0.12"))
        assert holds(link, lambda seen: len(seen.owned(KEY)) == 2)


def test_a_leader_that_hands_over_is_left(members: list[Database]) -> None:
    with followed(",".join(each.remote for each in members)) as link:
        eventually(lambda: written(link, "10.20.0.11"))
        leader = next(each for each in members if each.leads)
        leader.ask("cluster/failure-test", "transfer-leadership")
        eventually(lambda: not leader.leads)
        eventually(lambda: written(link, "10.20.0.12"))
        assert holds(link, lambda seen: len(seen.owned(KEY)) == 2)


def test_rows_that_went_while_nobody_looked_are_forgotten(northbound: Database) -> None:
    nbctl(northbound, "create", "Address_Set", "name=gone")
    with followed(northbound.remote) as link:
        assert holds(link, lambda seen: seen.named(ADDRESS_SET, "gone"))
        northbound.stop()
        file = northbound.folder / f"{northbound.name}.db"
        subprocess.run(
            northbound.tree.command("bin/ovsdb-tool", "transact", str(file), GONE), check=True, timeout=SECONDS
        )
        northbound.start()
        nbctl(northbound, "lr-add", "vpc1")
        eventually(lambda: holds(link, lambda seen: seen.named(ROUTER, "vpc1")))
        assert not holds(link, lambda seen: seen.named(ADDRESS_SET, "gone"))


def test_a_server_is_reached_over_tcp(northbound: Database) -> None:
    (port,) = free_ports(1)
    northbound.ask("ovsdb-server/add-remote", f"ptcp:{port}:127.0.0.1")
    with followed(f"tcp:127.0.0.1:{port}") as link:
        link.commit(session("10.20.0.11"))
        assert holds(link, lambda seen: seen.owned(KEY))


def test_a_value_that_does_not_fit_is_told_and_nothing_written(northbound: Database) -> None:
    with followed(northbound.remote) as link:
        with pytest.raises(Broken, match="min_rx"):
            link.commit(session("10.20.0.11", min_rx="soon"))
        link.commit(session("10.20.0.12"))
        assert holds(link, lambda seen: [row.columns["dst_ip"] for row in seen.owned(KEY)] == ["10.20.0.12"])


def test_who_follows_is_told_of_what_came_with_a_transaction(northbound: Database) -> None:
    told = threading.Event()
    with followed(northbound.remote, told.set) as link:
        told.clear()
        link.commit(session("10.20.0.11"))
        assert told.is_set()
