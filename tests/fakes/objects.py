"""Objects in memory with the verbs of the API: what a fake API server holds.

Invariant: one counter numbers every write, and the history holds each once and in order, as etcd does. It knows no
kinds: any collection exists, and of validation only what tests need.
"""

from __future__ import annotations

import copy
import re
import threading
from dataclasses import dataclass
from typing import Any

PATH = re.compile(r"(?P<api>/api/v1|/apis/[^/]+/[^/]+)(?:/namespaces/(?P<ns>[^/]+))?/(?P<kind>[a-z]+)"
                   r"(?:/(?P<name>[^/]+))?(?:/(?P<sub>status|eviction))?$")  # fmt: skip
_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?$")

Key = tuple[str, str, str, str]  # API, kind, namespace, name
Json = dict[str, Any]


class Refused(Exception):
    def __init__(self, code: int, message: str, headers: dict[str, str] | None = None, **details: Any) -> None:
        self.headers = headers or {}
        self.code = code
        self.status = {"kind": "Status", "status": "Failure", "code": code, "message": message, "details": details}
        super().__init__(message)


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    query: dict[str, str]
    agent: str = ""
    token: str = ""

    @property
    def watches(self) -> bool:
        return self.query.get("watch") == "true"


@dataclass(frozen=True)
class Write:
    """One step of an object's life: what it became (or last was, if `gone`) and what it was before, if anything."""

    version: int
    key: Key
    object: Json
    before: Json | None
    gone: bool

    def told(self, asked: Key, query: dict[str, str]) -> str:
        """The type of the event for a watch of this collection with these selectors; "" for none."""
        was = self.before is not None and selected(asked, self.key, self.before, query)
        if not self.gone and selected(asked, self.key, self.object, query):
            return "MODIFIED" if was else "ADDED"
        return "DELETED" if was else ""


