"""What is issued takes the place of what was there: same names and usages, same type of key, never beyond its CA."""

from __future__ import annotations

import datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from nodeagent.certs.contents import contents
from nodeagent.certs.issue import Authority, issue, request
from nodeagent.certs.staged import compare
from nodeagent.certs.x509 import signed_by
from tests.unit.certs import authority as made
from tests.unit.certs.authority import DAY, NOW, Pair, cluster_ca

SANS = ["DNS:cp1", "IP:192.0.2.1", "IP:2001:db8::1", "URI:spiffe://cluster/cp1", "email:root@example.test"]


def _authority(pair: Pair | None = None) -> Authority:
    pair = pair or cluster_ca()
    return Authority(pair.der, pair.key_pem)


def _leaf(key: made.PrivateKey | None = None) -> Pair:
    return made.issue("kube-apiserver", cluster_ca(), sans=SANS, usages=["serverAuth", "clientAuth"], key=key)


@pytest.mark.parametrize(
    "key",
    [
        rsa.generate_private_key(65537, 2048),
        rsa.generate_private_key(65537, 3072),
        ec.generate_private_key(ec.SECP256R1()),
        ec.generate_private_key(ec.SECP384R1()),
    ],
    ids=["rsa-2048", "rsa-3072", "p-256", "p-384"],
)
def test_it_serves_whom_the_old_one_served(key: made.PrivateKey) -> None:
    old = _leaf(key)
    new = issue(old.der, old.key_pem, _authority(), NOW, NOW + 365 * DAY)
    verdict = compare(old.facts, contents(new.certificate), contents(new.key), [cluster_ca().facts], signed_by, NOW)
    assert verdict.problems == ()
    assert (verdict.added, verdict.lost) == ((), ())
    (found,) = contents(new.certificate).certificates
    assert found.public_key != old.facts.public_key, "always a new key"
    assert found.serial != old.facts.serial
    assert new.key.splitlines()[0] == old.key_pem.splitlines()[0], "the key keeps its form"


def test_the_end_is_never_after_the_authoritys() -> None:
    old = _leaf()
    end = cluster_ca().facts.not_after
    (found,) = contents(issue(old.der, b"", _authority(), NOW, end + DAY).certificate).certificates
    assert found.not_after == end
    assert found.not_before == NOW - datetime.timedelta(minutes=5)


def test_pkcs8_stays_pkcs8() -> None:
    old = _leaf()
    form = serialization.PrivateFormat.PKCS8
    pkcs8 = old.key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
    new = issue(old.der, pkcs8, _authority(), NOW, NOW + DAY)
    assert new.key.startswith(b"-----BEGIN PRIVATE KEY-----")


def test_a_key_of_another_authority_is_refused() -> None:
    stranger = made.issue("kubernetes", ca=True)
    with pytest.raises(ValueError, match="does not belong"):
        issue(_leaf().der, b"", Authority(cluster_ca().der, stranger.key_pem), NOW, NOW + DAY)


@pytest.mark.parametrize("key", [b"", b"garbage", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"])
def test_a_key_that_cannot_be_read_is_refused(key: bytes) -> None:
    with pytest.raises(ValueError, match="cannot be read"):
        issue(_leaf().der, b"", Authority(cluster_ca().der, key), NOW, NOW + DAY)


def test_an_encrypted_key_is_refused_without_a_passphrase() -> None:
    form = serialization.PrivateFormat.PKCS8
    locked = cluster_ca().key.private_bytes(
        serialization.Encoding.PEM, form, serialization.BestAvailableEncryption(b"secret")
    )
    with pytest.raises(ValueError, match="may be encrypted"):
        issue(_leaf().der, b"", Authority(cluster_ca().der, locked), NOW, NOW + DAY)


def test_one_that_signed_itself_does_so_again() -> None:
    old = made.issue("cp1@1751371200", sans=["DNS:cp1"], usages=["serverAuth"])
    (found,) = contents(issue(old.der, old.key_pem, None, NOW, NOW + 365 * DAY).certificate).certificates
    assert found.self_issued
    assert signed_by(found, found)
    assert (found.subject, found.sans) == (old.facts.subject, old.facts.sans)


def test_a_request_asks_for_what_there_was() -> None:
    old = _leaf()
    made_request = request(old.der, old.key_pem)
    asked = x509.load_pem_x509_csr(made_request.certificate)
    assert asked.is_signature_valid
    assert asked.subject.rfc4514_string() == old.facts.subject
    names = asked.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert len(names) == len(SANS)


def test_no_key_shows_in_a_repr() -> None:
    old = _leaf()
    issued = issue(old.der, old.key_pem, _authority(), NOW, NOW + DAY)
    assert "PRIVATE" not in repr(issued)
    assert "PRIVATE" not in repr(_authority())
