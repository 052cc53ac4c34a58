"""The kernel state of egress gateways on this node: looked at, and changed one fact at a time.

Invariant: what is told was seen, in the words of `observed.kernel`, so that what was just made is seen as it was asked
for; what needs another fact first is made after it, in the order of the changes. Nothing is remembered.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from nodeagent.changes.kernel import KernelChange, Make
from nodeagent.errors import Broken, Transient
from nodeagent.host import masquerade, namespaces, nftables
from nodeagent.observed.kernel import (
    Address,
    Fact,
    Macvlan,
    Namespace,
    Nat,
    Pair,
    Port,
    Route,
    Rule,
    Running,
    Sysctl,
)

_FAMILIES: Final = {4: 2, 6: 10}  # AF_INET, AF_INET6
_VERSIONS: Final = {family: version for version, family in _FAMILIES.items()}
_DEFAULT: Final = {4: "0.0.0.0/0", 6: "::/0"}
_GLOBAL: Final = 0  # RT_SCOPE_UNIVERSE
_NODAD: Final = 2  # IFA_F_NODAD: nobody else may have what the coordinator gave us
_DONE: Final = (errno.EEXIST,)  # when something is made
_GONE: Final = (errno.ENOENT, errno.ENODEV, errno.ESRCH, errno.EADDRNOTAVAIL)  # when something is removed
_RULES: Final = range(1000, 2000)  # priorities of ours
_CHOOSING: Final = (1001, 1002)  # what comes from inside, and from outside


class GatewayKernel:
    """Namespaces that begin with `prefix`. Ports on the integration bridge are another's: they are no part of this."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix

    def observe(self, wanted: Collection[Fact]) -> frozenset[Fact]:
        """Everything in our namespaces; of sysctls those that `wanted` names."""
        with IPRoute() as host:
            outside = {link["index"]: link.get_attr("IFLA_IFNAME") for link in host.get_links()}
        found: set[Fact] = set()
        for name in namespaces.names(self._prefix):
            sysctls = [each for each in wanted if isinstance(each, Sysctl) and each.namespace == name]
            nat = next((each for each in wanted if isinstance(each, Nat) and each.namespace == name), None)
            found.add(Namespace(name))
            found |= namespaces.within(name, lambda: set(_inside(name, outside, sysctls, nat)))  # noqa: B023 - it ends here
        return frozenset(found)

    def carry_out(self, change: KernelChange) -> None:
        """Make or remove a fact; done too where it is so already. Transient if the kernel says no."""
        try:
            if isinstance(change, Make):
                _make(change.fact)
            else:
                _remove(change.fact)
        except NetlinkError as error:
            raise Transient(f"{change.describe()}: {os.strerror(error.code)}") from None
        except OSError as error:
            raise Transient(f"{change.describe()}: {error.strerror or error}") from None


def carries(name: str) -> bool:
    """Whether the namespace is an egress gateway's, Kube-OVN's included: by the rules that choose its ways."""
    try:
        return namespaces.within(name, _has_rules)
    except OSError:  # it is going, or it is no namespace
        return False


def hosts(name: str) -> frozenset[str]:
    """The addresses in the namespace, of whatever link; none where it is gone."""
    try:
        return namespaces.within(name, _hosts)
    except OSError:
        return frozenset()


def _hosts() -> frozenset[str]:
    with IPRoute() as ip:
        return frozenset(str(each.get_attr("IFA_ADDRESS")) for each in ip.get_addr(scope=_GLOBAL))


def _has_rules() -> bool:
    with IPRoute() as ip:
        found = {each.get_attr("FRA_PRIORITY") for family in _FAMILIES.values() for each in ip.get_rules(family=family)}
    return set(_CHOOSING) <= found


# -- looking ----------------------------------------------------------------------------------------------------------