def merged(target: Any, patch: Any, strategic: bool = False) -> Any:
    """RFC 7386; where `strategic`, lists under "conditions" merge by type, and $patch: delete removes."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        elif strategic and key == "conditions":
            result[key] = _by_type(result.get(key) or [], value)
        else:
            result[key] = merged(result.get(key), value, strategic)
    return result


def _by_type(target: list[Json], patch: list[Json]) -> list[Json]:
    result = {each["type"]: each for each in target}
    for each in patch:
        if each.get("$patch") == "delete":
            result.pop(each["type"], None)
        else:
            result[each["type"]] = merged(result.get(each["type"]), each)
    return list(result.values())


class Objects:
    """The objects and the history of their writes. Thread-safe by `changed`, which is notified of every write."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.objects: dict[Key, Json] = {}
        self.history: list[Write] = []
        self.version = 100
        self.oldest = 0

    def write(self, key: Key, obj: Json, gone: bool = False) -> Json:
        with self.changed:
            self.version += 1
            obj = copy.deepcopy(obj)
            obj["metadata"]["resourceVersion"] = str(self.version)
            before = self.objects.pop(key, None)
            if not gone:
                self.objects[key] = obj
            self.history.append(Write(self.version, key, obj, before, gone))
            self.changed.notify_all()
            return copy.deepcopy(obj)

    def compact(self) -> None:
        """Forget the past: who goes on from before now gets a 410."""
        with self.changed:
            self.version += 1
            self.oldest = self.version

    def answer(self, request: Request, body: Any, content_type: str) -> Any:
        """The body of the answer to all but watches; raises Refused."""
        found = PATH.match(request.path)
        if found is None:
            raise Refused(404, f"no such path {request.path}")
        key: Key = (found["api"], found["kind"], found["ns"] or "", found["name"] or "")
        with self.changed:
            if found["sub"] == "eviction":
                return self._evict(key, body)
            if not found["name"]:
                return self._list(key, request.query) if request.method == "GET" else self._create(key, body)
            stands = self.objects.get(key)
            if stands is None:
                raise Refused(404, f'{key[1]} "{key[3]}" not found')
            return self._change(request.method, key, copy.deepcopy(stands), body, content_type)

    def _change(self, method: str, key: Key, stands: Json, body: Any, content_type: str) -> Json:
        if method == "GET":
            return stands
        if method == "DELETE":
            return self.write(key, stands, gone=True)
        result = body if method == "PUT" else merged(stands, body, "strategic" in content_type)
        held = result["metadata"]
        for each in ("resourceVersion", "uid"):
            if held.get(each, stands["metadata"][each]) != stands["metadata"][each]:
                raise Refused(409, f'Operation cannot be fulfilled on {key[1]} "{key[3]}": it has been modified')
        return stands if result == stands else self.write(key, result)

    def _create(self, key: Key, body: Json) -> Json:
        name = body["metadata"].get("name", "")
        if not _NAME.match(name):
            cause = {"reason": "FieldValueInvalid", "field": "metadata.name"}
            raise Refused(
                422, f'{key[1]} is invalid: metadata.name: Invalid value: "{name}": malformed', causes=[cause]
            )
        if (*key[:3], name) in self.objects:
            raise Refused(409, f'{key[1]} "{name}" already exists')
        given = {"uid": f"uid-{self.version}", "creationTimestamp": "2026-01-01T00:00:00Z"}
        if key[2]:
            given["namespace"] = key[2]
        return self.write((*key[:3], name), body | {"metadata": body["metadata"] | given})

    def _list(self, key: Key, query: dict[str, str]) -> Json:
        items = [each for other, each in sorted(self.objects.items()) if selected(key, other, each, query)]
        version, start = str(self.version), 0
        if token := query.get("continue"):
            version, _, position = token.partition("/")
            start = int(position)
            if int(version) < self.oldest:
                raise Refused(410, "The provided continue parameter is too old")
        limit = int(query.get("limit", 0)) if query.get("resourceVersion") != "0" else 0
        metadata = {"resourceVersion": version}
        if limit and len(items) > start + limit:
            metadata["continue"] = f"{version}/{start + limit}"
        return {"metadata": metadata, "items": copy.deepcopy(items[start : start + limit] if limit else items)}

    def _evict(self, key: Key, body: Json) -> Json:
        pod = self.objects.get(key)
        if pod is None:
            raise Refused(404, f'pods "{key[3]}" not found')
        if body["deleteOptions"]["preconditions"]["uid"] != pod["metadata"]["uid"]:
            raise Refused(409, "the UID in the precondition does not match")
        labels = pod["metadata"].get("labels", {}).items()
        budgets = [
            each
            for (_, kind, namespace, _), each in self.objects.items()
            if (kind, namespace) == ("poddisruptionbudgets", key[2])
            and each["spec"]["selector"]["matchLabels"].items() <= labels
        ]
        if len(budgets) > 1:
            raise Refused(500, "This pod has more than one PodDisruptionBudget")
        if budgets and not budgets[0].get("status", {}).get("disruptionsAllowed"):
            raise Refused(429, "Cannot evict pod", causes=[{"reason": "DisruptionBudget"}])
        self.write(key, pod, gone=True)
        return {"kind": "Status", "status": "Success"}


def selected(asked: Key, key: Key, obj: Json, query: dict[str, str]) -> bool:
    """Whether an object is in the collection that was asked for, and fits the selectors."""
    if key[:2] != asked[:2] or (asked[2] and key[2] != asked[2]):
        return False
    fields = {"metadata.name": key[3], "spec.nodeName": obj.get("spec", {}).get("nodeName", "")}
    labels = obj["metadata"].get("labels") or {}
    return _fits(query.get("fieldSelector", ""), fields) and _fits(query.get("labelSelector", ""), labels)


def _fits(selector: str, values: dict[str, str]) -> bool:
    pairs = (each.partition("=") for each in selector.split(",") if each)
    return all(values.get(name) == value for name, _, value in pairs)
