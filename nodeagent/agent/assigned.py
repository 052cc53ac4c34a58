"""The parts of egress gateways that the coordinator assigns to this node, by the status of their objects.

Invariant: only what bears this node's label is watched. While the API server has not been heard of since the start,
what it said last counts: it lies in the state directory, so that gateways outlive a reboot without it.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from nodeagent.egress.inventory import PATHS, PROGRAM_PATHS, readable
from nodeagent.egress.node.keeper import Parts
from nodeagent.egress.node.part import GatewayPart
from nodeagent.egress.node.partfile import part_of
from nodeagent.egress.node.roads import Word
from nodeagent.egress.programming import node_label
from nodeagent.errors import Rejected
from nodeagent.host.store import Store
from nodeagent.kube.collection import Collection
from nodeagent.kube.connection import Connection
from nodeagent.kube.reflector import Scope

_FILE: Final = "egress-parts.json"
_PATHS: Final = {**PATHS, **PROGRAM_PATHS}


@dataclass(frozen=True)
class _Assigned:
    """Of one object: documents of this node's parts, and the entries of its sessions that are this node's."""

    parts: tuple[Mapping[str, Any], ...]
    sessions: tuple[Mapping[str, Any], ...]


class Assigned:
    """Follows objects of `kinds` for `node`; `store` is used by whoever asks for parts, and by nobody else."""

    def __init__(self, connection: Connection, kinds: Iterable[str], node: str, store: Store) -> None:
        chance = random.Random()  # noqa: S311 - jitter, no secret
        self._changed: Callable[[], None] | None = None
        self._store = store
        self._cached = store.read(_FILE)
        self._collections = [
            Collection(
                connection,
                Scope(_PATHS[kind], {"labelSelector": node_label(node)}, cached=True),
                partial(_assigned, kind, node),
                self._happened,
                chance,
            )
            for kind in sorted(kinds)
        ]

    def heed(self, changed: Callable[[], None]) -> None:
        """Have `changed` called, on a watch's thread, when anything has changed."""
        self._changed = changed

    def start(self) -> None:
        for each in self._collections:
            each.start()

    def close(self) -> None:
        for each in self._collections:
            each.close()

    @property
    def ages(self) -> dict[str, Callable[[], float]]:
        """By watch, how to ask for the seconds since the API server was last heard of."""
        return {each.path.rpartition("/")[2]: each.age for each in self._collections}

    def parts(self) -> Parts:
        """This node's parts, by what is known now."""
        try:
            return _read(self._documents())
        except ValueError:
            return Parts(
                (), (f"{_FILE} in the state directory is damaged; it is written anew by the API server's word",)
            )

    def words(self) -> Mapping[str, Word]:
        """The coordinator's, by address inside of this node's gateways."""
        return _words(found for collection in self._collections for found in collection.snapshot().values())

    def _happened(self) -> None:
        if self._changed:
            self._changed()

    def _documents(self) -> list[Mapping[str, Any]]:
        if not all(each.synced for each in self._collections):
            return list(json.loads(self._cached)) if self._cached else []
        found = [
            part
            for collection in self._collections
            for _, each in sorted(collection.snapshot().items())
            for part in each.parts
        ]
        text = json.dumps(found, sort_keys=True).encode()
        if text != self._cached:
            self._store.write(_FILE, text)
            self._cached = text
        return found


def words(connection: Connection, kinds: Iterable[str], node: str) -> Mapping[str, Word]:
    """The same as those of `Assigned`, asked of the API server now."""
    query = {"labelSelector": node_label(node)}
    return _words(
        _assigned(kind, node, each) for kind in sorted(kinds) for each in connection.get(_PATHS[kind], query)["items"]
    )


def _words(found: Iterable[_Assigned]) -> dict[str, Word]:
    return {str(each["nexthop"]): _word(each) for one in found for each in one.sessions}


def _word(session: Mapping[str, Any]) -> Word:
    return Word(bool(session.get("withdrawn")), str(session.get("reason", "")), str(session.get("state", "")))


def _assigned(kind: str, node: str, document: Mapping[str, Any]) -> _Assigned:
    read = readable({**document, "kind": kind})
    parts = ({**each, "gateway": read.key} for each in read.status.get("parts") or () if each.get("node") == node)
    sessions = (each for each in read.status.get("sessions") or () if each.get("node") == node)
    return _Assigned(tuple(parts), tuple(sessions))


def _read(documents: Iterable[Mapping[str, Any]]) -> Parts:
    found: list[GatewayPart] = []
    problems: list[str] = []
    for each in documents:
        told = {name: value for name, value in each.items() if name != "node"}
        try:
            found.append(part_of(told, f"status of gateway {each.get('gateway')}"))
        except Rejected as error:
            problems.append(str(error))
    return Parts(tuple(found), tuple(problems))
