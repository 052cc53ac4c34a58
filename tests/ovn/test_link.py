"""The northbound database over OVSDB: what is seen of it, what is written, and what a race does; with a real server."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from nodeagent.changes.ovn import Delete, Transaction, Update
from nodeagent.egress.difference import difference
from nodeagent.egress.rows import DROP, LOCAL, NODEAGENT, REROUTE, rows
from nodeagent.errors import Transient
from nodeagent.observed.northbound import BFD, POLICY, Northbound, Row
from nodeagent.ovn.link import Follow, Link
from tests.ovn.central import Database, nbctl
from tests.unit.egress.site import asked

KEY = "default/gw"
SECONDS = 30.0


@pytest.fixture
def link(northbound: Database) -> Iterator[Link]:
    """A link to a database with nothing in it but two routers and the ports of three pods."""
    ports = [word for name in ("x1.red", "x1.blue", "y1.red") for word in ("--", "lsp-add", "pods", name)]
    switches = ["--", "ls-add", "pods", "--", "ls-add", "inside"]
    nbctl(northbound, "lr-add", "vpc1", "--", "lr-add", "vpc2", *switches, *ports)
    link = followed(northbound)
    yield link
    link.close()


def followed(northbound: Database, changed: Callable[[], None] = lambda: None) -> Link:
    link = Link(northbound.remote, Follow((LOCAL, REROUTE, DROP), ports=True), changed, random.Random(1))
    link.start()
    link.wait(SECONDS)
    return link


def planned(link: Link, **spec: Any) -> Transaction:
    with link.view() as seen:
        return difference(KEY, NODEAGENT, rows(asked(**spec), NODEAGENT, seen), seen)


def until(link: Link, holds: Callable[[Northbound], bool]) -> None:
    """Wait until the view is so."""
    deadline = time.monotonic() + SECONDS
    while True:
        with link.view() as seen:
            if holds(seen):
                return
        assert time.monotonic() < deadline
        time.sleep(0.01)


def sole(link: Link, table: str, **columns: Any) -> Row:
    with link.view() as seen:
        found = [row for row in seen.table(table).values() if columns.items() <= row.columns.items()]
    assert found
    return found[0]


def test_what_is_written_is_seen_and_planned_no_more(link: Link) -> None:
    link.commit(planned(link, trafficPolicy="Local"))
    assert not planned(link, trafficPolicy="Local")
    with link.view() as seen:
        assert len(seen.table(POLICY)) == 16
        assert len(seen.table(BFD)) == 4
        assert {row.name for policy in seen.table(POLICY) if (row := seen.holder_of(policy))} == {"vpc1"}


def test_another_client_sees_the_same(link: Link, northbound: Database) -> None:
    link.commit(planned(link))
    listed = nbctl(northbound, "lr-policy-list", "vpc1")
    assert listed.count("reroute") == 4
    assert "10.20.0.11, 10.20.0.12" in listed or "10.20.0.12, 10.20.0.11" in listed
    other = followed(northbound)
    assert not planned(other)
    other.close()


def test_what_others_do_is_seen(northbound: Database, link: Link) -> None:
    heard = threading.Event()
    other = followed(northbound, heard.set)
    link.commit(planned(link))
    until(other, lambda seen: len(seen.table(POLICY)) == 8)
    heard.clear()
    nbctl(northbound, "lr-policy-del", "vpc1", "29090")
    assert heard.wait(SECONDS)
    until(other, lambda seen: len(seen.table(POLICY)) == 4)
    other.close()


def test_a_gateway_that_moves_to_another_router_leaves_the_first(link: Link, northbound: Database) -> None:
    link.commit(planned(link))
    with link.view() as seen:
        moved = replace(asked(), router="vpc2")
        transaction = difference(KEY, NODEAGENT, rows(moved, NODEAGENT, seen), seen)
    link.commit(transaction)
    assert "reroute" not in nbctl(northbound, "lr-policy-list", "vpc1")
    assert nbctl(northbound, "lr-policy-list", "vpc2").count("reroute") == 4


def test_nothing_is_left_of_a_gateway_that_is_gone(link: Link, northbound: Database) -> None:
    link.commit(planned(link))
    with link.view() as seen:
        gone = difference(KEY, NODEAGENT, (), seen)
    link.commit(gone)
    for table in ("Address_Set", "Port_Group", "BFD", "Logical_Router_Policy"):
        assert nbctl(northbound, "--bare", "--columns=_uuid", "list", table).strip() == ""


def test_a_plan_from_rows_that_have_changed_is_refused_whole(link: Link, northbound: Database) -> None:
    link.commit(planned(link))
    policy = sole(link, POLICY, priority=REROUTE)
    stale = replace(policy, columns={**policy.columns, "nexthops": frozenset({"10.20.0.99"})})
    drop = sole(link, POLICY, priority=DROP)
    with link.view() as seen:
        holder = seen.holder_of(drop.uuid)
    edits = (Delete(drop, holder), Update(stale, {"nexthops": frozenset({"10.20.0.11"})}))
    with pytest.raises(Transient, match="has changed meanwhile"):
        link.commit(Transaction(KEY, edits))
    assert nbctl(northbound, "lr-policy-list", "vpc1").count("drop") == 4


def _insist(link: Link) -> None:
    """Write again and again: what was sent when the server went may still have been taken."""
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        link.commit(
            Transaction(KEY, (Update(row := sole(link, BFD), {"detect_mult": row.columns["detect_mult"] + 1}),))
        )


def test_it_comes_back_after_the_server_was_away(link: Link, northbound: Database) -> None:
    link.commit(planned(link))
    northbound.stop()
    with pytest.raises(Transient, match=r"not connected|refuses"):
        _insist(link)
    northbound.start()
    nbctl(northbound, "lr-policy-del", "vpc1", "29090")
    until(link, lambda seen: len(seen.table(POLICY)) == 4)
    deadline = time.monotonic() + SECONDS
    while planned(link) and time.monotonic() < deadline:
        try:
            link.commit(planned(link))
        except Transient:
            time.sleep(0.05)
    assert not planned(link)


def test_a_database_that_is_not_there_is_told_in_time() -> None:
    link = Link("unix:/nonexistent/nb.sock", Follow((REROUTE,), connect=0.2), lambda: None, random.Random(1))
    link.start()
    with pytest.raises(Transient, match="no northbound database answers"):
        link.wait(0.5)
    link.close()
