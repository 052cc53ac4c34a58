"""The facts of certificates and keys. It and pkcs10.py alone import `cryptography`, and are imported by need.

Invariant: what cannot be read raises ValueError with a sentence for people, whatever the bytes. A private key lives
only while its public half is taken from it; nothing that leaves this module holds one.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterator
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes, PublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_private_key
from cryptography.utils import CryptographyDeprecationWarning
from cryptography.x509.oid import ExtendedKeyUsageOID

from nodeagent.certs.facts import Certificate, Key

FAILURES: Final = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    OverflowError,
)
_USAGES = {
    ExtendedKeyUsageOID.SERVER_AUTH: "serverAuth",
    ExtendedKeyUsageOID.CLIENT_AUTH: "clientAuth",
    ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE: "any",
}
Document = x509.Certificate | x509.CertificateSigningRequest

_CURVES = {"secp256r1": "ECDSA-P256", "secp384r1": "ECDSA-P384", "secp521r1": "ECDSA-P521"}


def certificate(der: bytes) -> Certificate:
    """The facts of one certificate (RFC 5280); ValueError if it is none."""
    _keep_quiet()
    try:
        return _facts(x509.load_der_x509_certificate(der), der)
    except FAILURES as error:
        raise ValueError("is no certificate that can be read") from error


def _keep_quiet() -> None:
    """Old kubeadm CAs have serial 0: reported as a finding, not as a warning each time that one is read."""
    warnings.filterwarnings("ignore", "Parsed a serial number", CryptographyDeprecationWarning)


def _facts(found: x509.Certificate, der: bytes) -> Certificate:
    public = found.public_key()
    return Certificate(
        subject=found.subject.rfc4514_string(),
        issuer=found.issuer.rfc4514_string(),
        common_name=_attribute(found.subject, x509.NameOID.COMMON_NAME),
        organizations=tuple(
            str(each.value) for each in found.subject.get_attributes_for_oid(x509.NameOID.ORGANIZATION_NAME)
        ),
        issuer_name=_attribute(found.issuer, x509.NameOID.COMMON_NAME),
        serial=found.serial_number,
        not_before=found.not_valid_before_utc,
        not_after=found.not_valid_after_utc,
        sans=tuple(alternatives(found)),
        usages=usages(found),
        is_ca=is_ca(found),
        key_type=key_type(public),
        signature=_signature(found),
        public_key=_digest(public),
        fingerprint=hashlib.sha256(der).hexdigest(),
        self_issued=found.subject == found.issuer,
        subject_parts=name_parts(found.subject),
        issuer_parts=name_parts(found.issuer),
        der=der,
    )


def name_parts(name: x509.Name) -> tuple[tuple[str, str], ...]:
    """Attribute and value of each part in the name's own order, as ("CN", "admin")."""
    return tuple((each.rfc4514_attribute_name, str(each.value)) for each in name)


def _attribute(name: x509.Name, oid: x509.ObjectIdentifier) -> str:
    found = name.get_attributes_for_oid(oid)
    return str(found[0].value) if found else ""


def alternatives(found: Document) -> Iterator[str]:
    """Alternative names in the document's order: "DNS:…", "IP:…", "URI:…", "email:…", "other:…"."""
    try:
        extension = found.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return
    for name in extension.value:
        match name:
            case x509.DNSName():
                yield f"DNS:{name.value}"
            case x509.IPAddress():
                yield f"IP:{name.value}"
            case x509.UniformResourceIdentifier():
                yield f"URI:{name.value}"
            case x509.RFC822Name():
                yield f"email:{name.value}"
            case _:
                yield f"other:{type(name).__name__}"


def usages(found: Document) -> tuple[str, ...]:
    """The extended key usages; what has no name here by its object identifier."""
    try:
        extension = found.extensions.get_extension_for_class(x509.ExtendedKeyUsage)
    except x509.ExtensionNotFound:
        return ()
    return tuple(_USAGES.get(usage, usage.dotted_string) for usage in extension.value)


def is_ca(found: Document) -> bool:
    """Whether the basic constraints say that it may sign others."""
    try:
        return bool(found.extensions.get_extension_for_class(x509.BasicConstraints).value.ca)
    except x509.ExtensionNotFound:
        return False


def _signature(found: x509.Certificate) -> str:
    algorithm = found.signature_hash_algorithm
    return algorithm.name if algorithm is not None else ""


def key_type(public: object) -> str:
    """RSA-2048, ECDSA-P256, Ed25519, …; "unknown" for what has no name here."""
    match public:
        case rsa.RSAPublicKey():
            return f"RSA-{public.key_size}"
        case ec.EllipticCurvePublicKey():
            return _CURVES.get(public.curve.name, f"ECDSA-{public.curve.name}")
        case ed25519.Ed25519PublicKey():
            return "Ed25519"
        case ed448.Ed448PublicKey():
            return "Ed448"
        case dsa.DSAPublicKey():
            return f"DSA-{public.key_size}"
        case _:
            return "unknown"


def _digest(public: CertificatePublicKeyTypes | PublicKeyTypes) -> str:
    return hashlib.sha256(public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()


def key(der: bytes) -> Key:
    """The public half of a private key (PKCS#1, PKCS#8, SEC 1), nothing of an encrypted one; ValueError if it is none.

    Nothing is computed with the private half, so its primes are not tested: that takes 35 ms for each RSA-2048 key.
    """
    try:
        public = load_der_private_key(der, None, unsafe_skip_rsa_key_validation=True).public_key()
    except TypeError:  # it takes a password
        return Key(encrypted=True)
    except FAILURES:  # no cause: it may quote what it was given
        raise ValueError("is no private key that can be read") from None
    return Key(_digest(public), key_type(public))


def signed_by(leaf: Certificate, authority: Certificate) -> bool:
    """Whether `authority` is named as the issuer of `leaf` and its key made the signature (RFC 5280, section 6.1.3)."""
    _keep_quiet()
    try:
        issuer = x509.load_der_x509_certificate(authority.der)
        x509.load_der_x509_certificate(leaf.der).verify_directly_issued_by(issuer)
    except (*FAILURES, InvalidSignature):
        return False
    return True
