"""When a component started is read from the certificate that it made for itself then."""

from __future__ import annotations

import pytest

from nodeagent.changes.certs import AwaitServed, AwaitStart, from_facts
from nodeagent.errors import Broken
from nodeagent.host.components import Components, started
from tests.unit.certs.authority import issue


@pytest.mark.parametrize("seconds", [0, 7, 1795424429, 99999999999])
def test_the_start_stands_in_the_name(seconds: int) -> None:
    assert started(issue(f"apiserver-loopback-client@{seconds}").der) == seconds


def test_what_follows_the_name_is_no_part_of_it() -> None:
    """A tag of DER that comes next may look like one more digit."""
    made = issue("apiserver-loopback-client@1795424429", organization="0123")
    assert started(made.der) == 1795424429


@pytest.mark.parametrize(
    "der", [b"", b"garbage", b"\x0capiserver-loopback-client@", b"\x0c\xffapiserver-loopback-client@1"]
)
def test_what_is_no_such_certificate_tells_nothing(der: bytes) -> None:
    assert started(der) in {0, 1}
    assert started(issue("kube-apiserver").der) == 0


def test_a_wait_ends_by_its_deadline_and_says_what_it_saw() -> None:
    now = [0.0]

    def sleep(seconds: float) -> None:
        now[0] += seconds

    one = Components(5.0, lambda: now[0], sleep)
    with pytest.raises(Broken, match=r"kube-scheduler does not answer \(nothing listens there\) after 5 s"):
        one.carry_out(AwaitStart("kube-scheduler", "127.0.0.1", 1, "/healthz", 7))
    assert 5.0 <= now[0] < 6.0


def test_waits_survive_the_journal() -> None:
    for change in (
        AwaitStart("kube-scheduler", "127.0.0.1", 10259, "/healthz", 7),
        AwaitServed("etcd", "::1", 2379, "ab"),
    ):
        assert from_facts(change.facts()) == change
    assert from_facts({"change": "DaemonReload"}) is None
