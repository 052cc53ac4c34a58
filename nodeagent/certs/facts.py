"""What is known of certificates, keys and files that hold them: plain values, free of what is secret."""

from __future__ import annotations

import datetime
from dataclasses import dataclass, field
from typing import Final


@dataclass(frozen=True)
class Certificate:
    """One X.509 certificate (RFC 5280).

    Names are in the form of RFC 4514, their parts (attribute, value) in the certificate's own order, as are `sans`:
    "DNS:…", "IP:…", "URI:…", "email:…". `usages` are the extended key usages, `signature` its hash ("" for schemes that
    have none of their own). `public_key` and `fingerprint` are SHA-256 in hex, of the SubjectPublicKeyInfo and of the
    whole.
    """

    subject: str
    issuer: str
    common_name: str
    organizations: tuple[str, ...]
    issuer_name: str
    serial: int
    not_before: datetime.datetime
    not_after: datetime.datetime
    sans: tuple[str, ...]
    usages: tuple[str, ...]
    is_ca: bool
    key_type: str
    signature: str
    public_key: str
    fingerprint: str
    self_issued: bool
    subject_parts: tuple[tuple[str, str], ...]
    issuer_parts: tuple[tuple[str, str], ...]
    der: bytes = field(repr=False)

    @property
    def lifetime(self) -> datetime.timedelta:
        return self.not_after - self.not_before

    def sans_of(self, kind: str) -> tuple[str, ...]:
        """Sorted alternative names of one kind, without its prefix: `sans_of("DNS")`."""
        return tuple(sorted(name.removeprefix(kind + ":") for name in self.sans if name.startswith(kind + ":")))


@dataclass(frozen=True)
class Key:
    """The public half of a private key, or the mere fact that one is there: an encrypted key tells nothing."""

    public_key: str = ""
    type: str = ""
    encrypted: bool = False


@dataclass(frozen=True)
class Contents:
    """What a file holds, in its order. `problems` are sentences on what could not be read; `empty`: no byte but space.

    `labels` are those of PEM blocks that are neither certificate nor private key.
    """

    certificates: tuple[Certificate, ...] = ()
    keys: tuple[Key, ...] = ()
    labels: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    empty: bool = False


NOTHING: Final = Contents()


def rfc3339(when: datetime.datetime) -> str:
    """The moment in UTC, to the second."""
    return when.astimezone(datetime.UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
