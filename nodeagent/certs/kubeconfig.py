"""Certificates in kubeconfigs (client-go, tools/clientcmd/api/v1): embedded in base64, or by reference.

Invariant: where both are given, the data counts and the path does not, as for client-go. What is malformed is a problem
in words; nothing of a credential is quoted.
"""

from __future__ import annotations

import base64
import posixpath
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from nodeagent.certs.contents import contents
from nodeagent.certs.facts import Contents
from nodeagent.certs.node import ReadYaml


@dataclass(frozen=True)
class Source:
    """Where certificates or keys come from: embedded `contents`, or a `path`; neither where there are none."""

    contents: Contents | None = None
    path: str = ""


@dataclass(frozen=True)
class User:
    """A user's client certificate and key."""

    name: str
    certificate: Source
    key: Source


@dataclass(frozen=True)
class Cluster:
    """The authorities by which a cluster's API server is checked."""

    name: str
    server: str
    authority: Source


@dataclass(frozen=True)
class Kubeconfig:
    """What a kubeconfig says of certificates, and what is wrong with it."""

    users: tuple[User, ...] = ()
    clusters: tuple[Cluster, ...] = ()
    problems: tuple[str, ...] = ()

    @property
    def holds_key(self) -> bool:
        return any(user.key.contents is not None for user in self.users)


def kubeconfig(path: str, data: bytes, read_yaml: ReadYaml) -> Kubeconfig:
    """The kubeconfig in `data`; references in it are resolved against the directory of `path`."""
    try:
        document = read_yaml(data)
    except ValueError as error:
        return Kubeconfig(problems=(f"is no kubeconfig: {error}",))
    if not isinstance(document, Mapping):
        return Kubeconfig(problems=("is no kubeconfig: not an object",))
    problems = list[str]()
    within = _Within(posixpath.dirname(path), problems)
    users = tuple(within.user(name, value) for name, value in _named(document, "users", "user", problems))
    clusters = tuple(within.cluster(name, value) for name, value in _named(document, "clusters", "cluster", problems))
    return Kubeconfig(users, clusters, tuple(problems))


def _named(
    document: Mapping[str, Any], plural: str, singular: str, problems: list[str]
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    entries = document.get(plural) or []
    if not isinstance(entries, list):
        problems.append(f"$.{plural} is no array")
        return
    for number, entry in enumerate(entries):
        value = entry.get(singular) if isinstance(entry, Mapping) else None
        if isinstance(value, Mapping):
            yield str(entry.get("name", "")), value
        else:
            problems.append(f"$.{plural}[{number}].{singular} is no object")


@dataclass(frozen=True)
class _Within:
    """One kubeconfig being read: its directory, and the problems found so far."""

    directory: str
    problems: list[str]

    def user(self, name: str, value: Mapping[str, Any]) -> User:
        where = f"user {name}"
        certificate = self._source(where, value, "client-certificate")
        return User(name, certificate, self._source(where, value, "client-key"))

    def cluster(self, name: str, value: Mapping[str, Any]) -> Cluster:
        return Cluster(
            name, str(value.get("server", "")), self._source(f"cluster {name}", value, "certificate-authority")
        )

    def _source(self, where: str, value: Mapping[str, Any], field: str) -> Source:
        data, path = value.get(f"{field}-data"), value.get(field)
        if data:
            return Source(self._embedded(f"{where}: {field}-data", data))
        if path and not isinstance(path, str):
            self.problems.append(f"{where}: {field} is no path")
            return Source()
        return Source(path=posixpath.normpath(posixpath.join(self.directory, path)) if path else "")

    def _embedded(self, where: str, data: object) -> Contents:
        try:
            raw = base64.b64decode("".join(data.split()), validate=True) if isinstance(data, str) else b""
        except ValueError:  # binascii.Error, or letters beyond ASCII
            raw = b""
        if not raw:
            self.problems.append(f"{where} is no base64")
        return contents(raw)
