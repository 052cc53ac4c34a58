"""Requests for signatures as the API holds them (certificates.k8s.io/v1, CertificateSigningRequest).

Invariant: who asked (`username`, `groups`) is what the API server wrote when it took the request; everything else is
what the requester says of itself.
"""

from __future__ import annotations

import base64
import datetime
import ipaddress
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from nodeagent.observed.certificates import Asked

_LONGEST: Final = 16 << 10  # bytes of a request that are read; one for RSA-4096 with 100 names has 4 KiB
_ADDRESSES: Final = {"Hostname": "", "InternalIP": "IP", "ExternalIP": "IP", "InternalDNS": "DNS", "ExternalDNS": "DNS"}


@dataclass(frozen=True)
class SigningRequest:
    """A CertificateSigningRequest; `asked` is None where it cannot be read, and `problem` then says why.

    `settled`: it was approved, denied, signed, has failed, or is being removed. `seconds` is the lifetime that was
    asked for, None where that is left to the signer.
    """

    name: str
    uid: str
    version: str
    created: datetime.datetime
    signer: str
    username: str
    groups: frozenset[str]
    usages: frozenset[str]
    seconds: int | None
    settled: bool
    asked: Asked | None
    problem: str = ""

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> SigningRequest:
        """The request in an object of the API."""
        metadata, spec, status = document["metadata"], document["spec"], document.get("status") or {}
        asked, problem = _read(spec.get("request") or "")
        return cls(
            name=metadata["name"],
            uid=metadata["uid"],
            version=metadata["resourceVersion"],
            created=datetime.datetime.fromisoformat(metadata["creationTimestamp"]),
            signer=spec.get("signerName") or "",
            username=spec.get("username") or "",
            groups=frozenset(spec.get("groups") or ()),
            usages=frozenset(spec.get("usages") or ()),
            seconds=spec.get("expirationSeconds"),
            settled=bool(status.get("conditions") or status.get("certificate") or metadata.get("deletionTimestamp")),
            asked=asked,
            problem=problem,
        )


def _read(encoded: str) -> tuple[Asked | None, str]:
    from nodeagent.certs import pkcs10  # noqa: PLC0415 - cryptography, by need

    try:
        pem = base64.b64decode(encoded, validate=True)
        if len(pem) > _LONGEST:
            return None, f"has {len(pem)} bytes, and {_LONGEST} are read"
        return pkcs10.asked(pem), ""
    except ValueError as error:
        return None, str(error)


def names_of(node: Mapping[str, Any]) -> frozenset[str]:
    """The addresses of a Node as alternative names, as its kubelet asks for them ("DNS:…", "IP:…")."""
    addresses = (node.get("status") or {}).get("addresses") or ()
    return frozenset(name for each in addresses for name in _name(each.get("type"), each.get("address") or ""))


def _name(kind: str, address: str) -> Iterator[str]:
    """A Hostname may be either; an IP address that is none counts as nothing."""
    if kind not in _ADDRESSES or not address:
        return
    wanted = _ADDRESSES[kind] or ("IP" if _is_ip(address) else "DNS")
    if wanted == "DNS":
        yield f"DNS:{address.lower()}"
    elif _is_ip(address):
        yield f"IP:{ipaddress.ip_address(address)}"


def _is_ip(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
