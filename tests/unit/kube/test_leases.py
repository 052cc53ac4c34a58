"""Elections when the server refuses, forgets, hangs, and clocks differ."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from nodeagent.kube.connection import connect
from nodeagent.kube.leases import Election, Seat, Terms
from tests.contract.kube import eventually
from tests.fakes.api import Api
from tests.fakes.objects import Refused, Request

_TERMS = Terms(lease=0.9, renew=0.6, retry=0.1)
_LEASES = "/apis/coordination.k8s.io/v1/namespaces/ns/leases"


@pytest.fixture
def runner(api: Api, tmp_path: Path) -> Callable[..., Election]:
    kubeconfig = api.kubeconfig(tmp_path)

    def make(identity: str, heard: list[str] | None = None, year: int = 2026) -> Election:
        say = heard if heard is not None else []
        return Election(
            connect(kubeconfig, identity),
            Seat("ns", "pools", identity),
            lambda: say.append("started"),
            lambda: say.append("stopped"),
            random.Random(1),
            _TERMS,
            lambda: datetime(year, 1, 1, tzinfo=UTC) + timedelta(seconds=time.monotonic()),
        )

    return make


def _cutting_off(agent: str, error: Refused | None) -> Callable[[Request], None]:
    def fault(request: Request) -> None:
        if request.agent == agent:
            if error is None:
                time.sleep(3)
            raise error or Refused(503, "late")

    return fault


@pytest.mark.parametrize("error", [Refused(503, "away"), None], ids=["refused", "hung"])
def test_who_is_cut_off_stops_before_another_starts(
    api: Api, runner: Callable[..., Election], error: Refused | None
) -> None:
    heard: list[str] = []
    first, second = runner("first", heard), runner("second", year=1999)
    first.start()
    eventually(lambda: first.leading)
    second.start()
    eventually(lambda: second.holder == "first")
    api.fault = _cutting_off("first", error)
    eventually(lambda: not first.leading or second.leading, 5)
    assert not second.leading
    assert first.remaining == 0
    eventually(lambda: heard == ["started", "stopped"], 1)
    eventually(lambda: second.leading, 3)
    assert not first.leading
    assert (first.problems() != ()) or error is None
    api.fault = lambda _request: None
    assert second.close()
    assert first.close()


def test_of_many_only_one_leads_at_any_time(api: Api, runner: Callable[..., Election]) -> None:
    crowd = [runner(f"c{each}") for each in range(5)]
    for each in crowd:
        each.start()
    eventually(lambda: any(each.leading for each in crowd))
    end = time.monotonic() + 1.5
    while time.monotonic() < end:
        assert sum(each.leading for each in crowd) <= 1
        time.sleep(0.005)
    assert all(each.close() for each in crowd)
    assert api.get(f"{_LEASES}/pools")["spec"]["holderIdentity"] == ""


def test_a_lease_that_was_deleted_is_made_again(api: Api, runner: Callable[..., Election]) -> None:
    first = runner("first")
    first.start()
    eventually(lambda: first.leading)
    api.delete(f"{_LEASES}/pools")
    eventually(lambda: "pools" in str(api.get(_LEASES)["items"]))
    assert first.close()


def test_a_dead_holders_lease_is_taken_whatever_its_clock_said(api: Api, runner: Callable[..., Election]) -> None:
    spec = {"holderIdentity": "dead", "leaseDurationSeconds": 1, "renewTime": "2999-01-01T00:00:00.000000Z"}
    api.create(_LEASES, {"metadata": {"name": "pools"}, "spec": spec})
    heir = runner("heir")
    began = time.monotonic()
    heir.start()
    eventually(lambda: heir.leading, 5)
    assert time.monotonic() - began > 1.0
    assert api.get(f"{_LEASES}/pools")["spec"]["leaseTransitions"] == 1
    assert heir.close()


def test_a_loser_that_never_led_leaves_the_lease_alone(api: Api, runner: Callable[..., Election]) -> None:
    first, second = runner("first"), runner("second")
    first.start()
    eventually(lambda: first.leading)
    second.start()
    eventually(lambda: second.holder == "first")
    assert second.close()
    assert first.leading
    assert first.close()


def test_terms_that_let_two_lead_are_refused() -> None:
    with pytest.raises(ValueError, match="give up before its Lease can be taken"):
        Terms(lease=10, renew=10, retry=2)
