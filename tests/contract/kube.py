"""What nodeagent.kube may rely on of an API server: one suite, for the fake one and for the real one.

A subclass per server gives `api`; each test makes objects with names of its own.
"""

from __future__ import annotations

import itertools
import random
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any, Protocol

import pytest

from nodeagent.engine.controller import Backoff
from nodeagent.kube import leavings
from nodeagent.kube.collection import Collection
from nodeagent.kube.connection import Connection, Patch, connect
from nodeagent.kube.errors import Conflict, Invalid, Missing
from nodeagent.kube.events import EventRecorder
from nodeagent.kube.eviction import Blocked, Evicted, Evictions, Gone
from nodeagent.kube.leases import Election, Seat, Terms
from nodeagent.kube.nodes import Nodes
from nodeagent.kube.nodestatus import NodeWriter
from nodeagent.kube.reflector import Pace, Scope
from nodeagent.kube.watch import ObjectWatch
from nodeagent.observed import nodes as words
from nodeagent.observed.nodes import Condition, NodeView

NODES, PODS = "/api/v1/nodes", "/api/v1/namespaces/default/pods"
BUDGETS = "/apis/policy/v1/namespaces/default/poddisruptionbudgets"
EVENTS = "/api/v1/namespaces/default/events"
PACE = Pace(Backoff(shortest=0.02, longest=0.2), lasting=(60, 90), silence=30.0)
_COUNTER = itertools.count(1)
_NOW = datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)


class Arranger(Protocol):
    """Changes objects behind the back of what is tested."""

    def get(self, path: str) -> Any: ...

    def create(self, path: str, obj: Any) -> Any: ...

    def patch(self, path: str, patch: Any, kind: str = "merge") -> Any: ...

    def delete(self, path: str) -> Any: ...


class Silent:
    """Watches a loop, and says nothing."""

    def beat(self, name: str) -> None: ...

    def succeeded(self, name: str) -> None: ...

    def failed(self, name: str, error: Exception, failures: int, delay: float) -> None: ...


def eventually(condition: Callable[[], object], deadline: float = 10.0) -> None:
    end = time.monotonic() + deadline
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)


def fresh(word: str) -> str:
    """A name that no other test has."""
    return f"{word}-{next(_COUNTER)}"


def node(name: str, **metadata: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, **metadata}}


def pod(name: str, on: str, **labels: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": labels},
        "spec": {
            "nodeName": on,
            "containers": [{"name": "main", "image": "none.test/none"}],
            "terminationGracePeriodSeconds": 0,
        },
    }