def _inside(name: str, outside: Mapping[int, str], sysctls: Collection[Sysctl], nat: Nat | None) -> Iterator[Fact]:
    with IPRoute() as ip:
        links = {link["index"]: link for link in ip.get_links()}
        called = {index: str(link.get_attr("IFLA_IFNAME")) for index, link in links.items()}
        for link in links.values():
            yield from _link(name, link, outside)
        for each in ip.get_addr(scope=_GLOBAL):
            yield Address(name, called[each["index"]], f"{each.get_attr('IFA_ADDRESS')}/{each['prefixlen']}")
        for family in _FAMILIES.values():
            yield from _routes(name, ip.get_routes(family=family), called)
            yield from _rules(name, ip.get_rules(family=family))
    yield from (Sysctl(name, each.name, _read(each.name), each.link) for each in sysctls if _read(each.name))
    if nat is not None:
        with contextlib.suppress(FileNotFoundError):
            listing = nftables.run(masquerade.listed())
            # what is no fact of ours is one all the same, which nobody wants: it is replaced
            yield masquerade.seen(name, listing, nat.inside, nat.outside) or Nat(name, "", "")


def _link(name: str, link: Any, outside: Mapping[int, str]) -> Iterator[Fact]:
    called, other = str(link.get_attr("IFLA_IFNAME")), outside.get(link.get_attr("IFLA_LINK") or 0, "")
    match _kind(link):
        case "veth":
            yield Pair(name, called, other, str(link.get_attr("IFLA_ADDRESS")))
        case "macvlan":
            yield Macvlan(name, called, other)
        case _:
            return
    if link["flags"] & 1:
        yield Running(name, called, int(link.get_attr("IFLA_MTU")))


def _kind(link: Any) -> str:
    info = link.get_attr("IFLA_LINKINFO")
    return str(info.get_attr("IFLA_INFO_KIND")) if info is not None else ""


def _routes(name: str, routes: Any, called: Mapping[int, str]) -> Iterator[Route]:
    for each in routes:
        via, link = each.get_attr("RTA_GATEWAY"), called.get(each.get_attr("RTA_OIF") or 0, "")
        if via is not None and link:
            destination, length = each.get_attr("RTA_DST"), each["dst_len"]
            network = f"{destination}/{length}" if destination else _DEFAULT[_VERSIONS[each["family"]]]
            yield Route(name, int(each.get_attr("RTA_TABLE") or each["table"]), network, str(via), link)


def _rules(name: str, rules: Any) -> Iterator[Rule]:
    for each in rules:
        priority = each.get_attr("FRA_PRIORITY") or 0
        if priority in _RULES:
            source = each.get_attr("FRA_SRC")
            whole = f"{source}/{each['src_len']}" if source else ""
            table = int(each.get_attr("FRA_TABLE") or each["table"])
            yield Rule(name, _VERSIONS[each["family"]], priority, str(each.get_attr("FRA_IIFNAME")), table, whole)


# -- making -----------------------------------------------------------------------------------------------------------


def _make(fact: Fact) -> None:
    match fact:
        case Namespace(name):
            namespaces.make(name)
            namespaces.within(name, lambda: _up("lo"))
        case Pair():
            _make_pair(fact)
        case Macvlan():
            _make_macvlan(fact)
        case Port():
            raise Broken(f"{fact.title}: is not of the kernel")
        case _:
            namespaces.within(fact.namespace, lambda: _make_inside(fact))


def _make_pair(fact: Pair) -> None:
    """A cable of this name that leads elsewhere is what a gateway that ended half-way has left."""
    with _descriptor(fact.namespace) as namespace, IPRoute() as ip:
        for index in ip.link_lookup(ifname=fact.peer):
            ip.link("del", index=index)
        inside = {"ifname": fact.link, "net_ns_fd": namespace, "address": fact.mac}
        ip.link("add", ifname=fact.peer, kind="veth", peer=inside)
    _up(fact.peer)


def _make_macvlan(fact: Macvlan) -> None:
    with _descriptor(fact.namespace) as namespace, IPRoute() as ip, _tolerating(_DONE):
        parent = _index(ip, fact.parent)
        ip.link("add", ifname=fact.link, kind="macvlan", link=parent, macvlan_mode="bridge", net_ns_fd=namespace)


