"""Asks the API server whether it answers, what it has, and what it lets us do.

Invariant: asking changes nothing: a SelfSubjectAccessReview (authorization.k8s.io/v1) is created only to be answered,
and is kept nowhere.
"""

from __future__ import annotations

from typing import Final

from nodeagent.kube.connection import Connection
from nodeagent.kube.errors import Missing
from nodeagent.observed.vitals import Permission

_REVIEWS: Final = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"


class Access:
    """The cluster behind `connection`; each request ends within `deadline` seconds."""

    def __init__(self, connection: Connection, deadline: float) -> None:
        self._connection = connection
        self._deadline = deadline

    def knows_node(self, name: str) -> bool:
        return self._has(f"/api/v1/nodes/{name}")

    def serves(self, group: str) -> bool:
        """Whether there is an API group of this name."""
        return self._has(f"/apis/{group}")

    def _has(self, path: str) -> bool:
        try:
            self._connection.get(path, deadline=self._deadline)
        except Missing:
            return False
        return True

    def allows(self, permission: Permission) -> bool:
        """Whether this identity may do that."""
        resource, _, subresource = permission.resource.partition("/")
        attributes = {
            "verb": permission.verb,
            "group": permission.group,
            "resource": resource,
            "subresource": subresource,
            "namespace": permission.namespace,
            "name": permission.name,
        }
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": attributes},
        }
        answer = self._connection.create(_REVIEWS, review, deadline=self._deadline)
        return bool(answer["status"].get("allowed"))
