"""Egress gateways in the API, as the coordinator writes them: finalizer, status, whose nodes they are, IP objects.

Invariant: a finalizer is put on or taken off only from the list that was read, so no other's is lost; what Kube-OVN's
kind has no fields for stands in an annotation, since the API server drops unknown fields.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any, Final

from nodeagent.kube.connection import Connection, Patch
from nodeagent.kube.errors import Conflict, Missing

_MANAGER: Final = {"fieldManager": "nodeagent-egress"}


class GatewayApi:
    """Writes objects of the collections `paths` (by kind), with the finalizer and the annotation of these names."""

    def __init__(
        self, connection: Connection, paths: Mapping[str, str], finalizer: str, beside: tuple[str, frozenset[str]]
    ) -> None:
        """`beside` is the annotation, and the fields of a status that are in it where a kind has none for them."""
        self._connection = connection
        self._paths = paths
        self._finalizer = finalizer
        self._annotation, self._fields = beside

    def hold(self, kind: str, key: str) -> None:
        """Have the object stay until `release`. Conflict if it changes meanwhile."""
        self._finalize(kind, key, lambda found: [*found, self._finalizer])

    def release(self, kind: str, key: str) -> None:
        """Let the object go; done too where it is gone."""
        with suppress(Missing):
            self._finalize(kind, key, lambda found: [each for each in found if each != self._finalizer])

    def _finalize(self, kind: str, key: str, wanted: Any) -> None:
        path = self._path(kind, key)
        metadata = self._connection.get(path)["metadata"]
        patch = {"finalizers": wanted(metadata.get("finalizers") or []), "resourceVersion": metadata["resourceVersion"]}
        self._connection.patch(path, {"metadata": patch}, Patch.MERGE, _MANAGER)

    def tell(self, kind: str, key: str, status: Mapping[str, Any], *, whole: bool) -> None:
        """Write the status; `whole` says that the kind has a field for everything."""
        path = self._path(kind, key)
        if not whole:
            beside = {name: value for name, value in status.items() if name in self._fields}
            self._annotate(path, {self._annotation: json.dumps(beside, sort_keys=True)})
            status = {name: value for name, value in status.items() if name not in self._fields}
        self._connection.patch(f"{path}/status", {"status": status}, Patch.MERGE, _MANAGER)

    def label(self, kind: str, key: str, labels: Mapping[str, str | None]) -> None:
        """Give labels, and take those whose value is None."""
        self._connection.patch(self._path(kind, key), {"metadata": {"labels": labels}}, Patch.MERGE, _MANAGER)

    def _annotate(self, path: str, annotations: Mapping[str, str]) -> None:
        self._connection.patch(path, {"metadata": {"annotations": annotations}}, Patch.MERGE, _MANAGER)

    def claim(self, document: Mapping[str, Any]) -> None:
        """Make an IP object; done too where there is one of its name."""
        with suppress(Conflict):
            self._connection.create(self._paths["IP"], document, _MANAGER)

    def give_back(self, names: Iterable[str]) -> None:
        """Delete IP objects."""
        for name in names:
            with suppress(Missing):
                self._connection.delete(f"{self._paths['IP']}/{name}")

    def _path(self, kind: str, key: str) -> str:
        namespace, _, name = key.partition("/")
        root, _, plural = self._paths[kind].rpartition("/")
        return f"{root}/namespaces/{namespace}/{plural}/{name}"
