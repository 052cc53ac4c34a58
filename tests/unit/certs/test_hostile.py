"""Whatever stands where a certificate should is an entry with a finding, never a crash, and never a wait."""

from __future__ import annotations

import datetime
import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat

from nodeagent.agent.certificates import read_yaml
from nodeagent.certs.library import Library
from nodeagent.host.pki import PkiReader
from tests.unit.certs.authority import NOW, cluster_ca, issue, kubeconfig
from tests.unit.certs.scratch import Scratch

ONE = issue("one", cluster_ca())
PATH = "/etc/extra/one.crt"
Key = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey


@pytest.fixture
def extra(node: Scratch) -> Scratch:
    node.extra = ("/etc/extra/*",)
    (node.root / "etc/extra").mkdir(parents=True)
    return node


def _patched(old: bytes, new: bytes, name: str = "abcdefgh") -> bytes:
    """A certificate of which some bytes are others; its signature does not matter."""
    der = issue(name, sans=(f"DNS:{name}", "IP:192.0.2.1"), serial=0x55).der
    assert old in der
    return der.replace(old, new)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"\0" * 100_000, "no-certificate"),
        (b"\x30\x80" * 50_000, "garbage"),
        (b"\x30", "garbage"),
        (b"-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n", "garbage"),
        (b"-----BEGIN CERTIFICATE-----\n" + ONE.pem, "garbage"),
        (ONE.der + ONE.der, "garbage"),
        (ONE.pem.decode().encode("utf-16"), "no-certificate"),
        (ONE.pem.replace(b"CERTIFICATE", b"TRUSTED CERTIFICATE"), "no-certificate"),
        (ONE.pem + b"#" * (4 << 20), "unreadable"),
        (_patched(b"\x17\x0d26", b"\x17\x0d99"), ""),  # a year that UTCTime takes for 1999
        (_patched(b"Z\x17\x0d", b"!\x17\x0d"), "garbage"),
        (_patched(b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01\x07"), "garbage"),  # version 8
        (_patched(b"abcdefgh", b"\xff\xfe\xfd\xfc\xfb\xfa\xf9\xf8"), "garbage"),
        (_patched(b"\x87\x04\xc0\x00\x02\x01", b"\x86\x04\xc0\x00\x02\x01"), "garbage"),
    ],
    ids=[
        *("NULs", "endless depth", "one byte", "empty sequence", "begun twice", "two in DER", "UTF-16"),
        *("OpenSSL's own", "too large", "other year", "no date", "no version", "no UTF-8", "no URI"),
    ],
)
def test_what_cannot_be_read_is_told_and_nothing_else(extra: Scratch, data: bytes, code: str) -> None:
    extra.write(PATH, data, 0o644)
    assert [entry.path for entry in extra.inventory().entries] == [PATH]
    assert set(extra.codes()) == ({code} if code else set())


