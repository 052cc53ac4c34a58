"""A certificate takes the place of another only if nobody who relied on that one loses anything."""

from __future__ import annotations

import pytest

from nodeagent.certs import x509
from nodeagent.certs.contents import contents
from nodeagent.certs.staged import Verdict, compare
from tests.unit.certs.authority import DAY, NOW, Pair, cluster_ca, issue, rsa_key

SANS = ("DNS:a.test", "IP:192.0.2.1", "URI:spiffe://a", "email:a@b.test")
CURRENT = issue("server", cluster_ca(), sans=SANS, usages=("serverAuth", "clientAuth"))


def verdict(candidate: Pair, key: bytes = b"") -> Verdict:
    staged, keys = contents(candidate.pem), contents(key or candidate.key_pem)
    return compare(CURRENT.facts, staged, keys, [cluster_ca().facts], x509.signed_by, NOW)


def renewed(**changes: object) -> Pair:
    said: dict[str, object] = {"sans": SANS, "usages": ("serverAuth", "clientAuth"), **changes}
    return issue(str(said.pop("name", "server")), said.pop("issuer", cluster_ca()), **said)  # type: ignore[arg-type]


def test_a_renewal_is_accepted() -> None:
    assert verdict(renewed(sans=SANS[::-1])) == Verdict(())


def test_more_names_are_accepted() -> None:
    assert verdict(renewed(sans=(*SANS, "DNS:more.test"))) == Verdict((), ("DNS:more.test",))


@pytest.mark.parametrize(
    ("candidate", "word"),
    [
        (renewed(sans=SANS[:2]), "lacks the names URI:spiffe://a, email:a@b.test"),
        (renewed(usages=("serverAuth",)), "extended key usage"),
        (renewed(key=rsa_key()), "RSA-2048, not ECDSA-P256"),
        (renewed(name="other"), "CN=other, not CN=server"),
        (renewed(issuer=issue("kubernetes", ca=True)), "no CA by which it is checked"),
        (renewed(begins=NOW + DAY), "not valid now"),
        (renewed(ca=True), "may sign others"),
    ],
)
def test_what_serves_less_is_refused(candidate: Pair, word: str) -> None:
    (problem,) = verdict(candidate).problems
    assert word in problem


def test_the_key_must_be_its_own() -> None:
    assert verdict(renewed(), CURRENT.key_pem).problems == ("its key is not the staged one",)


def test_a_ca_that_has_ended_signs_nothing() -> None:
    old = issue("kubernetes", ca=True, ends=NOW - DAY)
    staged = renewed(issuer=old)
    found = compare(CURRENT.facts, contents(staged.pem), contents(staged.key_pem), [old.facts], x509.signed_by, NOW)
    assert found.problems == ("a CA above it is not valid now",)


def test_an_empty_file_is_refused() -> None:
    assert not compare(CURRENT.facts, contents(b""), contents(b""), [], x509.signed_by, NOW).accepted
