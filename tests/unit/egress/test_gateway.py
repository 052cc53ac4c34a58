"""What a gateway object may say, and how it is told what is wrong with it."""

from __future__ import annotations

from typing import Any

import pytest

from nodeagent.egress.demand import Instance, demand, reported
from nodeagent.egress.gateway import Bfd, gateway
from nodeagent.egress.site import Site, Subnet, Vpc
from nodeagent.errors import Rejected
from tests.unit.egress.site import asked, document, pod, site


def _paths(**spec: Any) -> list[str]:
    with pytest.raises(Rejected) as caught:
        gateway(document(**spec))
    return [problem.path for problem in caught.value.problems]


def _misfits(where: Site, **spec: Any) -> list[tuple[str, str]]:
    found = gateway(document(**spec))
    with pytest.raises(Rejected) as caught:
        demand(found, where, reported(found))
    return [(problem.path, problem.message) for problem in caught.value.problems]


def test_what_is_not_said_has_kube_ovns_defaults() -> None:
    found = gateway(
        {"metadata": {"name": "a"}, "spec": {"externalSubnet": "o", "policies": [{"ipBlocks": ["10.0.0.1"]}]}}
    )
    assert (found.vpc, found.replicas, found.bfd, found.local, found.key) == (
        "ovn-cluster",
        1,
        None,
        False,
        "default/a",
    )


@pytest.mark.parametrize(
    ("spec", "paths"),
    [
        ({"externalSubnet": None}, ["$.spec.externalSubnet"]),
        ({"replicas": 11}, ["$.spec.replicas"]),
        ({"replicas": True}, ["$.spec.replicas"]),
        ({"internalIPs": ["10.20.0.11"]}, ["$.spec.internalIPs"]),
        ({"externalIPs": ["192.0.2.11", "192.0.2.500"]}, ["$.spec.externalIPs", "$.spec.externalIPs[1]"]),
        ({"policies": [{"snat": True}]}, ["$.spec.policies[0]"]),
        ({"policies": [{"ipBlocks": ["10.0.0.0/33"]}]}, ["$.spec.policies[0].ipBlocks[0]"]),
        ({"policies": None, "selectors": None}, ["$.spec"]),
        ({"selectors": [{"podSelector": {}}]}, ["$.spec.selectors[0].podSelector"]),
        (
            {"selectors": [{"podSelector": {"matchExpressions": [{"key": "a", "operator": "Like"}]}}]},
            ["$.spec.selectors[0].podSelector.matchExpressions[0].operator"],
        ),
        ({"trafficPolicy": "Near"}, ["$.spec.trafficPolicy"]),
        ({"bfd": {"enabled": "yes", "minRX": 0}}, ["$.spec.bfd.enabled", "$.spec.bfd.minRX"]),
        ({"internalIPs": ["10.20.0.11", "10.20.0.12"], "internalIPPool": "p"}, ["$.spec.internalIPPool"]),
        ({"vpc": 3, "policies": "all"}, ["$.spec.policies", "$.spec.vpc"]),
    ],
)
def test_each_problem_names_its_field(spec: dict[str, Any], paths: list[str]) -> None:
    assert _paths(**spec) == paths


@pytest.mark.parametrize(
    ("spec", "path", "message"),
    [
        ({"vpc": "none"}, "$.spec.vpc", "there is no Vpc none"),
        ({"externalSubnet": "none"}, "$.spec.externalSubnet", "there is no Subnet none"),
        ({"internalSubnet": None}, "$.spec.internalSubnet", "is missing, and Vpc vpc1 has no default subnet"),
        ({"policies": [{"subnets": ["pods", "none"]}]}, "$.spec.policies[0].subnets[1]", "there is no Subnet none"),
        (
            {"internalIPs": ["10.20.0.11", "10.30.0.12"]},
            "$.spec.internalIPs[1]",
            "10.30.0.12 lies outside Subnet inside (10.20.0.0/24, fd00:20::/64)",
        ),
        (
            {"externalIPs": ["192.0.2.11", "fd00::1"]},
            "$.spec.externalIPs[1]",
            "fd00::1 is IPv6, which Subnet outside (192.0.2.0/24) has not",
        ),
    ],
)
def test_what_does_not_fit_the_site_names_its_field(spec: dict[str, Any], path: str, message: str) -> None:
    assert _misfits(site(), **spec) == [(path, message)]


def test_bfd_needs_a_port_of_the_router() -> None:
    plain = Vpc.of({"metadata": {"name": "vpc1"}})
    where = Site({"vpc1": plain}, site().subnets, {}, (), site().nodes)
    assert _misfits(where) == [("$.spec.bfd.enabled", "Vpc vpc1 has no BFD port")]


def test_the_bfd_port_needs_an_address_of_the_subnets_family() -> None:
    port = {"enabled": True, "ip": "fd00:255::1"}
    where = Site(
        {"vpc1": Vpc.of({"metadata": {"name": "vpc1"}, "spec": {"bfdPort": port}})},
        {**site().subnets, "inside": Subnet("inside", "vpc1", ("10.20.0.0/24",))},
    )
    assert ("$.spec.bfd.enabled", "the BFD port of Vpc vpc1 has only fd00:255::1") in _misfits(where)


def test_instances_are_those_that_the_status_tells_of() -> None:
    assert reported(gateway(document())) == (
        Instance("n1", ("10.20.0.11", "fd00:20::11"), ("192.0.2.11",)),
        Instance("n2", ("10.20.0.12", "fd00:20::12"), ("192.0.2.12",)),
    )


@pytest.mark.parametrize(
    ("selectors", "ports"),
    [
        ([{"namespaceSelector": {"matchLabels": {"team": "a"}}}], {"x1.red", "y1.red"}),
        ([{"podSelector": {"matchLabels": {"app": "x"}}}], {"x1.red", "x1.blue"}),
        (
            [{"podSelector": {"matchLabels": {"app": "y"}}}, {"namespaceSelector": {"matchLabels": {"team": "b"}}}],
            {"y1.red", "x1.blue"},
        ),
        (None, set()),
    ],
)
def test_selectors_select_live_pods_of_the_vpc(selectors: Any, ports: set[str]) -> None:
    assert asked(selectors=selectors).ports == ports


def test_a_pod_of_the_host_network_is_not_selected() -> None:
    assert not pod("red", "x2", hostNetwork=True).live


def test_detection_takes_the_slower_of_both_intervals() -> None:
    assert Bfd(100, 200, 3).detection == pytest.approx(0.6)
