"""`nodeagent certs plan` and `renew` as an administrator types them."""

from __future__ import annotations

import datetime

import pytest

from nodeagent.certs.contents import contents
from tests.unit.certs.authority import DAY, Pair, issue
from tests.unit.cli.conftest import Node, Result

NOW = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
PKI = "etc/kubernetes/pki"
CLIENT = "apiserver-kubelet-client"


def _put(node: Node, stem: str, pair: Pair) -> None:
    for end, data, mode in (("crt", pair.pem, 0o644), ("key", pair.key_pem, 0o600)):
        path = node.root / PKI / f"{stem}.{end}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        path.chmod(mode)


@pytest.fixture
def control_plane(node: Node) -> Node:
    """Of its two leaves one is due."""
    authority = issue("kubernetes", ca=True, begins=NOW - 400 * DAY, ends=NOW + 3000 * DAY)
    _put(node, "ca", authority)
    for stem, days, usage in ((CLIENT, 10, "clientAuth"), ("apiserver", 300, "serverAuth")):
        ends = NOW + days * DAY
        pair = issue(stem, authority, usages=[usage], sans=["DNS:a"], begins=ends - 365 * DAY, ends=ends)
        _put(node, stem, pair)
    return node


def _certs(node: Node, action: str, *words: str) -> Result:
    return node.run("certs", action, *words, "--root", node.root)


def _days_left(node: Node, stem: str) -> int:
    (found,) = contents((node.root / PKI / f"{stem}.crt").read_bytes()).certificates
    return round((found.not_after - NOW) / DAY)


def test_the_plan_names_what_is_due_and_touches_nothing(control_plane: Node) -> None:
    planned = _certs(control_plane, "plan")
    assert planned.code == 3
    assert planned.out.startswith(f"renew {CLIENT}: /{PKI}/{CLIENT}.crt, ")
    assert len(planned.out.splitlines()) == 1
    assert _days_left(control_plane, CLIENT) == 10
    assert not (control_plane.root / "var").exists()
    (told,) = _certs(control_plane, "plan", "-o", "json").json["renewals"]
    assert (told["name"], told["ca"], told["restarts"]) == (CLIENT, f"/{PKI}/ca.crt", [])


def test_renew_does_what_was_planned_and_then_nothing_is_due(control_plane: Node) -> None:
    done = _certs(control_plane, "renew", "--days", "90")
    assert (done.code, done.out.splitlines()[-1]) == (0, "1 certificate renewed")
    assert (_days_left(control_plane, CLIENT), _days_left(control_plane, "apiserver")) == (90, 300)
    again = _certs(control_plane, "renew")
    assert (again.code, again.out) == (0, "nothing is due\n")
    assert _certs(control_plane, "plan").code == 0


def test_all_are_renewed_with_one_document(control_plane: Node) -> None:
    done = _certs(control_plane, "renew", "--all", "-o", "json").json
    assert done["result"] == "applied"
    assert {each["name"] for each in done["renewals"]} == {CLIENT, "apiserver"}


def test_what_is_refused_is_an_error_that_changes_nothing(control_plane: Node) -> None:
    (control_plane.root / PKI / "ca.key").unlink()
    refused = _certs(control_plane, "renew", CLIENT, "nonsense")
    assert refused.code == 1
    assert "nonsense: there is no such certificate" in refused.err
    assert "the CA is external" in refused.err
    assert _days_left(control_plane, CLIENT) == 10


def test_requests_are_left_for_an_external_ca(control_plane: Node) -> None:
    (control_plane.root / PKI / "ca.key").unlink()
    asked = _certs(control_plane, "renew", "--csr-dir", "/root/requests", "-o", "json").json["requests"]
    (one,) = asked
    assert one == {
        "name": CLIENT,
        "request": f"/root/requests/{CLIENT}.csr",
        "key": f"/root/requests/{CLIENT}.key",
    }
    assert (control_plane.root / "root/requests" / f"{CLIENT}.csr").exists()
    assert _days_left(control_plane, CLIENT) == 10


@pytest.mark.parametrize(
    "words",
    [
        ("--ca-cert", "/a"),
        ("--ca-key", "/a"),
        ("--days", "0"),
        ("--days", "-1"),
        ("--days", "many"),
        ("--all", CLIENT),
        ("--csr-dir", "relative"),
        ("--csr-dir", "/a/../b"),
    ],
)
def test_wrong_usage_is_told_apart_from_failure(control_plane: Node, words: tuple[str, ...]) -> None:
    refused = _certs(control_plane, "renew", *words)
    assert refused.code == 2
    assert "error: " in refused.err
