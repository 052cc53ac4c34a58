"""Evictions that the server refuses for other reasons than a budget."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from nodeagent.kube import eviction
from nodeagent.kube.connection import Connection
from nodeagent.kube.errors import Throttled, Unavailable
from nodeagent.kube.eviction import Blocked, Evictions, Gone
from tests.contract.kube import PODS, pod
from tests.fakes.api import Api
from tests.fakes.objects import Refused, Request


def _refusing(code: int) -> Callable[[Request], None]:
    def fault(request: Request) -> None:
        if request.path.endswith("/eviction"):
            raise Refused(code, "no")

    return fault


@pytest.fixture
def victim(api: Api) -> dict[str, Any]:
    victim: dict[str, Any] = api.create(PODS, pod("p", "n"))
    return victim


@pytest.mark.parametrize(("code", "error"), [(429, Throttled), (500, Unavailable), (503, Unavailable)])
def test_a_busy_server_is_no_budget(
    api: Api, connection: Connection, victim: dict[str, Any], code: int, error: type[Exception]
) -> None:
    api.fault = _refusing(code)
    with pytest.raises(error):
        Evictions(connection).evict(victim)


@pytest.mark.parametrize("code", [404, 409])
def test_a_pod_that_is_still_there_is_not_called_gone(
    api: Api, connection: Connection, victim: dict[str, Any], code: int
) -> None:
    api.fault = _refusing(code)
    assert Evictions(connection).evict(victim) == Blocked((), "the pod changed while it was evicted")
    api.delete(f"{PODS}/p")
    assert Evictions(connection).evict(victim) == Gone()


def test_pods_are_read_to_the_last_page(api: Api, connection: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(eviction, "PAGE", 2)
    for number in range(5):
        api.create(PODS, pod(f"p{number}", "n"))
    api.create(PODS, pod("other", "m"))
    pods = Evictions(connection).pods("n")
    assert [each["metadata"]["name"] for each in pods] == [f"p{number}" for number in range(5)]
