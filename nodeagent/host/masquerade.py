"""The table that gives what comes from inside the gateway's own address, and counts it: as rules, and as a fact. Pure.

Invariant: the rules of a fact are all there is in the table, so a table with anything else is not that fact.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from ipaddress import ip_network
from typing import Any, Final

from nodeagent.observed.kernel import Nat

FAMILY: Final = "inet"
TABLE: Final = "nodeagent-egress"
_MARK: Final = 0x4000  # as Kube-OVN's gateways mark what comes from inside
_CHAINS: Final = {
    "came": ("filter", "prerouting", -300),  # before connections are tracked, whose table may be full
    "mark": ("filter", "prerouting", -150),
    "nat": ("nat", "postrouting", 100),
    "went": ("filter", "postrouting", 300),  # after whatever may drop a packet
}
_COUNTED: Final = ("came", "went")
_PROTOCOLS: Final = {4: "ipv4", 6: "ipv6"}
_GIVEN: Final = ("handle", "index", "packets", "bytes")  # by the kernel
_SETS: Final = {4: ("kept4", "ipv4_addr", "ip"), 6: ("kept6", "ipv6_addr", "ip6")}

Object = dict[str, Any]


def made(fact: Nat) -> list[Object]:
    """The commands that make the table anew, in one go, so that no packet sees it half made."""
    table = {"family": FAMILY, "name": TABLE}
    commands: list[Object] = [{"add": {"table": table}}, {"delete": {"table": table}}, {"add": {"table": table}}]
    return [*commands, *({"add": each} for each in _contents(fact))]


def removed() -> list[Object]:
    return [{"delete": {"table": {"family": FAMILY, "name": TABLE}}}]


def listed() -> list[Object]:
    return [{"list": {"table": {"family": FAMILY, "name": TABLE}}}]


def seen(namespace: str, listing: Iterable[Object], inside: str, outside: str) -> Nat | None:
    """The fact that a listing stands for; None where it stands for none, so that it is made anew."""
    found = [_plain(each) for each in listing if "metainfo" not in each]
    kept = frozenset(network for each in found for network in _elements(each.get("set")))
    fact = Nat(namespace, inside, outside, kept)
    wanted = [{"table": {"family": FAMILY, "name": TABLE}}, *_contents(fact)]
    return fact if _sorted(found) == _sorted(map(_plain, wanted)) else None


def counted(listing: Iterable[Object]) -> dict[int, tuple[int, int]]:
    """Packets that came from inside to go on, and that left, by version of IP."""
    found = {each["counter"]["name"]: int(each["counter"]["packets"]) for each in listing if "counter" in each}
    names = {version: [f"{name}{version}" for name in _COUNTED] for version in _PROTOCOLS}
    return {
        version: (found[came], found[went]) for version, (came, went) in names.items() if {came, went} <= found.keys()
    }


def _contents(fact: Nat) -> Iterator[Object]:
    for version, (name, kind, _) in _SETS.items():
        kept = sorted(each for each in map(ip_network, fact.kept) if each.version == version)
        elements = [_element(str(each.network_address), each.prefixlen, each.max_prefixlen) for each in kept]
        held = {"elem": elements} if elements else {}
        yield {"set": {"family": FAMILY, "table": TABLE, "name": name, "type": kind, "flags": ["interval"], **held}}
    for name, (kind, hook, priority) in _CHAINS.items():
        where = {"type": kind, "hook": hook, "prio": priority, "policy": "accept"}
        yield {"chain": {"family": FAMILY, "table": TABLE, "name": name, **where}}
    for version in _PROTOCOLS:
        for name in _COUNTED:
            yield {"counter": {"family": FAMILY, "table": TABLE, "name": f"{name}{version}"}}
    for chain, expression in _rules(fact):
        yield {"rule": {"family": FAMILY, "table": TABLE, "chain": chain, "expr": expression}}


def _rules(fact: Nat) -> Iterator[tuple[str, list[Object]]]:
    mark = {"meta": {"key": "mark"}}
    marked = _match("==", {"&": [mark, _MARK]}, _MARK)
    leaving = _match("==", {"meta": {"key": "oifname"}}, fact.outside)
    entering = _match("==", {"meta": {"key": "iifname"}}, fact.inside)
    to_others = _match("==", {"fib": {"result": "type", "flags": ["daddr"]}}, "unicast")
    for version, protocol in _PROTOCOLS.items():
        known = _match("==", {"meta": {"key": "nfproto"}}, protocol)
        yield "came", [entering, known, to_others, {"counter": f"came{version}"}]
        yield "went", [leaving, known, marked, {"counter": f"went{version}"}]
    yield "mark", [entering, _mangle(mark)]
    for name, _, protocol in _SETS.values():
        source = {"payload": {"protocol": protocol, "field": "saddr"}}
        yield "nat", [leaving, marked, _match("==", source, f"@{name}"), {"return": None}]
    yield "nat", [leaving, marked, {"masquerade": None}]


def _match(operator: str, left: Any, right: Any) -> Object:
    return {"match": {"op": operator, "left": left, "right": right}}


def _mangle(mark: Object) -> Object:
    return {"mangle": {"key": mark, "value": {"|": [mark, _MARK]}}}


def _element(address: str, length: int, longest: int) -> Any:
    return address if length == longest else {"prefix": {"addr": address, "len": length}}


def _elements(found: Mapping[str, Any] | None) -> Iterator[str]:
    for each in (found or {}).get("elem", ()):
        prefix = each.get("prefix") if isinstance(each, dict) else {"addr": each}
        if prefix is not None:
            yield str(ip_network(f"{prefix['addr']}/{prefix['len']}" if "len" in prefix else prefix["addr"]))


def _plain(item: Object) -> Object:
    """An object as it was added: without what the kernel gave it."""
    ((kind, given),) = item.items()
    return {kind: {key: value for key, value in given.items() if key not in _GIVEN}}


def _sorted(items: Iterable[Object]) -> Sequence[str]:
    return sorted(repr(_ordered(each)) for each in items)


def _ordered(value: Any) -> Any:
    """The same whatever order keys and elements came in; a single flag is a list or, to later nftables, is not."""
    if isinstance(value, dict):
        listed = {key: [each] if key == "flags" and isinstance(each, str) else each for key, each in value.items()}
        return sorted((key, _ordered(each)) for key, each in listed.items())
    if isinstance(value, list):
        return [_ordered(each) for each in value]
    return value
