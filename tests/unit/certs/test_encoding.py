"""Any bytes at all are taken apart without a crash, and what people's editors do to PEM does not matter."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat
from hypothesis import given
from hypothesis import strategies as st

from nodeagent.certs.contents import contents
from nodeagent.certs.encoding import take_apart
from tests.unit.certs.authority import NOW, Pair, cluster_ca, issue, rsa_key

ONE, OTHER = issue("one", serial=1), issue("other", serial=2)
FRAGMENTS = (
    b"-----BEGIN CERTIFICATE-----\n",
    b"-----END CERTIFICATE-----\n",
    b"-----BEGIN PRIVATE KEY-----",
    b"MIIB\n",
)


def names(data: bytes) -> list[str]:
    return [each.common_name for each in contents(data).certificates]


@given(st.binary(max_size=400))
def test_takes_any_bytes(data: bytes) -> None:
    found = contents(data)
    assert not found.certificates
    assert not found.keys
    assert found.problems or found.empty or not take_apart(data).blocks


@given(st.lists(st.sampled_from([*FRAGMENTS, ONE.pem, ONE.key_pem]) | st.binary(max_size=20), max_size=8))
def test_takes_any_mixture(parts: list[bytes]) -> None:
    found = contents(b"\n".join(parts))
    assert len(found.certificates) <= sum(part == ONE.pem for part in parts)


@given(st.integers(0, len(ONE.pem)))
def test_half_a_certificate_is_none_and_says_so(length: int) -> None:
    found = contents(ONE.pem[:length])
    assert bool(found.certificates) == (length >= len(ONE.pem) - 1)
    assert found.certificates or found.problems or b"-----BEGIN CERTIFICATE-----" not in ONE.pem[:length]


@given(st.integers(0, len(ONE.der) - 1), st.integers(0, 255))
def test_a_changed_byte_is_no_crash(place: int, byte: int) -> None:
    contents(ONE.der[:place] + bytes([byte]) + ONE.der[place + 1 :])


@pytest.mark.parametrize(
    "data",
    [
        ONE.pem + OTHER.pem,
        b"\xef\xbb\xbf" + ONE.pem + OTHER.pem,
        (ONE.pem + OTHER.pem).replace(b"\n", b"\r\n"),
        b"subject=CN = one\nissuer=...\n" + ONE.pem + b"\n\nand then\n" + OTHER.pem + b"trailing garbage",
        ONE.key_pem + ONE.pem + OTHER.pem,
        ONE.pem.strip() + OTHER.pem,
        b"-----END CERTIFICATE-----\n" + ONE.pem + OTHER.pem,
    ],
    ids=["plain", "byte order mark", "CRLF", "text around", "combined with key", "no line break", "stray end"],
)
def test_finds_all_certificates_in_order(data: bytes) -> None:
    assert names(data) == ["one", "other"]
    assert not contents(data).problems


def test_reads_plain_der() -> None:
    assert names(ONE.der) == ["one"]
    key = ONE.key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    assert contents(key).keys[0].public_key == ONE.facts.public_key


@pytest.mark.parametrize("form", [PrivateFormat.TraditionalOpenSSL, PrivateFormat.PKCS8])
@pytest.mark.parametrize("pair", [ONE, issue("rsa", key=rsa_key())], ids=["ECDSA", "RSA"])
def test_reads_keys_of_every_form(form: PrivateFormat, pair: Pair) -> None:
    (key,) = contents(pair.key.private_bytes(Encoding.PEM, form, NoEncryption())).keys
    assert (key.public_key, key.type) == (pair.facts.public_key, pair.facts.key_type)


@pytest.mark.parametrize("form", [PrivateFormat.TraditionalOpenSSL, PrivateFormat.PKCS8])
def test_tells_an_encrypted_key_without_opening_it(form: PrivateFormat) -> None:
    (key,) = contents(ONE.key.private_bytes(Encoding.PEM, form, BestAvailableEncryption(b"secret"))).keys
    assert key.encrypted
    assert not key.public_key


def test_curve_parameters_beside_a_key_mean_nothing() -> None:
    parameters = b"-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"
    found = contents(parameters + ONE.key_pem)
    assert (len(found.keys), found.labels, found.problems) == (1, ("EC PARAMETERS",), ())


@pytest.mark.parametrize("data", [b"", b" \n\r\n"])
def test_tells_an_empty_file(data: bytes) -> None:
    assert contents(data).empty


def test_shows_nothing_of_a_key() -> None:
    body = b"".join(ONE.key_pem.splitlines()[1:-1])
    broken = ONE.key_pem.replace(body[:8], b"AAAAAAAA")
    shown = repr(contents(broken)) + repr(take_apart(broken)) + repr(contents(ONE.key_pem))
    assert body[8:40].decode() not in shown
    assert contents(broken).problems == ("object 1 is no private key that can be read",)


@pytest.mark.parametrize("serial", [b"\x00", b"\x85"], ids=["zero", "negative"])
def test_reads_serials_that_are_forbidden(serial: bytes) -> None:
    """Old kubeadm CAs have serial 0. What a release of cryptography does with them is what the bound is for."""
    der = issue("old", ca=True, serial=0x55).der
    found = contents(der.replace(b"\xa0\x03\x02\x01\x02\x02\x01\x55", b"\xa0\x03\x02\x01\x02\x02\x01" + serial, 1))
    assert [each.serial for each in found.certificates] == [int.from_bytes(serial, signed=True)]


def test_tells_names_and_usages() -> None:
    sans = ("DNS:a.test", "IP:192.0.2.1", "IP:2001:db8::1", "URI:spiffe://a/b", "email:a@b.test")
    found = issue("leaf", cluster_ca(), organization="o", sans=sans, usages=("serverAuth", "clientAuth")).facts
    assert (found.sans, found.usages, found.organizations) == (sans, ("serverAuth", "clientAuth"), ("o",))
    assert (found.subject, found.issuer, found.is_ca) == ("CN=leaf,O=o", "CN=kubernetes", False)
    assert found.not_before < NOW < found.not_after