class KubeContract:
    """The suite. `kubeconfig` and `arrange` are given by the server's own fixtures."""

    @pytest.fixture
    def connection(self, kubeconfig: str) -> Iterator[Connection]:
        connection = connect(kubeconfig, "nodeagent/test")
        yield connection
        connection.close()

    def test_an_object_lives(self, connection: Connection) -> None:
        name = fresh("map")
        maps = "/api/v1/namespaces/default/configmaps"
        made = connection.create(maps, {"metadata": {"name": name}, "data": {"a": "1"}})
        assert connection.get(f"{maps}/{name}")["data"] == {"a": "1"}
        patched = connection.patch(f"{maps}/{name}", {"data": {"a": None, "b": "2"}}, Patch.MERGE)
        assert patched["data"] == {"b": "2"}
        with pytest.raises(Conflict, match=f"PUT {maps}/{name}: 409"):
            connection.replace(f"{maps}/{name}", made)
        replaced = connection.replace(f"{maps}/{name}", patched | {"data": {"c": "3"}})
        assert replaced["data"] == {"c": "3"}
        connection.delete(f"{maps}/{name}")
        with pytest.raises(Missing):
            connection.get(f"{maps}/{name}")

    def test_refusals_say_what_to_do(self, connection: Connection, arrange: Arranger) -> None:
        name = fresh("n")
        arrange.create(NODES, node(name))
        with pytest.raises(Conflict, match="already exists"):
            connection.create(NODES, node(name))
        with pytest.raises(Invalid) as refused:
            connection.create(NODES, node("Secret_Name"))
        assert f"POST {NODES}: refused with 422" in str(refused.value)
        assert "metadata.name: Invalid value:" in str(refused.value)

    def test_one_object_is_followed(self, connection: Connection, arrange: Arranger) -> None:
        name, other = fresh("n"), fresh("other")
        changed = threading.Event()
        watch = ObjectWatch(connection, NODES, name, changed.set, random.Random(1), PACE)
        assert not watch.synced
        watch.start()
        eventually(lambda: watch.synced)
        assert watch.current() is None
        arrange.create(NODES, node(other))
        arrange.create(NODES, node(name))
        eventually(lambda: _label(watch) == "")
        arrange.patch(f"{NODES}/{name}", {"metadata": {"labels": {"a": "1"}}})
        eventually(lambda: _label(watch) == "1")
        arrange.delete(f"{NODES}/{name}")
        eventually(lambda: watch.current() is None)
        changed.clear()
        arrange.patch(f"{NODES}/{other}", {"metadata": {"labels": {"a": "1"}}})
        arrange.create(NODES, node(name, labels={"a": "2"}))
        eventually(lambda: _label(watch) == "2")
        assert changed.is_set()
        assert watch.problems() == ()
        assert watch.close(5)

    def test_a_collection_is_followed(self, connection: Connection, arrange: Arranger) -> None:
        group = fresh("group")
        names = [f"{group}-{each}" for each in range(7)]
        for name in names:
            arrange.create(NODES, node(name, labels={"group": group, "a": "0"}))
        scope = Scope(NODES, {"labelSelector": f"group={group}"}, page=3)
        changed = threading.Event()
        labels: Callable[[dict[str, Any]], str] = lambda each: each["metadata"]["labels"]["a"]  # noqa: E731
        seen = Collection(connection, scope, labels, changed.set, random.Random(1), PACE)
        assert seen.snapshot() == {}
        seen.start()
        eventually(lambda: seen.synced)
        first = seen.snapshot()
        assert first == {("", name): "0" for name in names}
        arrange.patch(f"{NODES}/{names[0]}", {"metadata": {"labels": {"a": "1"}}})
        arrange.delete(f"{NODES}/{names[1]}")
        arrange.patch(f"{NODES}/{names[2]}", {"metadata": {"labels": {"group": "other"}}})
        left = {("", name): "0" for name in names[3:]} | {("", names[0]): "1"}
        eventually(lambda: seen.snapshot() == left)
        assert first == {("", name): "0" for name in names}
        assert seen.close(5)

    def test_a_node_says_what_was_published(self, connection: Connection, arrange: Arranger) -> None:
        name = fresh("n")
        arrange.create(NODES, node(name, annotations={"theirs": "stays"}))
        ready = {"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "posting"}
        arrange.patch(f"{NODES}/{name}/status", {"status": {"conditions": [ready]}}, "strategic")
        watch = ObjectWatch(connection, NODES, name, lambda: None, random.Random(1), PACE)
        writer = NodeWriter(connection, name, watch.current, lambda: _NOW, Silent(), random.Random(1))
        watch.start()
        eventually(lambda: watch.synced)
        writer.start()
        bad = Condition(words.MACHINE_CONFIG_DEGRADED, "True", "Drift", "/etc/a differs")
        writer.publish({words.STATE: "Degraded", words.REASON: "x" * 3000, words.DESIRED_DRAIN: None}, [bad])
        eventually(writer.settled)
        eventually(lambda: _annotations(watch).get(words.STATE) == "Degraded")
        told = watch.current()
        assert told is not None
        assert _annotations(watch)["theirs"] == "stays"
        assert len(_annotations(watch)[words.REASON]) == 2000
        assert words.DESIRED_DRAIN not in _annotations(watch)
        conditions = {each["type"]: each for each in told["status"]["conditions"]}
        assert conditions["Ready"]["message"] == "posting"
        assert conditions[bad.type]["lastTransitionTime"] == "2026-05-04T03:02:01Z"

        writer.publish({words.STATE: "Degraded"}, [bad])
        writer.wake()
        time.sleep(0.3)
        now = watch.current()
        assert now is not None
        assert now["metadata"]["resourceVersion"] == told["metadata"]["resourceVersion"]

        assert writer.stop(5)
        change = leavings.on_node(leavings.node(connection, name))
        assert change is not None
        leavings.clear_node(connection, change)
        left = arrange.get(f"{NODES}/{name}")
        assert left["metadata"]["annotations"] == {"theirs": "stays"}
        assert [each["type"] for each in left["status"]["conditions"]] == ["Ready"]
        assert watch.close(5)

    def test_a_coordinators_step_holds_for_the_node_that_was_seen(
        self, connection: Connection, arrange: Arranger
    ) -> None:
        name = fresh("n")
        seen = NodeView.of(arrange.create(NODES, node(name)))
        coordinator = Nodes(connection)
        after = coordinator.change(
            seen, {words.DESIRED_CONFIG: "render-a", words.CORDONED_FOR: "render-a"}, unschedulable=True
        )
        assert (after.said(words.DESIRED_CONFIG), after.unschedulable) == ("render-a", True)
        with pytest.raises(Conflict):
            coordinator.change(seen, {words.DESIRED_CONFIG: "render-b"})
        free = coordinator.change(after, {words.CORDONED_FOR: None}, unschedulable=False)
        assert (free.said(words.CORDONED_FOR), free.unschedulable) == ("", False)
        gone = [Condition(each, "Unknown", "AgentGone", "no word from the agent") for each in words.CONDITIONS]
        assert coordinator.tell(name, gone, _NOW)
        assert not coordinator.tell(name, gone, _NOW)
        arrange.delete(f"{NODES}/{name}")
        with pytest.raises(Missing):
            coordinator.change(free, {})

    def test_the_same_event_again_is_counted(self, connection: Connection, arrange: Arranger) -> None:
        name = fresh("n")
        recorder = EventRecorder(connection, name, 60, lambda: datetime.now(UTC), Silent(), random.Random(1))
        recorder.record("Warning", "Drift", "/etc/a differs")
        recorder.record("Normal", "Repaired", "/etc/a is as declared")
        recorder.start()
        eventually(lambda: sorted(_events(arrange, name).values()) == [1, 1])
        for _ in range(3):
            recorder.record("Warning", "Drift", "/etc/a differs")
        eventually(lambda: _events(arrange, name) == {"Drift": 4, "Repaired": 1})
        assert recorder.dropped == 0
        assert recorder.stop(5)

    def test_one_leads_and_hands_over(self, kubeconfig: str, arrange: Arranger) -> None:
        name = fresh("lease")
        terms = Terms(lease=2.0, renew=1.5, retry=0.2)
        heard: list[str] = []

        def runner(identity: str) -> Election:
            told = (lambda: heard.append(f"{identity} starts"), lambda: heard.append(f"{identity} stops"))
            seat = Seat("default", name, identity)
            return Election(connect(kubeconfig, identity), seat, *told, random.Random(1), terms)

        first, second = runner("first"), runner("second")
        first.start()
        eventually(lambda: first.leading)
        second.start()
        end = time.monotonic() + 2.5
        while time.monotonic() < end:
            assert first.remaining > 0
            assert not second.leading
            time.sleep(0.02)
        assert second.holder == "first"
        assert first.close()
        assert not first.leading
        eventually(lambda: second.leading, 1.0)
        assert heard == ["first starts", "first stops", "second starts"]
        lease = arrange.get(f"/apis/coordination.k8s.io/v1/namespaces/default/leases/{name}")
        assert lease["spec"]["holderIdentity"] == "second"
        assert lease["spec"]["leaseTransitions"] == 1
        assert second.close()

    def test_pods_leave_as_their_budgets_let_them(self, connection: Connection, arrange: Arranger) -> None:
        name, app = fresh("n"), fresh("app")
        names = [f"{app}-{each}" for each in range(3)]
        arrange.create(NODES, node(name))
        for each, label in zip(names, ("none", "one", "two"), strict=True):
            arrange.create(PODS, pod(each, name, app=app, covered=label, doubly=str(label == "two")))
            arrange.patch(f"{PODS}/{each}/status", _running())
        arrange.create(BUDGETS, _budget(f"{app}-one", {"app": app, "covered": "one"}))
        arrange.create(BUDGETS, _budget(f"{app}-two", {"app": app, "covered": "two"}))
        arrange.create(BUDGETS, _budget(f"{app}-too", {"app": app, "doubly": "True"}))
        for each in ("one", "two", "too"):
            arrange.patch(f"{BUDGETS}/{app}-{each}/status", {"status": _seen_by_controller(0)})
        evictions = Evictions(connection)
        free, one, two = sorted(evictions.pods(name), key=lambda each: str(each["metadata"]["name"]))
        earlier = free | {"metadata": free["metadata"] | {"uid": "00000000-0000-0000-0000-000000000000"}}
        assert evictions.evict(earlier) == Gone()
        assert isinstance(evictions.evict(free), Evicted)
        eventually(lambda: len(evictions.pods(name)) == 2)
        assert evictions.evict(free) == Gone()
        match evictions.evict(one), evictions.evict(two):
            case Blocked(first, message), Blocked(second, _):
                assert first == (f"{app}-one",)
                assert second == (f"{app}-too", f"{app}-two")
                assert "429" in message
            case other:
                pytest.fail(f"not blocked: {other}")
        arrange.patch(f"{BUDGETS}/{app}-one/status", {"status": _seen_by_controller(1)})
        assert isinstance(evictions.evict(one), Evicted)


def _label(watch: ObjectWatch) -> str | None:
    current = watch.current()
    return None if current is None else current["metadata"].get("labels", {}).get("a", "")


def _annotations(watch: ObjectWatch) -> dict[str, str]:
    current = watch.current()
    return {} if current is None else current["metadata"].get("annotations", {})


def _events(arrange: Arranger, name: str) -> dict[str, int]:
    items = arrange.get(EVENTS)["items"]
    return {each["reason"]: each["count"] for each in items if each["involvedObject"]["uid"] == name}


def _running() -> dict[str, Any]:
    ready = {"type": "Ready", "status": "True"}
    return {"status": {"phase": "Running", "conditions": [ready]}}


def _budget(name: str, labels: dict[str, str]) -> dict[str, Any]:
    return {"metadata": {"name": name}, "spec": {"minAvailable": 1, "selector": {"matchLabels": labels}}}


def _seen_by_controller(allowed: int) -> dict[str, int]:
    """A status as the disruption controller writes it."""
    counts = {"currentHealthy": 1, "desiredHealthy": 1, "expectedPods": 1}
    return {"observedGeneration": 1, "disruptionsAllowed": allowed, **counts}
