"""The facts of a request for a certificate (PKCS#10, RFC 2986). Imported by need, for it loads `cryptography`.

Invariant: what Go reads differently from us, or leaves out, is unreadable here: one PEM block and nothing else, one set
of extensions, and none twice.
"""

from __future__ import annotations

import re
from typing import Final

from cryptography import x509

from nodeagent.certs.x509 import FAILURES, alternatives, is_ca, key_type, name_parts, usages
from nodeagent.observed.certificates import Asked

_BLOCK: Final = re.compile(
    rb"\s*-----BEGIN CERTIFICATE REQUEST-----\r?\n[A-Za-z0-9+/=\r\n]+-----END CERTIFICATE REQUEST-----\s*"
)
_EXTENSION_REQUEST: Final = "1.2.840.113549.1.9.14"  # PKCS#9, RFC 2985 section 5.4.2
_READ: Final = (x509.SubjectAlternativeName, x509.BasicConstraints, x509.KeyUsage, x509.ExtendedKeyUsage)


def asked(pem: bytes) -> Asked:
    """What the request in `pem` asks for; ValueError with a sentence for people if it is none that can be read."""
    if not _BLOCK.fullmatch(pem):
        raise ValueError("is not one PEM block CERTIFICATE REQUEST")
    try:
        return _asked(x509.load_pem_x509_csr(pem))
    except FAILURES as error:
        raise ValueError("is no certificate request that can be read") from error


def _asked(found: x509.CertificateSigningRequest) -> Asked:
    attributes = [each.oid.dotted_string for each in found.attributes]
    if len(attributes) != attributes.count(_EXTENSION_REQUEST) or len(attributes) > 1:
        raise ValueError("more attributes than one set of extensions")
    return Asked(
        subject=name_parts(found.subject),
        sans=tuple(alternatives(found)),
        usages=usages(found),
        is_ca=is_ca(found),
        others=tuple(each.oid.dotted_string for each in found.extensions if not isinstance(each.value, _READ)),
        key_type=key_type(found.public_key()),
        genuine=found.is_signature_valid,
    )
