"""The fixtures themselves: what the other tests build upon is there."""

from __future__ import annotations

from tests.ovn.central import Central, Database, nbctl, until


def test_northd_carries_a_router_to_the_southbound_database(ovn: Central) -> None:
    ovn.nbctl("lr-add", "vpc1")
    until(lambda: "vpc1" in ovn.sbctl("--columns=external_ids", "list", "Datapath_Binding"), ovn.northd.log)


def test_a_database_comes_back_with_its_rows(northbound: Database) -> None:
    nbctl(northbound, "lr-add", "vpc1")
    northbound.stop()
    northbound.start()
    assert "vpc1" in nbctl(northbound, "lr-list")


def test_a_cluster_goes_on_without_its_leader(members: list[Database]) -> None:
    leader = next(each for each in members if each.leads)
    rest = [each for each in members if each is not leader]
    nbctl(leader, "lr-add", "vpc1")
    leader.stop()
    until(lambda: any(each.leads for each in rest), lambda: "another leads")
    assert "vpc1" in nbctl(next(each for each in rest if each.leads), "lr-list")
