"""A small site with one gateway, as objects of the API, and a northbound database in memory."""

from __future__ import annotations

from itertools import count
from typing import Any

from nodeagent.changes.ovn import Delete, Insert, New, Transaction, Update
from nodeagent.egress.demand import Demand, demand, reported
from nodeagent.egress.gateway import Gateway, gateway
from nodeagent.egress.site import Node, Pod, Site, Subnet, Vpc
from nodeagent.observed.northbound import HELD, POLICY, PORT, ROUTER, ROUTER_PORT, SWITCH, Northbound, Row

_UUIDS = count(1)


def document(**spec: Any) -> dict[str, Any]:
    """A gateway of two nodes with BFD at 100 and 200 ms, one policy and one selector; `spec` says what differs."""
    wanted = {
        "vpc": "vpc1",
        "externalSubnet": "outside",
        "internalSubnet": "inside",
        "replicas": 2,
        "bfd": {"enabled": True, "minRX": 100, "minTX": 200, "multiplier": 5},
        "policies": [{"ipBlocks": ["10.9.0.0/16", "fd00:9::/64"], "subnets": ["pods"], "snat": False}],
        "selectors": [
            {"namespaceSelector": {"matchLabels": {"team": "a"}}, "podSelector": {"matchLabels": {"app": "x"}}}
        ],
    }
    return {
        "kind": "VpcEgressGateway",
        "metadata": {"namespace": "default", "name": "gw", "generation": 3},
        "spec": {key: value for key, value in {**wanted, **spec}.items() if value is not None},
        "status": {
            "internalIPs": ["10.20.0.11,fd00:20::11", "10.20.0.12,fd00:20::12"],
            "externalIPs": ["192.0.2.11", "192.0.2.12"],
            "workload": {"nodes": ["n1", "n2"]},
        },
    }


def ours(**spec: Any) -> dict[str, Any]:
    """The same as an EgressGateway, with given addresses of both versions of IP, and nothing in its status."""
    given = {
        "internalIPs": ["10.20.0.11,fd00:20::11", "10.20.0.12,fd00:20::12"],
        "externalIPs": ["198.51.100.11,2001:db8::11", "198.51.100.12,2001:db8::12"],
        "externalSubnet": "beyond",
    }
    return {**document(**{**given, **spec}), "kind": "EgressGateway", "status": {}}


def site() -> Site:
    """The router vpc1 with pods of two kinds, and two nodes."""
    port = {"enabled": True, "ip": "10.255.0.1,fd00:255::1"}
    vpc = {"metadata": {"name": "vpc1"}, "spec": {"bfdPort": port}, "status": {"router": "vpc1"}}
    return Site(
        vpcs={"vpc1": Vpc.of(vpc)},
        subnets={each.name: each for each in (_subnet("inside", 20), _subnet("pods", 10), _outside(), _beyond())},
        namespaces={"red": {"team": "a"}, "blue": {"team": "b"}},
        pods=(pod("red", "x1"), pod("blue", "x1"), pod("red", "y1", app="y"), pod("red", "far", vpc="other")),
        nodes={name: node(name) for name in ("n1", "n2")},
        devices={"beyond.default": "ext0"},
    )


def pod(namespace: str, name: str, *, app: str = "x", vpc: str = "vpc1", **spec: Any) -> Pod:
    annotations = {"ovn.kubernetes.io/logical_router": vpc, "ovn.kubernetes.io/allocated": "true"}
    metadata = {"namespace": namespace, "name": name, "labels": {"app": app}, "annotations": annotations}
    return Pod.of({"metadata": metadata, "spec": spec, "status": {"phase": "Running"}})


def _subnet(name: str, number: int) -> Subnet:
    spec = {
        "vpc": "vpc1",
        "cidrBlock": f"10.{number}.0.0/24,fd00:{number}::/64",
        "gateway": f"10.{number}.0.1,fd00:{number}::1",
    }
    return Subnet.of({"metadata": {"name": name}, "spec": spec})


