"""Makes certificates that take the place of others. With `x509` one of the two modules that import `cryptography`.

Invariant: what is issued serves whoever the template served: same subject, usages and all alternative names (URIs and
email addresses too), a new key of the same type and size, and an end that is never after its CA's. Keys live in the
values that are returned, and nowhere else.
"""

from __future__ import annotations

import datetime
import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass, field

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.extensions import ExtensionType

_BACKDATED = datetime.timedelta(minutes=5)  # kubeadm's own allowance for clocks that differ
_EXPONENT = 65537
_PKCS8 = b"-----BEGIN PRIVATE KEY-----"

SigningKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey
_NOT_COPIED = (x509.AuthorityKeyIdentifier, x509.SubjectKeyIdentifier)  # they follow from the keys


@dataclass(frozen=True)
class Issued:
    """A certificate and its private key, PEM."""

    certificate: bytes
    key: bytes = field(repr=False)


@dataclass(frozen=True)
class Authority:
    """A CA that can sign: its certificate (DER) and its private key (PEM, without a passphrase)."""

    certificate: bytes
    key: bytes = field(repr=False)


def issue(
    template: bytes,
    template_key: bytes,
    authority: Authority | None,
    begins: datetime.datetime,
    ends: datetime.datetime,
) -> Issued:
    """A certificate like the DER `template`, valid until `ends` or its CA's end, whichever is first.

    Without an `authority` it signs itself, as that of a kubelet does. `template_key` is the PEM of the old key: only
    its form counts (PKCS#8, or the traditional one). ValueError where the key's type is not supported, or the CA's key
    is not the CA's.
    """
    old = x509.load_der_x509_certificate(template)
    key = _like(old)
    builder = (
        x509.CertificateBuilder()
        .subject_name(old.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
    )
    for extension in old.extensions:
        if not isinstance(extension.value, _NOT_COPIED):
            builder = builder.add_extension(extension.value, extension.critical)
    begins -= _BACKDATED
    if authority is None:
        builder = builder.issuer_name(old.subject).not_valid_before(begins).not_valid_after(ends)
        made = builder.sign(key, _digest(key))
    else:
        made = _signed(builder, authority, begins, ends)
    return Issued(made.public_bytes(Encoding.PEM), _pem(key, pkcs8=_PKCS8 in template_key))


def _signed(
    builder: x509.CertificateBuilder, authority: Authority, begins: datetime.datetime, ends: datetime.datetime
) -> x509.Certificate:
    signer = x509.load_der_x509_certificate(authority.certificate)
    signing = _signing_key(authority, signer)
    return (
        builder.issuer_name(signer.subject)
        .not_valid_before(max(begins, signer.not_valid_before_utc))
        .not_valid_after(min(ends, signer.not_valid_after_utc))
        .add_extension(_authority_key_identifier(signer, signing), critical=False)
        .sign(signing, _digest(signing))
    )


def request(template: bytes, template_key: bytes) -> Issued:
    """A certificate signing request (RFC 2986) for what the DER `template` is, with a new key of the same type."""
    old = x509.load_der_x509_certificate(template)
    key = _like(old)
    builder = x509.CertificateSigningRequestBuilder().subject_name(old.subject)
    for extension in old.extensions:
        if isinstance(extension.value, (x509.SubjectAlternativeName, x509.KeyUsage, x509.ExtendedKeyUsage)):
            builder = builder.add_extension(extension.value, extension.critical)
    made = builder.sign(key, _digest(key))
    return Issued(made.public_bytes(Encoding.PEM), _pem(key, pkcs8=_PKCS8 in template_key))


def serving_request(user: str, organization: str, names: Iterable[str]) -> Issued:
    """A request and its new key (P-256) for a server called `names` ("DNS:…", "IP:…"), as a kubelet asks for one."""
    key = ec.generate_private_key(ec.SECP256R1())
    parts = ((x509.NameOID.ORGANIZATION_NAME, organization), (x509.NameOID.COMMON_NAME, user))
    alternatives = x509.SubjectAlternativeName([_alternative(name) for name in names])
    made = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([x509.NameAttribute(kind, value) for kind, value in parts]))
        .add_extension(alternatives, critical=False)
        .sign(key, hashes.SHA256())
    )
    return Issued(made.public_bytes(Encoding.PEM), _pem(key, pkcs8=False))


def _alternative(name: str) -> x509.GeneralName:
    kind, _, value = name.partition(":")
    return x509.IPAddress(ipaddress.ip_address(value)) if kind == "IP" else x509.DNSName(value)


def _signing_key(authority: Authority, certificate: x509.Certificate) -> SigningKey:
    try:
        key = load_pem_private_key(authority.key, None)
    except (ValueError, TypeError):
        raise ValueError("the CA's key cannot be read; it may be encrypted") from None
    if not isinstance(key, SigningKey):
        raise ValueError("the CA's key is of a type that is not supported")  # noqa: TRY004 - it came from a file
    if key.public_key() != certificate.public_key():
        raise ValueError("the CA's key does not belong to the CA's certificate")
    return key


def _like(certificate: x509.Certificate) -> SigningKey:
    """A new key of the type and size of the certificate's."""
    match certificate.public_key():
        case rsa.RSAPublicKey() as public:
            return rsa.generate_private_key(_EXPONENT, max(2048, public.key_size))
        case ec.EllipticCurvePublicKey() as public:
            return ec.generate_private_key(public.curve)
        case ed25519.Ed25519PublicKey():
            return ed25519.Ed25519PrivateKey.generate()
        case _:
            raise ValueError("its key is of a type that is not supported")


def _authority_key_identifier(signer: x509.Certificate, key: SigningKey) -> ExtensionType:
    try:
        known = signer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
    except x509.ExtensionNotFound:
        return x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key())
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(known.value)


def _digest(key: SigningKey) -> hashes.SHA256 | hashes.SHA384 | hashes.SHA512 | None:
    """The hash that goes with the strength of a key; Edwards curves have their own."""
    match key:
        case ec.EllipticCurvePrivateKey() if key.key_size > 384:
            return hashes.SHA512()
        case ec.EllipticCurvePrivateKey() if key.key_size > 256:
            return hashes.SHA384()
        case rsa.RSAPrivateKey() | ec.EllipticCurvePrivateKey():
            return hashes.SHA256()
        case _:
            return None


def _pem(key: SigningKey, *, pkcs8: bool) -> bytes:
    traditional = isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) and not pkcs8
    form = PrivateFormat.TraditionalOpenSSL if traditional else PrivateFormat.PKCS8
    return key.private_bytes(Encoding.PEM, form, NoEncryption())
