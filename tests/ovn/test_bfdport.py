"""The port of a Vpc that speaks BFD, in a real northbound database under a real northd."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace

import pytest

from nodeagent.changes.ovn import Transaction
from nodeagent.egress import bfdport
from nodeagent.egress.difference import difference
from nodeagent.egress.rows import DROP, LOCAL, NODEAGENT, REROUTE
from nodeagent.ovn.link import Follow, Link
from tests.ovn.central import Central, until
from tests.unit.egress.test_bfdport import cluster, node, nodes

_OURS = {"HA_Chassis_Group", "HA_Chassis", "Logical_Router_Port"}


@pytest.fixture
def link(ovn: Central) -> Iterator[Link]:
    ovn.nbctl("lr-add", "vpc1")
    link = Link(ovn.nb.remote, Follow((LOCAL, REROUTE, DROP), ports=True), lambda: None, random.Random(1))
    link.start()
    link.wait(30)
    yield link
    link.close()


def planned(link: Link, *names: str) -> Transaction:
    """For a cluster of these nodes."""
    found = cluster().inventory()
    site = replace(found.site, nodes=nodes(*map(node, names)))
    with link.view() as seen:
        (plan,) = bfdport.plans(replace(found, site=site), seen)
    return plan


def chassis(ovn: Central) -> set[str]:
    return set(ovn.nbctl("--bare", "--columns=chassis_name", "list", "HA_Chassis").split())


def test_northd_places_the_port_on_its_chassis_and_nothing_is_left_in_the_end(link: Link, ovn: Central) -> None:
    assert {edit.table for edit in planned(link, "n1", "n2").edits if hasattr(edit, "table")} == _OURS
    link.commit(planned(link, "n1", "n2"))
    assert not planned(link, "n1", "n2")
    assert "bfd@vpc1" in ovn.nbctl("lrp-list", "vpc1")
    assert chassis(ovn) == {"chassis-n1", "chassis-n2"}
    until(lambda: "cr-bfd@vpc1" in ovn.sbctl("--columns=logical_port", "list", "Port_Binding"), ovn.northd.log)

    ovn.nbctl("set", "Logical_Router_Port", "bfd@vpc1", "networks=10.9.9.9/32")
    until(lambda: bool(planned(link, "n1", "n2")), lambda: "the edit is seen")
    link.commit(planned(link, "n2", "n3"))
    assert not planned(link, "n2", "n3")
    assert chassis(ovn) == {"chassis-n2", "chassis-n3"}

    with link.view() as seen:
        gone = difference("vpc1", NODEAGENT, (), seen)
    link.commit(gone)
    for table in _OURS:
        assert ovn.nbctl("--bare", "--columns=_uuid", "list", table).strip() == ""
