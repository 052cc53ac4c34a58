"""Requests for serving certificates as kubelets make them, and as they should not."""

from __future__ import annotations

import base64
import datetime
import ipaddress
from collections.abc import Sequence
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from nodeagent.certs.catalog import SERVING_SIGNER
from nodeagent.certs.signing import SigningRequest
from tests.unit.certs.authority import NOW

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey | dsa.DSAPrivateKey
NODE, USER = "worker-1", "system:node:worker-1"
SANS = ("DNS:worker-1", "IP:192.0.2.21")
USAGES = ("digital signature", "server auth")
SUBJECT = (("O", "system:nodes"), ("CN", USER))
KEY = ec.generate_private_key(ec.SECP256R1())
_ATTRIBUTES = {"CN": NameOID.COMMON_NAME, "O": NameOID.ORGANIZATION_NAME, "OU": NameOID.ORGANIZATIONAL_UNIT_NAME}


def pem(
    subject: Sequence[tuple[str, str]] = SUBJECT,
    sans: Sequence[str] = SANS,
    key: PrivateKey = KEY,
    extensions: Sequence[x509.ExtensionType] = (),
) -> bytes:
    """A PKCS#10 request."""
    name = x509.Name([x509.NameAttribute(_ATTRIBUTES[kind], value) for kind, value in subject])
    builder = x509.CertificateSigningRequestBuilder().subject_name(name)
    alternatives = [x509.SubjectAlternativeName(list(map(_alternative, sans)))] if sans else []
    for extension in (*alternatives, *extensions):
        builder = builder.add_extension(extension, critical=False)
    signed = builder.sign(key, None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256())
    return signed.public_bytes(Encoding.PEM)


def _alternative(name: str) -> x509.GeneralName:
    kind, _, value = name.partition(":")
    match kind:
        case "DNS":
            return x509.DNSName(value)
        case "IP":
            return x509.IPAddress(ipaddress.ip_network(value) if "/" in value else ipaddress.ip_address(value))
        case "URI":
            return x509.UniformResourceIdentifier(value)
        case _:
            return x509.RFC822Name(value)


def spec(request: bytes | None = None, **more: Any) -> dict[str, Any]:
    """The spec of a CertificateSigningRequest, without what the API server writes."""
    encoded = base64.b64encode(pem() if request is None else request).decode()
    return {"signerName": SERVING_SIGNER, "usages": list(USAGES), "request": encoded, **more}


def document(request: bytes | None = None, name: str = "csr-1", age: float = 60.0, **more: Any) -> dict[str, Any]:
    """A request as it waits in the API, `age` seconds old; `more` goes into its spec."""
    asker = {"username": USER, "groups": ["system:nodes", "system:authenticated"]}
    created = NOW - datetime.timedelta(seconds=age)
    metadata = {"name": name, "uid": f"uid-{name}", "resourceVersion": "7", "creationTimestamp": created.isoformat()}
    return {"metadata": metadata, "spec": asker | spec(request, **more)}


def waiting(request: bytes | None = None, **more: Any) -> SigningRequest:
    """The same as the approver sees it."""
    return SigningRequest.of(document(request, **more))
