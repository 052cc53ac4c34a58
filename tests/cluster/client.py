"""A tiny raw client for tests, of the standard library only, so that no test proves our client with our client.

Invariant: one request, one connection, one deadline; whatever the server answers but success is an ApiError.
"""

from __future__ import annotations

import http.client
import json
import ssl
from typing import Any
from urllib.parse import urlencode, urlsplit

_PATCHES = {
    "merge": "application/merge-patch+json",
    "strategic": "application/strategic-merge-patch+json",
    "json": "application/json-patch+json",
    "apply": "application/apply-patch+yaml",  # JSON is YAML
}


class ApiError(Exception):
    """What the server answered instead of success: `status` of HTTP, `reason` and `message` of its Status object."""

    def __init__(self, status: int, body: bytes) -> None:
        try:
            answer = json.loads(body)
        except ValueError:
            answer = {"message": body.decode(errors="replace")}
        self.status = status
        self.reason: str = answer.get("reason", "")
        self.message: str = answer.get("message", "")
        super().__init__(f"{status} {self.reason}: {self.message}")


class Client:
    """Speaks to `server` (https://host:port) with the identity that `context` or the bearer `token` holds.

    Paths are those of the API, as in /api/v1/nodes/a; objects are JSON objects.
    """

    def __init__(self, server: str, context: ssl.SSLContext, token: str = "", timeout: float = 10.0) -> None:
        self._address = urlsplit(server).netloc
        self._context = context
        # What the API server records as manager of the fields that this client writes.
        self._headers = {"User-Agent": "tests"} | ({"Authorization": f"Bearer {token}"} if token else {})
        self._timeout = timeout
        self._plurals: dict[tuple[str, str], tuple[str, bool]] = {}

    def raw(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        content_type: str = "application/json",
        accept: str = "application/json",
    ) -> bytes:
        """The body of the answer; raises ApiError, and OSError if there is no answer."""
        connection = http.client.HTTPSConnection(self._address, timeout=self._timeout, context=self._context)
        try:
            headers = {"Content-Type": content_type, "Accept": accept}
            connection.request(method, path, body, self._headers | headers)
            response = connection.getresponse()
            answer = response.read()
        finally:
            connection.close()
        if response.status >= 300:
            raise ApiError(response.status, answer)
        return answer

    def get(self, path: str, accept: str = "application/json") -> Any:
        return json.loads(self.raw("GET", path, accept=accept))

    def list(self, path: str, **parameters: str) -> list[Any]:
        """The items of a collection; `parameters` such as labelSelector go into the query."""
        items: list[Any] = self.get(f"{path}?{urlencode(parameters)}")["items"]
        return items

    def create(self, path: str, obj: Any) -> Any:
        return json.loads(self.raw("POST", path, json.dumps(obj).encode()))

    def replace(self, path: str, obj: Any) -> Any:
        return json.loads(self.raw("PUT", path, json.dumps(obj).encode()))

    def patch(self, path: str, patch: Any, kind: str = "merge") -> Any:
        """Patch by a merge, strategic, json or apply patch."""
        return json.loads(self.raw("PATCH", path, json.dumps(patch).encode(), _PATCHES[kind]))

    def delete(self, path: str) -> Any:
        return json.loads(self.raw("DELETE", path))

    def apply(self, obj: Any) -> Any:
        """Server-side apply of a whole object, wherever its kind lives; unknown fields are an error."""
        query = urlencode({"fieldManager": "tests", "force": "true", "fieldValidation": "Strict"})
        return self.patch(f"{self.path(obj)}?{query}", obj, "apply")

    def path(self, obj: Any) -> str:
        """Where the object with this apiVersion, kind and metadata lives; raises LookupError for an unknown kind."""
        version, metadata = obj["apiVersion"], obj["metadata"]
        plural, namespaced = self._resource(version, obj["kind"])
        root = f"/apis/{version}" if "/" in version else f"/api/{version}"
        scope = f"/namespaces/{metadata.get('namespace', 'default')}" if namespaced else ""
        return f"{root}{scope}/{plural}/{metadata['name']}"

    def _resource(self, version: str, kind: str) -> tuple[str, bool]:
        """Plural of a kind and whether its objects live in namespaces, by discovery."""
        if (version, kind) not in self._plurals:
            resources = self.get(f"/apis/{version}" if "/" in version else f"/api/{version}")["resources"]
            for resource in resources:
                if "/" not in resource["name"]:
                    self._plurals[version, resource["kind"]] = resource["name"], resource["namespaced"]
        if (version, kind) not in self._plurals:
            raise LookupError(f"the server has no kind {kind} in {version}: install its CustomResourceDefinition first")
        return self._plurals[version, kind]
