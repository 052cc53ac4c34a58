"""Which nodes run a gateway that we program. Pure.

Invariant: an instance stays where it is while its node may keep it, so a node that is added or an agent that starts
again moves nothing; a node runs one instance of a gateway at most. The same input gives the same nodes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from nodeagent.egress.demand import Instance, reported, split
from nodeagent.egress.gateway import Gateway
from nodeagent.egress.site import Node
from nodeagent.errors import Problem
from nodeagent.observed.selectors import fits

_OPERATORS: Final = ("In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt")
_COMPARED: Final = _OPERATORS[-2:]
_UNHEARD: Final = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")
_FIELD: Final = "metadata.name"  # the only one that a node selector may ask about


def placement(gateway: Gateway, nodes: Mapping[str, Node]) -> tuple[Instance, ...]:
    """An instance for each replica that has a node, in the order of the addresses that are given.

    An instance on a node that is not Ready leaves it only for another one: where there is none, nothing is won.
    """
    legs = [
        Instance("", split(gateway.internal_ips, index), split(gateway.external_ips, index))
        for index in range(min(gateway.replicas, len(gateway.internal_ips), len(gateway.external_ips)))
    ]
    kept = _kept(gateway, nodes, legs)
    taken = frozenset(kept.values())
    free = [node for node in _candidates(gateway, nodes) if node not in taken]
    placed = []
    for leg in legs:
        node = kept.get(leg.internal, "")
        if free and not (node and nodes[node].ready):
            node = free.pop(0)
        if node:
            placed.append(Instance(node, leg.internal, leg.external))
    return tuple(placed)


def problems(gateway: Gateway) -> Iterator[Problem]:
    """What no node can be chosen by, and pools, of which nothing can be had."""
    for name, pool in (("internalIPPool", gateway.internal_pool), ("externalIPPool", gateway.external_pool)):
        if pool:
            advice = "give addresses, or leave the choice to the subnet"
            yield Problem(gateway.title, f"$.spec.{name}", "is for gateways that Kube-OVN runs", advice)
    for index, term in enumerate(gateway.node_selector):
        for name in ("matchExpressions", "matchFields"):
            for place, each in enumerate(term.get(name) or ()):
                if wrong := _wrong(name, each):
                    path = f"$.spec.nodeSelector[{index}].{name}[{place}]"
                    yield Problem(gateway.title, path, wrong, "write it as a node selector has it")


def _wrong(name: str, requirement: Mapping[str, Any]) -> str:
    operator, values = requirement.get("operator"), requirement.get("values") or []
    if operator not in _OPERATORS:
        return f"has the operator {operator!r}"
    if name == "matchFields" and requirement.get("key") != _FIELD:
        return f"asks about {requirement.get('key')!r}, not {_FIELD}"
    if operator in _COMPARED and not (len(values) == 1 and _number(values[0]) is not None):
        return f"has {values!r}, not one whole number"
    return "" if requirement.get("key") else "has no key"


def _kept(gateway: Gateway, nodes: Mapping[str, Node], legs: list[Instance]) -> dict[tuple[str, ...], str]:
    """The node of each instance that may stay, by its addresses inside."""
    before = {each.internal: each.node for each in reported(gateway)}
    kept: dict[tuple[str, ...], str] = {}
    for leg in legs:
        node = nodes.get(before.get(leg.internal, ""))
        if node and node.name not in kept.values() and _suits(gateway, node, ("NoExecute",), _UNHEARD):
            kept[leg.internal] = node.name
    return kept


def _candidates(gateway: Gateway, nodes: Mapping[str, Node]) -> list[str]:
    """Nodes that may take an instance, in an order of the gateway's own."""
    found = (each.name for each in nodes.values() if each.ready and _suits(gateway, each, ("NoSchedule", "NoExecute")))
    return spread(gateway.key, found)


def spread(owner: str, names: Iterable[str]) -> list[str]:
    """The names in an order of the owner's own, so that not all owners choose the same ones."""
    return sorted(names, key=lambda name: hashlib.sha256(f"{owner} {name}".encode()).hexdigest())


def _suits(gateway: Gateway, node: Node, effects: tuple[str, ...], ignored: tuple[str, ...] = ()) -> bool:
    terms = gateway.node_selector
    return (not terms or any(_selects(term, node) for term in terms)) and all(
        any(_tolerates(each, taint) for each in gateway.tolerations)
        for taint in node.taints
        if taint.get("effect") in effects and taint.get("key") not in ignored
    )


def _selects(term: Mapping[str, Any], node: Node) -> bool:
    """Whether a term of a node selector selects the node; one that asks nothing selects none."""
    expressions, names = term.get("matchExpressions") or (), term.get("matchFields") or ()
    exact = term.get("matchLabels") or {}
    return bool(expressions or names or exact) and (
        fits({"matchLabels": exact}, node.labels)
        and all(_holds(each, node.labels) for each in expressions)
        and all(_holds(each, {_FIELD: node.name}) for each in names)
    )


def _holds(requirement: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    if requirement["operator"] not in _COMPARED:
        return fits({"matchExpressions": [requirement]}, labels)
    found, bound = _number(labels.get(requirement["key"], "")), _number(requirement["values"][0])
    if found is None or bound is None:
        return False
    return found > bound if requirement["operator"] == "Gt" else found < bound


def _number(text: str) -> int | None:
    try:
        return int(text)
    except ValueError:
        return None


def _tolerates(toleration: Mapping[str, Any], taint: Mapping[str, Any]) -> bool:
    """Source: core/v1 Toleration; an empty effect or key means every one."""
    if toleration.get("effect") and toleration["effect"] != taint.get("effect"):
        return False
    if toleration.get("operator") == "Exists":
        return toleration.get("key") in (None, "", taint.get("key"))
    return toleration.get("key") == taint.get("key") and (toleration.get("value") or "") == (taint.get("value") or "")
