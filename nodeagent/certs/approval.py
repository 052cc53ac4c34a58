"""What a kubelet's request for a serving certificate must be like to be approved without a person.

Invariant: pure and total; a request is approved only where nothing speaks against it. The rules are those of the signer
kubernetes.io/kubelet-serving (Kubernetes, "Certificate Signing Requests", Kubernetes signers), and stricter: its names
are the Node's addresses, no more and no fewer, and none of them is another Node's.
"""

from __future__ import annotations

import ipaddress
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from nodeagent.certs.catalog import SERVER_AUTH, SERVING_SIGNER
from nodeagent.certs.signing import SigningRequest
from nodeagent.observed.certificates import Asked

USER: Final = "system:node:"
GROUP: Final = "system:nodes"
_USAGES: Final = frozenset({"digital signature", "server auth"})
_FOR_RSA: Final = frozenset({"key encipherment"})
_KEYS: Final = ("ECDSA-P256", "ECDSA-P384", "ECDSA-P521", "Ed25519")
_RSA: Final = re.compile(r"RSA-(\d+)")
_SMALLEST: Final = 2048  # bits of an RSA key
_RESERVED: Final = re.compile(r"DNS:(localhost|.*\.localhost|kubernetes|kubernetes\.default(\..*)?|.*\*.*)", re.DOTALL)
_SHOWN: Final = 64  # characters of what others wrote that are quoted
_NAMED: Final = 5


@dataclass(frozen=True)
class Site:
    """The cluster that a request is judged by: the names of each Node, whose each name is, and the longest lifetime."""

    nodes: Mapping[str, frozenset[str]]
    owners: Mapping[str, frozenset[str]]
    longest: float  # seconds

    @classmethod
    def of(cls, nodes: Mapping[str, frozenset[str]], longest: float) -> Site:
        owners = defaultdict[str, set[str]](set)
        for node, names in nodes.items():
            for name in names:
                owners[name].add(node)
        return cls(nodes, {name: frozenset(found) for name, found in owners.items()}, longest)


def objections(request: SigningRequest, site: Site) -> tuple[str, ...]:
    """Everything that speaks against approving `request`, in words; () where nothing does."""
    return tuple(_objections(request, site))


def _objections(request: SigningRequest, site: Site) -> Iterator[str]:
    if request.signer != SERVING_SIGNER:
        yield f"the signer is {_quoted(request.signer)}, not {SERVING_SIGNER}"
    yield from _requester(request)
    if request.seconds is not None and request.seconds > site.longest:
        yield f"it asks for {request.seconds} s, and at most {site.longest:.0f} s are given"
    if request.asked is None:
        yield f"the request {request.problem}"
        return
    yield from _subject(request, request.asked)
    yield from _key(request, request.asked)
    yield from _extensions(request.asked)
    yield from _names(request, request.asked, site)


def _requester(request: SigningRequest) -> Iterator[str]:
    if not request.username.startswith(USER) or request.username == USER:
        yield f"{_quoted(request.username)} asked for it, which is no node"
    if GROUP not in request.groups:
        yield f"who asked for it is not in the group {GROUP}"


def _subject(request: SigningRequest, asked: Asked) -> Iterator[str]:
    parts = {kind: [value for each, value in asked.subject if each == kind] for kind, _ in asked.subject}
    if parts.pop("CN", []) != [request.username]:
        yield f"the common name is not {_quoted(request.username)}, who asked for it"
    if parts.pop("O", []) != [GROUP]:
        yield f"the organization is not {GROUP} alone"
    if parts:
        yield f"the subject holds more than common name and organization: {_some(parts)}"


def _key(request: SigningRequest, asked: Asked) -> Iterator[str]:
    rsa = _RSA.fullmatch(asked.key_type)
    if not asked.genuine:
        yield "it is not signed with the key that it is for"
    if asked.key_type not in _KEYS and not (rsa and int(rsa[1]) >= _SMALLEST):
        yield f"the key is {asked.key_type}; RSA of {_SMALLEST} bits or more, {', '.join(_KEYS)} will do"
    if request.usages not in (_USAGES, *([_USAGES | _FOR_RSA] if rsa else ())):
        wanted = ", ".join(sorted(_USAGES)) + (" (and key encipherment)" if rsa else "")
        yield f"the usages are {_some(request.usages) or 'none'}, not {wanted}"


def _extensions(asked: Asked) -> Iterator[str]:
    if asked.is_ca:
        yield "it asks for a CA"
    if extra := set(asked.usages) - {SERVER_AUTH}:
        yield f"it asks for the extended key usage {_some(extra)}"
    if asked.others:
        yield f"it asks for extensions that no kubelet needs: {_some(asked.others)}"


def _names(request: SigningRequest, asked: Asked, site: Site) -> Iterator[str]:
    node = request.username.removeprefix(USER)
    if node not in site.nodes:
        yield f"there is no Node {_quoted(node)}"
        return
    own = site.nodes[node]
    held = set(map(_canonical, asked.sans))
    if extra := held - own:
        yield f"it names what is no address of the Node: {_some(extra)}"
    if missing := own - held:
        yield f"it does not name these addresses of the Node: {_some(missing)}"
    if not held:
        yield "it names nothing"
    if reserved := set(filter(_is_reserved, own & held)):
        yield f"no node may be called {_some(reserved)}"
    for name in sorted(held & own):
        if others := site.owners[name] - {node}:
            yield f"{_quoted(name)} is an address of Node {_some(others)} as well"


def _canonical(name: str) -> str:
    """The alternative name with a DNS name in lower case, as names_of has it."""
    return f"DNS:{name.removeprefix('DNS:').lower()}" if name.startswith("DNS:") else name


def _is_reserved(name: str) -> bool:
    """Names that mean the API server or whoever asks, and addresses that are no single host's."""
    kind, _, text = name.partition(":")
    if kind != "IP":
        return _RESERVED.fullmatch(name) is not None
    address = ipaddress.ip_address(text)
    return address.is_loopback or address.is_unspecified or address.is_multicast or address.is_link_local


def _some(words: Iterable[str]) -> str:
    known = sorted(words)
    more = f" and {len(known) - _NAMED} more" if len(known) > _NAMED else ""
    return ", ".join(map(_quoted, known[:_NAMED])) + more


def _quoted(text: str) -> str:
    """What others wrote, harmless and short."""
    plain = "".join(letter if letter.isprintable() else "?" for letter in text)
    return plain if len(plain) <= _SHOWN else plain[: _SHOWN - 1] + "…"
