"""The approver approves each request once, denies none, and says once why it leaves one."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

import pytest

from nodeagent.certs.approvals import series
from nodeagent.certs.approver import Approver, Terms
from nodeagent.certs.signing import SigningRequest
from nodeagent.errors import Transient
from tests.unit.certs.authority import NOW
from tests.unit.certs.requests import NODE, SANS, USER, pem, waiting

_BAD = pem(sans=("DNS:other",))


@dataclass
class Cluster:
    """Requests and Nodes as the watches show them, and what was done."""

    shown: dict[str, SigningRequest] = field(default_factory=dict)
    names: dict[str, frozenset[str]] = field(default_factory=lambda: {NODE: frozenset(SANS)})
    approved: list[str] = field(default_factory=list)
    told: list[tuple[str, str]] = field(default_factory=list)
    changed: set[str] = field(default_factory=set)  # requests that are no longer what is shown
    failing: set[str] = field(default_factory=set)
    leads: bool = True
    now: datetime.datetime = NOW
    counted: int = 0

    def add(self, *requests: SigningRequest) -> None:
        self.shown |= {each.name: each for each in requests}

    def approver(self, *, approving: bool = True) -> Approver:
        terms = Terms(approving, 365 * 86400.0)
        return Approver(self, terms, lambda: self.leads, lambda: self.now, self._count)

    def _count(self) -> None:
        self.counted += 1

    def requests(self) -> Iterable[SigningRequest]:
        return self.shown.values()

    def nodes(self) -> Mapping[str, frozenset[str]]:
        return self.names

    def approve(self, request: SigningRequest, reason: str, message: str) -> bool:
        assert reason
        assert message
        if request.name in self.failing:
            raise Transient("the server is away")
        if request.name in self.changed:
            return False
        self.approved.append(request.name)
        return True

    def tell(self, request: SigningRequest, message: str) -> None:
        self.told.append((request.name, message))


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


def test_a_request_is_approved_once_although_the_watch_lags(cluster: Cluster) -> None:
    cluster.add(waiting())
    approver = cluster.approver()
    approver.tick()
    approver.tick()
    assert cluster.approved == ["csr-1"]
    assert cluster.counted == 1
    assert cluster.told == []


def test_a_request_that_changed_meanwhile_is_judged_again(cluster: Cluster) -> None:
    cluster.add(waiting())
    cluster.changed.add("csr-1")
    approver = cluster.approver()
    approver.tick()
    assert (cluster.approved, cluster.counted) == ([], 0)
    cluster.changed.clear()
    approver.tick()
    assert cluster.approved == ["csr-1"]


def test_what_is_not_approved_is_left_with_one_event_that_says_why(cluster: Cluster) -> None:
    cluster.add(waiting(_BAD))
    approver = cluster.approver()
    for _ in range(3):
        approver.tick()
    ((name, message),) = cluster.told
    assert name == "csr-1"
    assert message.startswith("left for an administrator: it names what is no address of the Node: DNS:other")
    assert cluster.approved == []


def test_why_is_told_again_when_it_has_changed(cluster: Cluster) -> None:
    cluster.add(waiting(_BAD))
    approver = cluster.approver()
    approver.tick()
    cluster.names = {}
    approver.tick()
    assert [message.rpartition(": ")[2] for _, message in cluster.told][-1] == f"there is no Node {NODE}"
    assert len(cluster.told) == 2


def test_a_node_that_comes_a_little_later_is_waited_for_in_silence(cluster: Cluster) -> None:
    cluster.names = {}
    cluster.add(waiting(age=5.0))
    approver = cluster.approver()
    approver.tick()
    assert cluster.told == []
    cluster.names = {NODE: frozenset(SANS)}
    approver.tick()
    assert cluster.approved == ["csr-1"]


def test_switched_off_it_only_judges(cluster: Cluster) -> None:
    cluster.add(waiting(), waiting(_BAD, name="csr-2"))
    approver = cluster.approver(approving=False)
    approver.tick()
    assert (cluster.approved, cluster.told) == ([], [])
    rows = series(approver.verdicts)
    assert rows["nodeagent_serving_requests"] == [(("approve",), 1.0), (("leave",), 1.0)]
    assert rows["nodeagent_serving_request_age_seconds"] == [(("approve",), 60.0), (("leave",), 60.0)]


def test_without_the_lease_nothing_is_done_or_shown(cluster: Cluster) -> None:
    cluster.add(waiting(), waiting(_BAD, name="csr-2"))
    cluster.leads = False
    approver = cluster.approver()
    approver.tick()
    assert (cluster.approved, cluster.told, approver.verdicts) == ([], [], ())


def test_a_failure_leaves_the_others_their_turn(cluster: Cluster) -> None:
    cluster.add(waiting(), waiting(_BAD, name="csr-2"), waiting(name="csr-3"))
    cluster.failing.add("csr-1")
    with pytest.raises(Transient, match="away"):
        cluster.approver().tick()
    assert cluster.approved == ["csr-3"]
    assert [name for name, _ in cluster.told] == ["csr-2"]


def test_settled_requests_are_nobody_s_business(cluster: Cluster) -> None:
    cluster.add(replace(waiting(), settled=True), replace(waiting(_BAD, name="csr-2"), settled=True))
    approver = cluster.approver()
    approver.tick()
    assert (cluster.approved, cluster.told, approver.verdicts) == ([], [], ())


def test_who_asks_often_does_not_get_more_events_than_a_round_has(cluster: Cluster) -> None:
    cluster.add(*(waiting(_BAD, name=f"csr-{number}", username=USER) for number in range(50)))
    approver = cluster.approver()
    approver.tick()
    assert len(cluster.told) == 20
    for _ in range(5):
        approver.tick()
    assert len({name for name, _ in cluster.told}) == len(cluster.told) == 50
