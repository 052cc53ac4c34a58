"""The rows of a gateway, as Kube-OVN shapes them."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from nodeagent.changes.ovn import New
from nodeagent.egress.rows import KUBE_OVN, rows
from tests.unit.egress.site import asked, empty

H = hashlib.sha256(b"default/gw").hexdigest()[:12]


def _x(version: int) -> dict[str, str]:
    return {"vendor": "kube-ovn", "vpc-egress-gateway": "default/gw", "af": str(version)}


def _written(**spec: Any) -> dict[str, dict[str, Any]]:
    found = rows(asked(**spec), KUBE_OVN, empty())
    return {f"{each.table} {each.label}": dict(each.columns) for each in found}


def _by_priority(found: dict[str, dict[str, Any]], priority: int) -> dict[str, dict[str, Any]]:
    return {each["match"]: each for each in found.values() if each.get("priority") == priority}


def test_the_group_holds_the_ports_of_selected_pods_of_the_vpc() -> None:
    assert _written()[f"Port_Group VEG.{H}"] == {
        "name": f"VEG.{H}",
        "ports": frozenset({"port x1.red"}),
        "external_ids": _x(4),
    }


@pytest.mark.parametrize(
    ("version", "addresses"), [(4, {"10.9.0.0/16", "10.10.0.0/24"}), (6, {"fd00:9::/64", "fd00:10::/64"})]
)
def test_the_sets_hold_blocks_and_subnets_of_all_policies(version: int, addresses: set[str]) -> None:
    name = f"VEG.{H}.ipv{version}"
    wanted = {"name": name, "addresses": frozenset(addresses), "external_ids": _x(version)}
    assert _written()[f"Address_Set {name}"] == wanted


def test_without_selectors_empty_sets_stand_for_the_group() -> None:
    found = _written(selectors=None)
    for version in (4, 6):
        name = f"VEG.{H}_ip{version}"
        wanted = {"name": name, "addresses": frozenset(), "external_ids": _x(version)}
        assert found[f"Address_Set {name}"] == wanted
    assert not [name for name in found if name.startswith("Port_Group")]


def test_with_selectors_the_sets_of_the_group_are_ovns() -> None:
    assert f"Address_Set VEG.{H}_ip4" not in _written()


def test_a_session_has_the_intervals_of_the_gateway_swapped() -> None:
    assert _written()["BFD session 10.20.0.11"] == {
        "logical_port": "bfd@vpc1",
        "dst_ip": "10.20.0.11",
        "min_rx": 200,
        "min_tx": 100,
        "detect_mult": 5,
        "external_ids": _x(4),
    }


@pytest.mark.parametrize("version", [4, 6])
def test_two_policies_of_each_family_send_to_all_nexthops(version: int) -> None:
    found = {match: each for match, each in _by_priority(_written(), 29100).items() if match.startswith(f"ip{version}")}
    addresses = {4: ("10.20.0.11", "10.20.0.12"), 6: ("fd00:20::11", "fd00:20::12")}[version]
    assert set(found) == {f"ip{version}.src == $VEG.{H}.ipv{version}", f"ip{version}.src == $VEG.{H}_ip{version}"}
    for each in found.values():
        assert each["action"] == "reroute"
        assert each["nexthops"] == frozenset(addresses)
        assert each["bfd_sessions"] == frozenset(New(f"session {address}") for address in addresses)
        assert each["external_ids"] == _x(version)


def test_traffic_is_dropped_below_the_policies_with_bfd_alone() -> None:
    found = _by_priority(_written(), 29090)
    assert set(found) == set(_by_priority(_written(), 29100))
    assert {each["action"] for each in found.values()} == {"drop"}
    assert _by_priority(_written(bfd=None), 29090) == {}


def test_local_traffic_goes_to_the_gateway_of_its_node() -> None:
    found = _by_priority(_written(trafficPolicy="Local"), 29150)
    here = found[f"ip4.src == $node.n1_ip4 && ip4.src == $VEG.{H}.ipv4"]
    assert here["nexthops"] == frozenset({"10.20.0.11"})
    assert here["bfd_sessions"] == frozenset({New("session 10.20.0.11")})
    assert len(found) == 8  # two nodes, two families, two kinds of sources
    assert len(_by_priority(_written(trafficPolicy="Local"), 29100)) == 4


def test_without_bfd_there_is_no_session() -> None:
    found = _written(bfd={"enabled": False})
    assert not [name for name in found if name.startswith("BFD")]
    assert {each["bfd_sessions"] for each in _by_priority(found, 29100).values()} == {frozenset()}


def test_a_withdrawn_nexthop_keeps_its_session_and_gets_no_traffic() -> None:
    found = rows(asked(), KUBE_OVN, empty(), withdrawn=frozenset({"10.20.0.11"}))
    assert any(each.label == "session 10.20.0.11" for each in found)
    nexthops = [each.columns["nexthops"] for each in found if each.columns.get("priority") == 29100]
    assert not any("10.20.0.11" in each for each in nexthops)


def test_with_every_nexthop_withdrawn_traffic_is_dropped_and_not_rerouted_to_nothing() -> None:
    every = frozenset({"10.20.0.11", "10.20.0.12", "fd00:20::11", "fd00:20::12"})
    priorities = {each.columns.get("priority") for each in rows(asked(), KUBE_OVN, empty(), withdrawn=every)}
    assert priorities == {None, 29090}


def test_nothing_is_dropped_before_a_session_was_up() -> None:
    priorities = [each.columns.get("priority") for each in rows(asked(), KUBE_OVN, empty(), drop=frozenset({6}))]
    assert priorities.count(29090) == 2
