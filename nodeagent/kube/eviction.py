"""Having pods leave a node, through the Eviction API (policy/v1).

Invariant: a pod goes only if its disruption budgets let it, and only the very pod that was looked at: its uid is a
precondition, so one that was made anew under the same name is not touched.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from nodeagent.kube.connection import Connection
from nodeagent.kube.errors import Conflict, Missing, Throttled, Unavailable
from nodeagent.kube.reflector import PAGE
from nodeagent.observed.selectors import fits

_BUDGET: Final = "DisruptionBudget"  # reason of the cause where a budget forbids it, not the server's own load

Pod = Mapping[str, Any]


@dataclass(frozen=True)
class Evicted:
    """The pod was asked to end; it is there until it has."""


@dataclass(frozen=True)
class Gone:
    """There is no such pod any more."""


@dataclass(frozen=True)
class Blocked:
    """Disruption budgets, by name, do not let the pod go now; `message` is the server's."""

    budgets: tuple[str, ...]
    message: str


class Evictions:
    """What a drain needs of the cluster that `connection` leads to."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def pods(self, node: str) -> list[dict[str, Any]]:
        """All pods bound to `node`, as the API gives them (core/v1)."""
        return list(self._listed("/api/v1/pods", {"fieldSelector": f"spec.nodeName={node}"}))

    def budgets(self, namespace: str) -> list[dict[str, Any]]:
        """The PodDisruptionBudgets of a namespace (policy/v1)."""
        return list(self._listed(f"/apis/policy/v1/namespaces/{namespace}/poddisruptionbudgets", {}))

    def evict(self, pod: Pod) -> Evicted | Blocked | Gone:
        """Ask for `pod` to leave. Raises Throttled where the server itself is too busy, and what else may happen."""
        metadata = pod["metadata"]
        name, namespace = metadata["name"], metadata["namespace"]
        eviction = {
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": {"name": name, "namespace": namespace},
            "deleteOptions": {"preconditions": {"uid": metadata["uid"]}},
        }
        try:
            self._connection.create(f"/api/v1/namespaces/{namespace}/pods/{name}/eviction", eviction)
        except (Missing, Conflict):
            return Gone() if self._is_gone(pod) else Blocked((), "the pod changed while it was evicted")
        except Throttled as refused:
            if _BUDGET not in refused.causes:
                raise
            return Blocked(self._budgets_of(pod, exhausted=True), str(refused))
        except Unavailable as refused:
            return self._blocked_by_many(pod, refused)
        return Evicted()

    def _blocked_by_many(self, pod: Pod, refused: Unavailable) -> Blocked:
        """A pod with more than one budget is refused with a 500, which only the budgets tell from a real one."""
        if refused.status == 500 and len(names := self._budgets_of(pod, exhausted=False)) > 1:
            return Blocked(names, str(refused))
        raise refused

    def _is_gone(self, pod: Pod) -> bool:
        metadata = pod["metadata"]
        try:
            found = self._connection.get(f"/api/v1/namespaces/{metadata['namespace']}/pods/{metadata['name']}")
        except Missing:
            return True
        return bool(found["metadata"]["uid"] != metadata["uid"])

    def _budgets_of(self, pod: Pod, *, exhausted: bool) -> tuple[str, ...]:
        """Names of the budgets that cover `pod`; only those that allow no more disruption where `exhausted`."""
        labels = pod["metadata"].get("labels") or {}
        covering = [
            each
            for each in self.budgets(pod["metadata"]["namespace"])
            if (selector := each["spec"].get("selector")) is not None and fits(selector, labels)
        ]
        spent = [each for each in covering if not (each.get("status") or {}).get("disruptionsAllowed")]
        return tuple(sorted(each["metadata"]["name"] for each in (spent if exhausted else covering)))

    def _listed(self, path: str, selectors: Mapping[str, str]) -> Iterator[dict[str, Any]]:
        query: dict[str, str | int] = {**selectors, "limit": PAGE}
        while True:
            page = self._connection.get(path, query)
            yield from page.get("items") or ()
            token = page["metadata"].get("continue")
            if not token:
                return
            query["continue"] = token
