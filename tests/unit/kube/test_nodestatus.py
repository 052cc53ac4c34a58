"""The single writer: patches only on change, tells the latest after an outage."""

from __future__ import annotations

import random
import re
from datetime import UTC, datetime
from typing import Any

import pytest

from nodeagent.errors import Transient
from nodeagent.kube.connection import Connection
from nodeagent.kube.nodestatus import NodeWriter
from nodeagent.observed import nodes
from nodeagent.observed.nodes import Condition
from tests.contract.kube import NODES, Silent, eventually, node
from tests.fakes.api import Api
from tests.fakes.objects import Refused, Request

_NOW = datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)


class Seen:
    """A watch that tells what a test lets it."""

    def __init__(self) -> None:
        self.node: dict[str, Any] | None = None

    def __call__(self) -> dict[str, Any] | None:
        return self.node


@pytest.fixture
def seen(api: Api) -> Seen:
    seen = Seen()
    seen.node = api.create(NODES, node("a"))
    return seen


@pytest.fixture
def writer(connection: Connection, seen: Seen) -> NodeWriter:
    return NodeWriter(connection, "a", seen, lambda: _NOW, Silent(), random.Random(1))


def _patches(api: Api) -> int:
    return api.counted()["PATCH"]


def test_one_patch_tells_annotations_and_conditions_and_no_get_is_needed(
    api: Api, writer: NodeWriter, seen: Seen
) -> None:
    writer.publish({nodes.STATE: "Done"}, [Condition(nodes.VIP_DEGRADED, "False", "Healthy", "")])
    writer._tick()
    assert [(each.method, each.path, each.query) for each in api.requests] == [
        ("PATCH", f"{NODES}/a/status", {"fieldManager": "nodeagent"})
    ]


def test_nothing_is_patched_twice_while_the_watch_lags(api: Api, writer: NodeWriter, seen: Seen) -> None:
    writer.publish({nodes.STATE: "Done"}, [])
    for _ in range(3):
        writer._tick()
    assert _patches(api) == 1
    seen.node = api.get(f"{NODES}/a")
    writer._tick()
    assert _patches(api) == 1
    assert writer.settled()


def test_what_another_overwrote_is_told_again(api: Api, writer: NodeWriter, seen: Seen) -> None:
    writer.publish({}, [Condition(nodes.MACHINE_CONFIG_DEGRADED, "False", "AsDeclared", "")])
    writer._tick()
    unknown = {"type": nodes.MACHINE_CONFIG_DEGRADED, "status": "Unknown", "reason": "AgentGone", "message": ""}
    seen.node = api.patch(f"{NODES}/a/status", {"status": {"conditions": [unknown]}}, "strategic")
    assert not writer.settled()
    writer._tick()
    (told,) = api.get(f"{NODES}/a")["status"]["conditions"]
    assert (told["status"], told["reason"]) == ("False", "AsDeclared")


def test_after_an_outage_the_latest_word_is_told_once(api: Api, writer: NodeWriter) -> None:
    def down(request: Request) -> None:
        raise Refused(503, "etcd is away")

    api.fault = down
    for state in ("Working", "Degraded", "Done"):
        writer.publish({nodes.STATE: state, nodes.REASON: None}, [])
        with pytest.raises(Transient, match="503"):
            writer._tick()
    api.fault = lambda _request: None
    before = _patches(api)
    writer.start()
    eventually(lambda: api.get(f"{NODES}/a")["metadata"].get("annotations") == {nodes.STATE: "Done"})
    assert _patches(api) == before + 1
    assert writer.stop(5)


def test_a_node_that_is_not_there_is_told_as_such(connection: Connection) -> None:
    writer = NodeWriter(connection, "a", lambda: None, lambda: _NOW, Silent(), random.Random(1))
    assert not writer.settled()
    with pytest.raises(Transient, match=re.escape("node a: not seen on the API server yet")):
        writer._tick()


def test_values_over_their_bound_are_cut_once_and_settle(api: Api, writer: NodeWriter) -> None:
    writer.publish({nodes.REASON: "x" * 5000}, [Condition(nodes.VIP_DEGRADED, "True", "Down", "y" * 5000)])
    writer._tick()
    told = api.get(f"{NODES}/a")
    assert len(told["metadata"]["annotations"][nodes.REASON]) == 2000
    assert len(told["status"]["conditions"][0]["message"]) == 1000
    assert writer.settled()