def _bound(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as one:
        here = os.getcwd()
        os.chdir(path.parent)  # a socket's name is short
        try:
            one.bind(path.name)
        finally:
            os.chdir(here)


@pytest.mark.parametrize(
    ("make", "code"),
    [
        (Path.mkdir, "unreadable"),
        (os.mkfifo, "unreadable"),
        (_bound, "unreadable"),
        (lambda path: path.symlink_to(path.name), "unreadable"),
        (lambda path: path.symlink_to("/nowhere"), "link-broken"),
        (lambda path: path.symlink_to("../" * 20 + "etc/passwd"), "link-broken"),
    ],
    ids=["directory", "FIFO", "socket", "link to itself", "dangling link", "link out of the root"],
)
def test_what_is_no_file_is_told_and_not_waited_for(extra: Scratch, make: Callable[[Path], None], code: str) -> None:
    make(extra.root / PATH[1:])
    (entry,) = extra.inventory().entries
    assert [str(each.code) for each in entry.findings] == [code]


@pytest.mark.parametrize(
    ("begins", "ends", "code"),
    [
        ((1950, 1, 1), (1951, 1, 1), "expired"),
        ((1970, 1, 1), (1970, 1, 1), "expired"),
        ((2026, 1, 1), (2049, 12, 31), ""),
        ((2026, 1, 1), (2050, 1, 1), ""),
        ((1950, 1, 1), (9999, 12, 31), ""),
        ((9998, 12, 31), (9999, 12, 31), "not-yet-valid"),
    ],
)
def test_any_date_can_be_told(
    extra: Scratch, begins: tuple[int, int, int], ends: tuple[int, int, int], code: str
) -> None:
    first, last = (datetime.datetime(*day, tzinfo=datetime.UTC) for day in (begins, ends))
    extra.write(PATH, issue("one", begins=first, ends=last).pem, 0o644)
    (entry,) = extra.inventory().entries
    assert {str(each.code) for each in entry.findings} == ({code} if code else set())
    assert entry.facts()["notAfter"] == f"{last:%Y-%m-%dT%H:%M:%SZ}"


def _nameless(key: Key) -> bytes:
    """A certificate without subject, common name and alternative names, of a key of any type."""
    builder = x509.CertificateBuilder().subject_name(x509.Name([])).issuer_name(x509.Name([])).serial_number(1)
    builder = builder.public_key(key.public_key()).not_valid_before(NOW).not_valid_after(NOW.replace(year=2029))
    made = builder.sign(key, hashes.SHA256() if isinstance(key, ec.EllipticCurvePrivateKey) else None)
    return made.public_bytes(Encoding.PEM)


@pytest.mark.parametrize(
    ("key", "key_type"),
    [
        (ed25519.Ed25519PrivateKey.generate(), "Ed25519"),
        (ed448.Ed448PrivateKey.generate(), "Ed448"),
        (ec.generate_private_key(ec.SECP521R1()), "ECDSA-P521"),
        (ec.generate_private_key(ec.SECP256K1()), "ECDSA-secp256k1"),
    ],
    ids=["Ed25519", "Ed448", "P-521", "secp256k1"],
)
def test_keys_of_any_type_are_held_against_a_certificate_without_a_name(
    extra: Scratch, key: Key, key_type: str
) -> None:
    extra.write(PATH, _nameless(key), 0o644)
    extra.write("/etc/extra/one.key", key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()))
    facts = extra.entry(PATH).facts()
    assert (facts["key_type"], facts["key_match"], facts["subject"], facts["sans"]) == (key_type, True, "", [])


def test_an_encrypted_key_in_der_is_told_as_one(extra: Scratch) -> None:
    extra.write(PATH, ONE.pem, 0o644)
    sealed = ONE.key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret"))
    extra.write("/etc/extra/one.key", sealed)
    assert extra.codes() == {"key-encrypted": "critical"}


def test_a_certificate_and_its_key_that_others_get_at_are_both_told(extra: Scratch) -> None:
    extra.write(PATH, ONE.pem, 0o666)
    extra.write("/etc/extra/one.key", ONE.key_pem, 0o644)
    assert extra.codes() == {"file-permissions": "high", "key-permissions": "critical"}


@pytest.mark.parametrize(
    "damaged",
    [
        b"client-key-data: !!",
        b"client-key-data: !",
        b"client-key-data: *",
        b"client-key-data: [",
        b"client-key-data: \xff",
        b"client-key-data: ?",
    ],
)
def test_nothing_of_a_key_is_quoted_from_a_damaged_kubeconfig(extra: Scratch, damaged: bytes) -> None:
    data = kubeconfig(ONE, cluster_ca())
    extra.library = Library(PkiReader(extra.tree), read_yaml)
    extra.write("/etc/extra/a.conf", data.replace(b"client-key-data: ", damaged))
    told = "".join(str(each) for each in extra.inventory().findings)
    secret = data.split(b"client-key-data: ")[1].split()[0].decode()
    assert secret[40:60] not in told
    assert told or damaged.endswith(b"?")
