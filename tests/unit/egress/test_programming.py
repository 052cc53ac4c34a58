"""What the coordinator writes for gateways that it programs: rows, status, addresses, and nothing twice."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from nodeagent.agent.egressprogram import Programmer
from nodeagent.changes.ovn import Transaction
from nodeagent.egress.inventory import FINALIZER, STATUS, Inventory, gathered, kinds, readable
from nodeagent.egress.node.partfile import part_of
from nodeagent.egress.programming import node_label
from nodeagent.egress.rows import DROP, REROUTE
from nodeagent.egress.sight import sights
from nodeagent.egress.site import Ip, Site, Vpc
from nodeagent.errors import Transient
from nodeagent.observed.northbound import ADDRESS_SET, BFD, GROUP, POLICY, PORT, Northbound
from tests.unit.egress.site import carried_out, changed, document, empty, node, ours, policies, site

KEY = "default/gw"
Object = dict[str, Any]


class Cluster:
    """Objects, as an API server would keep them, beside a database in memory."""

    def __init__(self, *documents: Object, mode: str = "program") -> None:
        self.documents = {self.key(each): each for each in documents}
        self.site: Site = replace(site(), nodes={name: node(name) for name in ("n1", "n2", "n3")})
        self.seen, self.mode = empty(), mode
        self.requests: list[str] = []
        self.claimed: dict[str, Mapping[str, Any]] = {}
        self.broken: frozenset[str] = frozenset()
        self.now = 0.0
        self.commits = 0
        self.programmer = Programmer(self, self, lambda: self.now, lambda: datetime.fromtimestamp(self.now, UTC))  # type: ignore[arg-type] # by shape

    @staticmethod
    def key(document: Object) -> str:
        return f"{document['metadata']['namespace']}/{document['metadata']['name']}"

    def inventory(self) -> Inventory:
        ips = {name: Ip.of({"metadata": each["metadata"], "spec": each["spec"]}) for name, each in self.claimed.items()}
        found = replace(self.site, ips=ips)
        return gathered([readable(each) for each in self.documents.values()], found, kinds(self.mode))

    def round(self) -> float:
        """One round; what the coordinator asked of the API stands in `requests`."""
        self.requests.clear()
        self.now += 1
        found = self.inventory()
        return self.programmer.work(found, sights(found, self.seen))

    def settle(self) -> None:
        """Rounds until there is nothing more to write."""
        for _ in range(10):
            before = self.commits
            self.round()
            if not self.requests and self.commits == before:
                return
        pytest.fail(f"does not come to rest: {self.requests}")

    def ups(self, state: str = "up") -> None:
        for row in list(self.seen.table(BFD).values()):
            changed(self.seen, row, status=state)

    def status(self, key: str = KEY) -> Object:
        found: Object = self.documents[key]["status"]
        return found

    def condition(self, kind: str, key: str = KEY) -> tuple[str, str]:
        (found,) = (each for each in self.status(key)["conditions"] if each["type"] == kind)
        return found["status"], found["message"]

    # -- the database -------------------------------------------------------------------------------------------------

    @contextmanager
    def view(self) -> Iterator[Northbound]:
        yield self.seen

    def commit(self, *transactions: Transaction) -> None:
        if any(each.owner in self.broken for each in transactions):
            raise Transient("the database says no")
        for each in transactions:
            self.commits += 1
            carried_out(each, self.seen)

    # -- the API ------------------------------------------------------------------------------------------------------

    def hold(self, _kind: str, key: str) -> None:
        self.requests.append(f"hold {key}")
        self.documents[key]["metadata"] = {**self.documents[key]["metadata"], "finalizers": [FINALIZER]}

    def release(self, _kind: str, key: str) -> None:
        self.requests.append(f"release {key}")
        del self.documents[key]

    def tell(self, _kind: str, key: str, status: Mapping[str, Any], *, whole: bool) -> None:
        self.requests.append(f"tell {key}")
        assert whole or self.mode == "takeover"
        self.documents[key]["status"] = {**self.documents[key]["status"], **status}

    def label(self, _kind: str, key: str, labels: Mapping[str, str | None]) -> None:
        self.requests.append(f"label {key}")
        now = {**self.documents[key]["metadata"].get("labels", {}), **labels}
        self.documents[key]["metadata"]["labels"] = {name: value for name, value in now.items() if value is not None}

    def claim(self, claimed: Mapping[str, Any]) -> None:
        self.claimed[claimed["metadata"]["name"]] = claimed

    def give_back(self, names: Sequence[str]) -> None:
        for name in names:
            del self.claimed[name]

    def delete(self, key: str = KEY) -> None:
        self.documents[key]["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"


def count(seen: Northbound) -> dict[str, int]:
    """Rows of gateways, by table."""
    tables = (BFD, ADDRESS_SET, GROUP, POLICY, PORT)
    return {table: len([row for row in seen.table(table).values() if row.owner]) for table in tables}


def test_a_gateway_is_programmed_and_a_second_round_changes_nothing() -> None:
    cluster = Cluster(ours())
    cluster.settle()
    assert count(cluster.seen) == {BFD: 4, ADDRESS_SET: 2, GROUP: 1, POLICY: 4, PORT: 2}
    cluster.ups()
    cluster.settle()
    assert len(policies(cluster.seen, DROP)) == 4
    assert cluster.status()["phase"] == "Completed"
    assert cluster.round() == 60.0
    assert cluster.requests == []


def test_traffic_is_dropped_only_after_a_session_of_its_version_was_up_and_then_for_good() -> None:
    cluster = Cluster(ours())
    cluster.settle()
    row = next(row for row in cluster.seen.table(BFD).values() if row.columns["dst_ip"] == "10.20.0.11")
    changed(cluster.seen, row, status="up")
    cluster.settle()
    assert {row.said("af") for row in policies(cluster.seen, DROP)} == {"4"}
    changed(cluster.seen, row, status="down")
    cluster.settle()
    assert {row.said("af") for row in policies(cluster.seen, DROP)} == {"4"}
    assert cluster.condition("Ready")[0] == "False"


def test_each_node_gets_a_part_that_it_can_build_and_the_label_by_which_it_finds_it() -> None:
    cluster = Cluster(
        ours(policies=[{"subnets": ["pods"], "snat": False}, {"ipBlocks": ["10.9.0.0/16"], "snat": True}])
    )
    cluster.settle()
    for told in cluster.status()["parts"]:
        part = part_of({"gateway": KEY, **{name: each for name, each in told.items() if name != "node"}}, "status")
        assert part.kept == {"10.10.0.0/24", "fd00:10::/64"}
        assert part.peers == {"10.255.0.1", "fd00:255::1"}
        assert (part.underlay, part.bfd is not None) == ("ext0", True)
        port = cluster.seen.named(PORT, part.port)
        assert port is not None
        assert port.columns["addresses"] == {f"{part.mac} {' '.join(leg.host for leg in part.inside)}"}
    nodes = {node_label(name) for name in cluster.status()["workload"]["nodes"]}
    assert set(cluster.documents[KEY]["metadata"]["labels"]) == nodes


def test_the_finalizer_comes_before_the_first_row() -> None:
    cluster = Cluster(ours())

    def refuse(_kind: str, _key: str) -> None:
        raise Transient("no API")

    cluster.hold = refuse  # type: ignore[assignment,method-assign] # an API server that is away
    cluster.round()
    assert cluster.commits == 0


@pytest.mark.parametrize("spoil", [False, True])
def test_a_gateway_that_is_deleted_leaves_nothing(*, spoil: bool) -> None:
    cluster = Cluster(ours())
    cluster.settle()
    cluster.ups()
    cluster.settle()
    if spoil:  # an object that cannot be read any more goes as well
        cluster.documents[KEY]["spec"] = {"replicas": "many"}
    cluster.delete()
    cluster.round()
    assert set(count(cluster.seen).values()) == {0}
    assert cluster.documents == {}


def test_a_gateway_whose_rows_cannot_be_deleted_stays_and_does_not_keep_others() -> None:
    other = {**ours(internalIPs=["10.20.0.31"], externalIPs=["198.51.100.31"], replicas=1)}
    other["metadata"] = {"namespace": "default", "name": "other"}
    cluster = Cluster(ours(), other)
    cluster.settle()
    cluster.delete()
    cluster.delete("default/other")
    cluster.broken = frozenset({KEY})
    cluster.round()
    assert set(cluster.documents) == {KEY}
    cluster.broken = frozenset()
    cluster.round()
    assert set(count(cluster.seen).values()) == {0}


def test_rows_without_an_object_are_deleted() -> None:
    cluster = Cluster(ours())
    cluster.settle()
    cluster.documents.clear()
    cluster.round()
    assert set(count(cluster.seen).values()) == {0}


def test_an_edit_of_the_vpc_moves_all_rows() -> None:
    cluster = Cluster(ours())
    cluster.settle()
    second = replace(cluster.site.vpcs["vpc1"], name="vpc2", router="vpc2", bfd_port="bfd@vpc1")
    inside = replace(cluster.site.subnets["inside"], vpc="")
    pods = replace(cluster.site.subnets["pods"], vpc="")
    subnets = {**cluster.site.subnets, "inside": inside, "pods": pods}
    cluster.site = replace(cluster.site, vpcs={"vpc1": _bare("vpc1"), "vpc2": second}, subnets=subnets)
    cluster.documents[KEY]["spec"]["vpc"] = "vpc2"
    cluster.settle()
    holders = {found.name for row in policies(cluster.seen, REROUTE) if (found := cluster.seen.holder_of(row.uuid))}
    assert holders == {"vpc2"}


def _bare(name: str) -> Vpc:
    return Vpc(name, name)


def test_an_object_that_asks_for_what_cannot_be_keeps_its_rows() -> None:
    cluster = Cluster(ours())
    cluster.settle()
    before = count(cluster.seen)
    cluster.documents[KEY]["spec"]["externalSubnet"] = "nowhere"
    cluster.settle()
    assert count(cluster.seen) == before
    status, message = cluster.condition("Validated")
    assert (status, "$.spec.externalSubnet" in message) == ("False", True)


def _spec(**spec: Any) -> Callable[[Cluster], None]:
    def spoil(cluster: Cluster) -> None:
        cluster.documents[KEY]["spec"] |= spec

    return spoil


def _no_device(cluster: Cluster) -> None:
    cluster.site = replace(cluster.site, devices={})


def _no_gateway(cluster: Cluster) -> None:
    inside = replace(cluster.site.subnets["inside"], gateways=("10.20.0.1",))
    cluster.site = replace(cluster.site, subnets={**cluster.site.subnets, "inside": inside})


@pytest.mark.parametrize(
    ("spoil", "field"),
    [
        (_spec(externalIPs=["198.51.100.11", "198.51.100.12"]), "$.spec.externalIPs"),
        (_spec(internalIPs=None, externalIPs=None, internalIPPool="pool"), "$.spec.internalIPPool"),
        (_spec(replicas=99), "$.spec.replicas"),
        (_spec(internalIPs=["10.99.0.1", "10.20.0.12"]), "$.spec.internalIPs[0]"),
        (_no_device, "$.spec.externalSubnet"),
        (_no_gateway, "$.spec.internalSubnet"),
    ],
)
def test_what_cannot_be_is_told_by_field(spoil: Callable[[Cluster], None], field: str) -> None:
    cluster = Cluster(ours())
    spoil(cluster)
    cluster.settle()
    status, message = cluster.condition("Validated")
    assert (status, field in message, cluster.commits) == ("False", True, 0)


def test_a_database_that_refuses_one_gateway_takes_the_others() -> None:
    other = {**ours(internalIPs=["10.20.0.31"], externalIPs=["198.51.100.31"], replicas=1)}
    other["metadata"] = {"namespace": "default", "name": "other"}
    cluster = Cluster(ours(), other)
    cluster.broken = frozenset({KEY})
    cluster.round()
    assert cluster.condition("Programmed") == ("False", "the database says no")
    assert cluster.condition("Programmed", "default/other")[0] == "True"


def test_a_drained_node_loses_its_nexthop_and_keeps_its_session() -> None:
    cluster = Cluster(ours())
    cluster.settle()
    cluster.ups()
    cluster.settle()
    first = cluster.status()["workload"]["nodes"][0]
    nodes = {**cluster.site.nodes, first: node(first, egress_drain="drain")}
    cluster.site = replace(cluster.site, nodes=nodes)
    cluster.settle()
    for row in policies(cluster.seen, REROUTE):
        assert not {"10.20.0.11", "fd00:20::11"} & row.columns["nexthops"]
    assert count(cluster.seen)[BFD] == 4
    assert "10.20.0.11 is withdrawn: Drained" in cluster.condition("Degraded")[1]
    resting = [row for row in cluster.seen.table(BFD).values() if row.columns["dst_ip"].endswith("11")]
    for row in resting:  # as OVN does where no policy names the session
        changed(cluster.seen, row, status="admin_down")
    cluster.settle()
    (sight,) = sights(cluster.inventory(), cluster.seen)
    assert (len(resting), sight.findings) == (2, ())


def test_addresses_are_claimed_waited_for_and_given_back() -> None:
    cluster = Cluster(ours(internalIPs=None, externalIPs=None))
    cluster.settle()
    assert sorted(cluster.claimed) == [
        "egress-gw-0.default",
        "egress-gw-0.default.beyond.default",
        "egress-gw-1.default",
        "egress-gw-1.default.beyond.default",
    ]
    assert all(each["metadata"]["labels"] for each in cluster.claimed.values())
    assert "waits for the addresses of" in cluster.condition("Degraded")[1]
    for number, name in enumerate(sorted(cluster.claimed)):
        inside = cluster.claimed[name]["spec"]["subnet"] == "inside"
        address = f"10.20.0.{50 + number}" if inside else f"198.51.100.{50 + number}"
        spec = {**cluster.claimed[name]["spec"], "v4IpAddress": address}
        cluster.claimed[name] = {**cluster.claimed[name], "spec": spec}
    cluster.settle()
    assert cluster.status()["internalIPs"] == ["10.20.0.50", "10.20.0.52"]
    assert cluster.status()["externalIPs"] == ["198.51.100.51", "198.51.100.53"]
    cluster.documents[KEY]["spec"]["replicas"] = 1
    cluster.settle()
    assert sorted(cluster.claimed) == ["egress-gw-0.default", "egress-gw-0.default.beyond.default"]
    cluster.delete()
    cluster.round()
    cluster.round()
    assert cluster.claimed == {}


def test_kube_ovns_kind_is_run_only_where_it_is_taken_over() -> None:
    theirs = {**document(externalSubnet="beyond"), "status": {}}
    theirs["spec"] |= {"internalIPs": ["10.20.0.11"], "externalIPs": ["198.51.100.11"], "replicas": 1}
    cluster = Cluster(theirs)
    cluster.settle()
    assert cluster.commits == 0
    cluster = Cluster(theirs, mode="takeover")
    cluster.settle()
    assert count(cluster.seen)[PORT] == 1


def test_where_both_kinds_have_one_name_kube_ovns_has_the_rows() -> None:
    cluster = Cluster(ours())
    found = gathered([readable(ours()), readable(document())], cluster.site, kinds("program"))
    told = sights(found, cluster.seen)
    assert [(each.read.kind, [problem.path for problem in each.problems]) for each in told] == [
        ("EgressGateway", ["$.metadata.name"]),
        ("VpcEgressGateway", []),
    ]


@pytest.mark.parametrize(("said", "found"), [("{", set()), ("[]", set()), ('{"sessions": []}', {"sessions"})])
def test_what_stands_beside_a_status_is_read_with_it(said: str, found: set[str]) -> None:
    theirs = {**document(), "status": {}}
    theirs["metadata"] = {**theirs["metadata"], "annotations": {STATUS: said}}
    assert set(readable(theirs).status) == found