def _make_inside(fact: Fact) -> None:
    if isinstance(fact, Sysctl):
        _write(fact.name, fact.value)
        return
    if isinstance(fact, Nat):
        nftables.run(masquerade.made(fact))
        return
    with IPRoute() as ip, _tolerating(_DONE):
        match fact:
            case Running(link=link, mtu=mtu):
                ip.link("set", index=_index(ip, link), mtu=mtu, state="up")
            case Address(link=link, address=address):
                ip.addr("add", index=_index(ip, link), flags=_NODAD if ":" in address else 0, **_prefix(address))
            case Route():
                ip.route("replace", gateway=fact.via, oif=_index(ip, fact.link), **_routed(fact))
            case Rule():
                ip.rule("add", **_ruled(fact))


# -- removing ---------------------------------------------------------------------------------------------------------


def _remove(fact: Fact) -> None:
    match fact:
        case Namespace(name):
            with contextlib.suppress(OSError):
                namespaces.within(name, _unplug)
            namespaces.remove(name)
        case Port():
            raise Broken(f"{fact.title}: is not of the kernel")
        case _:
            with contextlib.suppress(FileNotFoundError):
                namespaces.within(fact.namespace, lambda: _remove_inside(fact))


def _unplug() -> None:
    """Take the links away at once: the kernel does so too, some time after their namespace has gone."""
    with IPRoute() as ip:
        for link in ip.get_links():
            if _kind(link) in ("veth", "macvlan"):
                ip.link("del", index=link["index"])


def _remove_inside(fact: Fact) -> None:
    if isinstance(fact, Nat):
        nftables.run(masquerade.removed())
        return
    with IPRoute() as ip, _tolerating(_GONE):
        match fact:
            case Pair(link=link) | Macvlan(link=link):
                ip.link("del", index=_index(ip, link))
            case Address(link=link, address=address):
                ip.addr("del", index=_index(ip, link), **_prefix(address))
            case Route():
                ip.route("del", gateway=fact.via, **_routed(fact))
            case Rule():
                ip.rule("del", **_ruled(fact))


# -- words ------------------------------------------------------------------------------------------------------------


def _prefix(address: str) -> dict[str, Any]:
    host, _, length = address.partition("/")
    return {"address": host, "prefixlen": int(length)}


def _routed(fact: Route) -> dict[str, Any]:
    return {"dst": fact.destination, "table": fact.table, "family": _family(fact.destination)}


def _ruled(fact: Rule) -> dict[str, Any]:
    source, _, length = fact.source.partition("/")
    whole = {"src": source, "src_len": int(length)} if source else {}
    given = {"family": _FAMILIES[fact.version], "priority": fact.priority, "iifname": fact.iif, "table": fact.table}
    return given | whole | {"action": 1}  # FR_ACT_TO_TBL


def _family(network: str) -> int:
    return _FAMILIES[6 if ":" in network else 4]


def _index(ip: Any, link: str) -> int:
    """The index of a link of this namespace; OSError if there is none."""
    found = ip.link_lookup(ifname=link)
    if not found:
        raise OSError(errno.ENODEV, f"there is no link {link}")
    return int(found[0])


def _up(link: str) -> None:
    with IPRoute() as ip:
        ip.link("set", index=_index(ip, link), state="up")


def _path(sysctl: str) -> str:
    return f"/proc/sys/{sysctl.replace('.', '/')}"


def _read(sysctl: str) -> str:
    try:
        with open(_path(sysctl)) as file:
            return file.read().strip()
    except OSError:  # the link that it belongs to is not there
        return ""


def _write(sysctl: str, value: str) -> None:
    with open(_path(sysctl), "w") as file:
        file.write(value)


@contextlib.contextmanager
def _descriptor(namespace: str) -> Iterator[int]:
    found = namespaces.opened(namespace)
    try:
        yield found
    finally:
        os.close(found)


@contextlib.contextmanager
def _tolerating(numbers: Collection[int]) -> Iterator[None]:
    try:
        yield
    except NetlinkError as error:
        if error.code not in numbers:
            raise
    except OSError as error:
        if error.errno not in numbers:
            raise
