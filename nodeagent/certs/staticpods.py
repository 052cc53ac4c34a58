"""Static pods of the control plane: which manifests there are, and where their components listen.

Every file in the manifests directory whose name begins with no dot is a manifest to the kubelet, whatever its suffix:
a backup there is a second pod under the same name.
"""

from __future__ import annotations

import ipaddress
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from nodeagent.certs.findings import Code, Finding, Severity
from nodeagent.certs.node import ReadYaml

_LOOPBACK = "127.0.0.1"


@dataclass(frozen=True)
class Manifest:
    """One static pod: its name, and the flags of its containers by name without dashes."""

    name: str = ""
    namespace: str = "default"
    flags: Mapping[str, str] = field(default_factory=dict)
    problem: str = ""


def manifest(data: bytes, read_yaml: ReadYaml) -> Manifest:
    """The pod in a manifest; one with a `problem` where it is none."""
    try:
        document = read_yaml(data)
    except ValueError as error:
        return Manifest(problem=str(error))
    if not isinstance(document, Mapping) or document.get("kind") != "Pod":
        return Manifest(problem="is no Pod")
    metadata, spec = _object(document, "metadata"), _object(document, "spec")
    containers = spec.get("containers")
    commands = map(_command, containers if isinstance(containers, list) else [])
    flags = {name: value for command in commands for name, value in _flags(command)}
    return Manifest(str(metadata.get("name", "")), str(metadata.get("namespace", "default")), flags)


def _object(document: Mapping[str, Any], field_name: str) -> Mapping[str, Any]:
    value = document.get(field_name)
    return value if isinstance(value, Mapping) else {}


def _command(container: object) -> Sequence[str]:
    if not isinstance(container, Mapping):
        return ()
    parts = [container.get(name) for name in ("command", "args")]
    return [str(word) for part in parts if isinstance(part, list) for word in part]


def _flags(command: Sequence[str]) -> Iterator[tuple[str, str]]:
    for word in command:
        if word.startswith("--"):
            name, _, value = word[2:].partition("=")
            yield name, value


@dataclass(frozen=True)
class StaticPods:
    """All manifests of a node by path."""

    manifests: Mapping[str, Manifest] = field(default_factory=dict)

    def flags(self, pod: str) -> Mapping[str, str] | None:
        """The flags of a pod by its name; None if no manifest is of it."""
        return next((each.flags for each in self.manifests.values() if each.name == pod), None)

    def findings(self) -> Iterator[Finding]:
        by_pod = defaultdict[tuple[str, str], list[str]](list)
        for path, each in sorted(self.manifests.items()):
            if each.problem:
                yield Finding(
                    path,
                    Code.STATIC_POD_UNREADABLE,
                    Severity.WARNING,
                    f"the kubelet takes this file for a manifest, and it is none: {each.problem}",
                    "move it elsewhere, or give it a name that begins with a dot",
                )
            else:
                by_pod[each.namespace, each.name].append(path)
        for (_, name), paths in by_pod.items():
            if len(paths) > 1:
                yield from (_duplicate(path, name, paths) for path in paths)

    def address(self, pod: str) -> str:
        """The address by which a pod is known to other nodes, "" if its manifest does not say."""
        flags = self.flags(pod) or {}
        urls = flags.get("initial-advertise-peer-urls", "").split(",")
        return next(filter(None, map(_address, (flags.get("advertise-address", ""), *urls))), "")

    def listens(self, pod: str, default_port: int) -> tuple[str, int] | None:
        """Local address and secure port of a Kubernetes component; None if it is no static pod here."""
        flags = self.flags(pod)
        if flags is None:
            return None
        return _local(flags.get("bind-address", "")), _port(flags.get("secure-port", ""), default_port)

    def listens_by_url(self, pod: str, flag: str) -> tuple[str, int] | None:
        """The first https URL that a flag of etcd's names, a loopback one before others; None if there is none."""
        urls = map(_url, (self.flags(pod) or {}).get(flag, "").split(","))
        secure = [(_local(url.host), url.port) for url in urls if url.scheme == "https" and url.port]
        return min(secure, key=lambda each: not ipaddress.ip_address(each[0]).is_loopback, default=None)


def _duplicate(path: str, name: str, paths: Iterable[str]) -> Finding:
    others = ", ".join(other for other in paths if other != path)
    return Finding(
        path,
        Code.DUPLICATE_STATIC_POD,
        Severity.CRITICAL,
        f"pod {name} is declared by {others} as well: the kubelet takes every file there for a manifest",
        "move all but one of them out of the directory",
    )


class _Url(NamedTuple):
    scheme: str = ""
    host: str = ""
    port: int = 0


def _url(text: str) -> _Url:
    try:
        parts = urlsplit(text.strip())
        return _Url(parts.scheme, parts.hostname or "", parts.port or 0)
    except ValueError:  # half a bracket, a port that is no number
        return _Url()


def _address(text: str) -> str:
    """The IP address in an address or a URL, "" if it names none."""
    try:
        return str(ipaddress.ip_address(_url(text).host if "://" in text else text.strip()))
    except ValueError:
        return ""


def _local(address: str) -> str:
    """Where to reach what listens at `address` from the node itself: the unspecified address includes loopback."""
    host = _address(address)
    return host if host and not ipaddress.ip_address(host).is_unspecified else _LOOPBACK


def _port(text: str, default: int) -> int:
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 6 and 0 < int(text) < 65536 else default
