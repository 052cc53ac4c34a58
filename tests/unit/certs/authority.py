"""Certificates of any kind for tests: every date, name and serial as the test says."""

from __future__ import annotations

import base64
import datetime
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import TypeAlias

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from nodeagent.certs.contents import contents
from nodeagent.certs.facts import Certificate

NOW = datetime.datetime(2026, 7, 1, 12, tzinfo=datetime.UTC)
DAY = datetime.timedelta(days=1)
_USAGES = {"serverAuth": ExtendedKeyUsageOID.SERVER_AUTH, "clientAuth": ExtendedKeyUsageOID.CLIENT_AUTH}

PrivateKey: TypeAlias = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


@dataclass(frozen=True)
class Pair:
    """A certificate with its key."""

    certificate: x509.Certificate
    key: PrivateKey

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(Encoding.PEM)

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(Encoding.DER)

    @property
    def key_pem(self) -> bytes:
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())

    @property
    def facts(self) -> Certificate:
        return contents(self.pem).certificates[0]


def issue(
    name: str,
    issuer: Pair | None = None,
    *,
    organization: str = "",
    sans: Sequence[str] = (),
    usages: Sequence[str] = (),
    begins: datetime.datetime = NOW - 65 * DAY,
    ends: datetime.datetime = NOW + 300 * DAY,
    ca: bool = False,
    serial: int = 4711,
    key: PrivateKey | None = None,
) -> Pair:
    """A new certificate; signed by itself without an `issuer`. A SAN is "DNS:…", "IP:…", "URI:…" or "email:…"."""
    key = key or ec.generate_private_key(ec.SECP256R1())
    subject = _name(name, organization)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(serial)
        .not_valid_before(begins)
        .not_valid_after(ends)
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
    )
    if sans:
        builder = builder.add_extension(_alternatives(sans), critical=False)
    if usages:
        builder = builder.add_extension(x509.ExtendedKeyUsage([_USAGES[each] for each in usages]), critical=False)
    return Pair(builder.sign(issuer.key if issuer else key, hashes.SHA256()), key)


def _name(common_name: str, organization: str) -> x509.Name:
    organizations = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization)] if organization else []
    return x509.Name([*organizations, x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _alternatives(texts: Sequence[str]) -> x509.SubjectAlternativeName:
    return x509.SubjectAlternativeName([_alternative(each) for each in texts])


def _alternative(text: str) -> x509.GeneralName:
    kind, _, value = text.partition(":")
    match kind:
        case "DNS":
            return x509.DNSName(value)
        case "IP":
            return x509.IPAddress(ipaddress.ip_address(value))
        case "URI":
            return x509.UniformResourceIdentifier(value)
        case _:
            return x509.RFC822Name(value)


@cache
def cluster_ca() -> Pair:
    """A CA as kubeadm makes it: ten years, a month old."""
    return issue("kubernetes", ca=True, begins=NOW - 400 * DAY, ends=NOW + 3250 * DAY, serial=1)


@cache
def rsa_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


def kubeconfig(pair: Pair, authority: Pair, user: str = "somebody") -> bytes:
    """A kubeconfig with everything embedded."""
    ca, certificate, key = (base64.b64encode(each).decode() for each in (authority.pem, pair.pem, pair.key_pem))
    return f"""\
apiVersion: v1
kind: Config
clusters:
- name: kubernetes
  cluster:
    server: https://192.0.2.11:6443
    certificate-authority-data: {ca}
users:
- name: {user}
  user:
    client-certificate-data: {certificate}
    client-key-data: {key}
""".encode()
