"""A reflector against a server that cuts, forgets, refuses, falls silent and goes away."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from nodeagent.engine.controller import Backoff
from nodeagent.kube.collection import Collection
from nodeagent.kube.connection import Connection, connect
from nodeagent.kube.reflector import Pace, Scope
from nodeagent.kube.watch import ObjectWatch
from tests.contract.kube import NODES, eventually, node
from tests.fakes.api import Api
from tests.fakes.objects import Refused, Request

_QUICK = Backoff(shortest=0.02, longest=0.05)
_PACE = Pace(_QUICK, lasting=(60, 90), silence=20.0)


@pytest.fixture
def watch(api: Api, connection: Connection) -> Iterator[ObjectWatch]:
    api.create(NODES, node("a"))
    watch = _watch(connection)
    watch.start()
    eventually(lambda: watch.current() is not None)
    eventually(lambda: api.counted()["WATCH"] == 1)
    yield watch
    assert watch.close(5)


def _watch(connection: Connection, pace: Pace = _PACE) -> ObjectWatch:
    return ObjectWatch(connection, NODES, "a", lambda: None, random.Random(1), pace)


def _says(watch: ObjectWatch) -> str:
    current = watch.current()
    return "" if current is None else current["metadata"].get("labels", {}).get("a", "")


def _say(api: Api, value: str) -> None:
    api.patch(f"{NODES}/a", {"metadata": {"labels": {"a": value}}})


def _refusing(error: Refused, times: int, when: Callable[[Request], bool]) -> Callable[[Request], None]:
    left = [error] * times

    def fault(request: Request) -> None:
        if when(request) and left:
            raise left.pop()

    return fault


def test_it_asks_for_one_object_from_the_servers_cache(api: Api, watch: ObjectWatch) -> None:
    listed, watched = [each for each in api.requests if each.method == "GET"]
    assert listed.query == {"fieldSelector": "metadata.name=a", "resourceVersion": "0", "limit": "500"}
    assert listed.agent == "nodeagent/test"
    assert watched.query["fieldSelector"] == "metadata.name=a"
    assert watched.query["allowWatchBookmarks"] == "true"
    assert 60 <= int(watched.query["timeoutSeconds"]) <= 90


def test_after_a_cut_it_goes_on_from_the_last_bookmark_without_a_list(api: Api, watch: ObjectWatch) -> None:
    for each in range(3):
        api.create(NODES, node(f"other-{each}"))  # only bookmarks tell of these versions
    newest = str(api.store.version)
    eventually(lambda: watch._reflector._version == newest)
    api.cut()
    _say(api, "1")
    eventually(lambda: _says(watch) == "1")
    assert [each.query["resourceVersion"] for each in api.requests if each.method == "GET" and each.watches][
        1
    ] == newest
    assert sum(not each.watches for each in api.requests) == 1


@pytest.mark.parametrize("how", ["event", "status"])
def test_what_is_too_old_is_listed_again_from_etcd(api: Api, watch: ObjectWatch, how: str) -> None:
    if how == "status":
        api.fault = _refusing(Refused(410, "too old"), 1, lambda request: request.watches)
    api.store.compact()
    api.cut()
    _say(api, "1")
    eventually(lambda: _says(watch) == "1")
    lists = [each.query for each in api.requests if not each.watches]
    assert len(lists) == 2
    assert "resourceVersion" not in lists[1]


@pytest.mark.parametrize("code", [429, 500, 504])
def test_refusals_inside_and_before_the_stream_are_survived(api: Api, watch: ObjectWatch, code: int) -> None:
    refused = Refused(code, "not now")
    api.fault = _refusing(refused, 2, lambda request: request.watches)
    api.errors = [refused.status]
    api.cut()
    _say(api, "1")
    eventually(lambda: _says(watch) == "1" and not watch.problems())


def test_silence_is_noticed(api: Api, connection: Connection) -> None:
    api.create(NODES, node("a"))
    watch = _watch(connection, Pace(_QUICK, (60, 90), silence=0.5))
    watch.start()
    eventually(lambda: api.counted()["WATCH"] == 1)
    api.mute = True
    _say(api, "1")
    eventually(lambda: watch.problems() != ())
    assert "timed out" in watch.problems()[0]
    api.mute = False
    eventually(lambda: _says(watch) == "1")
    assert watch.close(5)


def test_a_server_that_is_away_leaves_what_was_seen_and_is_told(tmp_path: Path) -> None:
    with Api() as api:
        connection = connect(api.kubeconfig(tmp_path), "nodeagent/test")
        api.create(NODES, node("a", labels={"a": "1"}))
        watch = _watch(connection)
        watch.start()
        eventually(lambda: _says(watch) == "1")
    eventually(lambda: watch.problems() != ())
    assert _says(watch) == "1"
    assert watch.synced
    assert f"{NODES} is as of 0 s ago; tried" in watch.problems()[0]
    assert watch.age() < 10
    assert watch.close(5)


def test_a_server_that_was_never_there_is_told(tmp_path: Path) -> None:
    with Api() as api:
        connection = connect(api.kubeconfig(tmp_path), "nodeagent/test")
    watch = _watch(connection)
    watch.start()
    eventually(lambda: watch.problems() != ())
    assert "not known yet" in watch.problems()[0]
    assert "refused" in watch.problems()[0]
    assert not watch.synced
    assert watch.age() == float("inf")
    assert watch.close(5)


def test_closing_does_not_wait_for_a_silent_server(api: Api, connection: Connection) -> None:
    watch = _watch(connection)
    watch.start()
    eventually(lambda: api.counted()["WATCH"] == 1)
    api.mute = True
    assert watch.close(2)


def test_a_watch_that_ends_at_once_is_no_loop_without_pause(api: Api, connection: Connection) -> None:
    watch = _watch(connection, Pace(Backoff(0.2, 0.4), (60, 90), 20.0))
    watch.start()
    for _ in range(50):
        api.cut()
        eventually(lambda: True)
    eventually(lambda: watch.synced)
    assert api.counted()["WATCH"] < 10
    assert watch.close(5)


def test_pages_are_read_to_their_end_and_again_if_they_expire(api: Api, connection: Connection) -> None:
    names = [f"n-{each}" for each in range(7)]
    for name in names:
        api.create(NODES, node(name))

    def fault(request: Request) -> None:
        if request.query.get("continue", "").endswith("/6") and not api.store.oldest:
            api.store.compact()

    api.fault = fault
    sizes: list[int] = []
    seen: Collection[str]
    seen = Collection(
        connection,
        Scope(NODES, page=3),
        _version,
        lambda: sizes.append(len(seen.snapshot())),
        random.Random(1),
        _PACE,
    )
    seen.start()
    eventually(lambda: seen.synced)
    assert set(sizes) == {7}
    assert [each.query.get("continue", "").partition("/")[2] for each in api.requests if not each.watches] == [
        "", "3", "6", "", "3", "6"
    ]  # fmt: skip
    assert seen.close(5)


def _version(each: dict[str, Any]) -> str:
    version: str = each["metadata"]["resourceVersion"]
    return version


def test_what_is_no_list_is_told(api: Api, connection: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api.store, "answer", lambda *_: ["odd"])
    watch = _watch(connection)
    watch.start()
    eventually(lambda: watch.problems() != ())
    assert "the answer is no list of objects" in watch.problems()[0]
    assert watch.close(5)


def test_what_never_started_closes(connection: Connection) -> None:
    assert _watch(connection).close(0)