def _outside() -> Subnet:
    spec = {"cidrBlock": "192.0.2.0/24", "gateway": "192.0.2.1", "provider": "outside.default"}
    return Subnet.of({"metadata": {"name": "outside"}, "spec": spec})


def _beyond() -> Subnet:
    spec = {
        "cidrBlock": "198.51.100.0/24,2001:db8::/64",
        "gateway": "198.51.100.1,2001:db8::1",
        "provider": "beyond.default",
    }
    return Subnet.of({"metadata": {"name": "beyond"}, "spec": spec})


def node(name: str, *, ready: bool = True, taints: Any = (), **annotations: str) -> Node:
    """A node; `annotations` by the last part of their names, with _ for -."""
    said = {f"nodeagent.io/{key.replace('_', '-')}": value for key, value in annotations.items()}
    metadata = {"name": name, "annotations": {"ovn.kubernetes.io/port_name": f"node-{name}", **said}}
    conditions = [{"type": "Ready", "status": str(ready)}]
    return Node.of({"metadata": metadata, "spec": {"taints": list(taints)}, "status": {"conditions": conditions}})


def asked(**spec: Any) -> Demand:
    found: Gateway = gateway(document(**spec))
    return demand(found, site(), reported(found))


def empty() -> Northbound:
    """The router, and the ports of pods."""
    holding = {"policies": frozenset[str](), "ports": frozenset[str]()}
    routers = [Row(ROUTER, name, {"name": name, **holding}) for name in ("vpc1", "vpc2")]
    switches = [Row(SWITCH, name, {"name": name, "ports": frozenset()}) for name in ("inside", "pods")]
    bfd = Row(ROUTER_PORT, "bfd port", {"name": "bfd@vpc1"})
    ports = [Row(PORT, f"port {name}", {"name": name}) for name in ("x1.red", "x1.blue", "y1.red")]
    return Northbound([*routers, *switches, *ports, bfd])


def carried_out(transaction: Transaction, seen: Northbound) -> Northbound:
    """The database after the transaction."""
    labels: dict[str, str] = {}
    for edit in transaction.edits:
        match edit:
            case Insert(table, label, columns, holder):
                labels[label] = uuid = f"uuid-{next(_UUIDS)}"
                seen.put(Row(table, uuid, _settled(columns, labels)))
                if holder:
                    _hold(seen, holder, HELD[table][1], frozenset({uuid}), frozenset())
            case Update(row, columns):
                now = seen.row(row.table, row.uuid) or row
                seen.put(Row(row.table, row.uuid, {**now.columns, **_settled(columns, labels)}))
            case Delete(row, holder):
                seen.drop(row.table, row.uuid)
                if holder:
                    _hold(seen, holder, HELD[row.table][1], frozenset(), frozenset({row.uuid}))
    return seen


def _settled(columns: Any, labels: dict[str, str]) -> dict[str, Any]:
    return {name: _referring(value, labels) for name, value in columns.items()}


def _referring(value: Any, labels: dict[str, str]) -> Any:
    if isinstance(value, frozenset):
        return frozenset(_referring(each, labels) for each in value)
    return labels[value.label] if isinstance(value, New) else value


def _hold(seen: Northbound, holder: Row, column: str, more: frozenset[str], less: frozenset[str]) -> None:
    row = seen.row(holder.table, holder.uuid)
    assert row is not None
    seen.put(Row(row.table, row.uuid, {**row.columns, column: (row.columns[column] | more) - less}))


def changed(seen: Northbound, row: Row, **columns: Any) -> Northbound:
    """The database after somebody has edited `row` by hand."""
    seen.put(Row(row.table, row.uuid, {**row.columns, **columns}))
    return seen


def policies(seen: Northbound, priority: int) -> list[Row]:
    return [row for row in seen.table(POLICY).values() if row.columns["priority"] == priority]
