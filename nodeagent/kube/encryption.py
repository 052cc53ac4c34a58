"""What encryption at rest asks of the API server: the demand, the ring's Secret, and objects that are written anew.

Invariant: the Secret is only ever replaced as it was seen, so of two writers one is told to look again. An object is
written back exactly as it was read; one that somebody has changed or removed meanwhile needs that no more.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, NamedTuple

from nodeagent.errors import Broken, Problem, Rejected
from nodeagent.kube.connection import Connection, Patch
from nodeagent.kube.errors import Conflict, Expired, Missing

CONFIGS: Final = "/apis/cluster.alauda.io/v1alpha1/etcdencryptionconfigs"
SECRET: Final = "nodeagent-encryption"  # noqa: S105 - a name
_FIELD: Final = "ring.json"
_MANAGER: Final = {"fieldManager": "nodeagent-encryption"}
_MEMBERS: Final = {"labelSelector": "node-role.kubernetes.io/control-plane"}
_PAGE: Final = 100  # objects; a Secret has up to 1 MiB


class Kept(NamedTuple):
    """The ring as it is kept, and the version of its Secret."""

    facts: Mapping[str, Any]
    version: str


class Page(NamedTuple):
    """Objects of a resource, and the token of the next page, "" after the last."""

    items: Sequence[Any]
    token: str


class EncryptionApi:
    """The API server as the role `encryption` uses it; the ring lies in `namespace`."""

    def __init__(self, connection: Connection, namespace: str) -> None:
        self._connection = connection
        self._secrets = f"/api/v1/namespaces/{namespace}/secrets"
        self._collections: dict[str, str] = {}

    def config(self) -> Any:
        """The only EtcdEncryptionConfig; None if there is none. Rejected if there are several."""
        try:
            found = self._connection.get(CONFIGS)["items"]
        except Missing:
            return None
        if len(found) > 1:
            names = ", ".join(sorted(each["metadata"]["name"] for each in found))
            advice = "keep one: a kube-apiserver has one configuration"
            raise Rejected([Problem("EtcdEncryptionConfig", "", f"there are several: {names}", advice)])
        return found[0] if found else None

    def tell(self, name: str, status: Mapping[str, Any]) -> None:
        """Merge this into the status."""
        self._connection.patch(f"{CONFIGS}/{name}/status", {"status": status}, Patch.MERGE, _MANAGER)

    def members(self) -> frozenset[str]:
        """The names of the control-plane nodes."""
        found = self._connection.get("/api/v1/nodes", _MEMBERS)["items"]
        return frozenset(each["metadata"]["name"] for each in found)

    def ring(self) -> Kept | None:
        """The ring that is kept; Broken if its Secret is damaged."""
        try:
            found = self._connection.get(f"{self._secrets}/{SECRET}")
        except Missing:
            return None
        try:
            facts = json.loads(base64.b64decode(found["data"][_FIELD]))
        except (KeyError, TypeError, ValueError):
            raise Broken(f"Secret {SECRET}: holds no key ring under {_FIELD}: restore it from a backup") from None
        return Kept(facts, found["metadata"]["resourceVersion"])

    def keep(self, facts: Mapping[str, Any], version: str) -> None:
        """Keep a ring in the place of the one of this `version` ("" for none); Conflict if there is another by now."""
        metadata = {"name": SECRET} | ({"resourceVersion": version} if version else {})
        data = {_FIELD: base64.b64encode(json.dumps(facts).encode()).decode()}
        document = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": "Opaque", "data": data}
        if version:
            self._connection.replace(f"{self._secrets}/{SECRET}", document, _MANAGER)
        else:
            self._connection.create(self._secrets, document, _MANAGER)

    def page(self, resource: str, token: str) -> Page:
        """Objects of a resource ("secrets", "deployments.apps") from `token` on, the first where that is too old."""
        query: dict[str, str | int | bool] = {"limit": _PAGE} | ({"continue": token} if token else {})
        try:
            found = self._connection.get(self._collection(resource), query)
        except Expired:
            return self.page(resource, "")
        return Page(found["items"], found["metadata"].get("continue", ""))

    def rewrite(self, resource: str, item: Any) -> None:
        """Write an object back as it was read, by which the server encrypts it as it does now."""
        metadata = item["metadata"]
        root, _, plural = self._collection(resource).rpartition("/")
        where = f"{root}/namespaces/{metadata['namespace']}/{plural}" if "namespace" in metadata else f"{root}/{plural}"
        with suppress(Conflict, Missing):  # somebody else has written it meanwhile, or it is gone
            self._connection.replace(f"{where}/{metadata['name']}", item, _MANAGER)

    def _collection(self, resource: str) -> str:
        """The path of all objects of a resource, in the version that the server prefers."""
        if resource not in self._collections:
            plural, _, group = resource.partition(".")
            root = "/api/v1"
            if group:
                root = f"/apis/{self._connection.get(f'/apis/{group}')['preferredVersion']['groupVersion']}"
            self._collections[resource] = f"{root}/{plural}"
        return self._collections[resource]
