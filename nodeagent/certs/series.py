"""The inventory as metrics: names that dashboards already know, and our own beside them. Pure.

Names and labels of `x509_*` are those of enix's x509-certificate-exporter 4; `certificate_expires_*` is Alauda's.
Times are seconds since the epoch.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from nodeagent.certs.catalog import Kind, Manager
from nodeagent.certs.facts import Certificate
from nodeagent.certs.findings import Code, Severity
from nodeagent.certs.inventory import Entry, Inventory
from nodeagent.certs.served import Answer

Labels = tuple[str, ...]
Table = Iterable[tuple[Labels, float]]

_PARTS: Final = ("C", "ST", "L", "O", "OU", "CN")
_NAMES: Final = (*(f"subject_{part}" for part in _PARTS), *(f"issuer_{part}" for part in _PARTS))
_FILE: Final = ("filename", "filepath")
_X509: Final = (*_FILE, "embedded_kind", "embedded_key", "serial_number", *_NAMES)
_OURS: Final = ("name", "path", "kind", "serial")
_UNREADABLE: Final = frozenset(
    {Code.UNREADABLE, Code.EMPTY, Code.GARBAGE, Code.NO_CERTIFICATE, Code.CERTIFICATE_MISSING, Code.LINK_BROKEN}
)

COLUMNS: Final[Mapping[str, tuple[str, Labels]]] = {
    "x509_cert_not_before": ("Begin of validity", _X509),
    "x509_cert_not_after": ("End of validity", _X509),
    "x509_cert_expired": ("1 for a certificate that has expired", _X509),
    "x509_cert_error": ("1 for a file in which no certificate can be read", _FILE),
    "certificate_expires_status": ("0 fine, 1 ends soon, 2 ends very soon, 3 has expired", ("name", "path")),
    "certificate_expires_time": ("End of validity", ("name", "path")),
    "nodeagent_cert_next_renewal_timestamp_seconds": ("When it becomes due; absent where nobody renews it", _OURS),
    "nodeagent_cert_key_match": ("1 if the private key is its own; absent without a key", _OURS),
    "nodeagent_cert_chain_ok": ("1 if it leads to its CA; absent without a CA", _OURS),
    "nodeagent_cert_managed": ("Certificates by who renews them", ("manager",)),
    "nodeagent_cert_findings": ("Findings of each kind", ("code", "severity")),
    "nodeagent_cert_ca_not_after_timestamp_seconds": ("End of a CA", _OURS),
    "nodeagent_cert_loopback_not_after_timestamp_seconds": (
        "End of the certificate that a component made for itself when it started",
        ("component",),
    ),
    "nodeagent_cert_served_differs": ("1 where a component serves another certificate than its file", ("component",)),
}


def series(inventory: Inventory, answers: Iterable[Answer]) -> dict[str, list[tuple[Labels, float]]]:
    """The rows of each table of COLUMNS."""
    told = [(entry, entry.certificate) for entry in inventory.entries if entry.certificate is not None]
    tables: dict[str, Table] = {
        "x509_cert_not_before": ((_x509(entry, found), found.not_before.timestamp()) for entry, found in told),
        "x509_cert_not_after": ((_x509(entry, found), found.not_after.timestamp()) for entry, found in told),
        "x509_cert_expired": ((_x509(entry, found), float(_stage(entry) == _EXPIRED)) for entry, found in told),
        "x509_cert_error": _errors(inventory.entries),
        "certificate_expires_status": ((_place(entry), float(_stage(entry))) for entry, _ in told),
        "certificate_expires_time": ((_place(entry), found.not_after.timestamp()) for entry, found in told),
        "nodeagent_cert_managed": _managers(inventory.entries),
        "nodeagent_cert_findings": _findings(inventory, answers),
        **_own(told),
        **_served(answers),
    }
    return {name: list(table) for name, table in tables.items()}


def _own(told: list[tuple[Entry, Certificate]]) -> dict[str, Table]:
    return {
        "nodeagent_cert_next_renewal_timestamp_seconds": (
            (_ours(entry, found), entry.next_renewal.timestamp()) for entry, found in told if entry.next_renewal
        ),
        "nodeagent_cert_key_match": (
            (_ours(entry, found), float(entry.key_match)) for entry, found in told if entry.key_match is not None
        ),
        "nodeagent_cert_chain_ok": (
            (_ours(entry, found), float(entry.chain_ok)) for entry, found in told if entry.chain_ok is not None
        ),
        "nodeagent_cert_ca_not_after_timestamp_seconds": (
            (_ours(entry, found), found.not_after.timestamp()) for entry, found in told if entry.kind is Kind.CA
        ),
    }


def _served(answers: Iterable[Answer]) -> dict[str, Table]:
    heard = [(answer.target, answer.certificate, answer) for answer in answers if answer.certificate is not None]
    return {
        "nodeagent_cert_loopback_not_after_timestamp_seconds": (
            ((target.component,), found.not_after.timestamp()) for target, found, _ in heard if target.is_loopback
        ),
        "nodeagent_cert_served_differs": (
            ((target.component,), float(any(each.code is Code.SERVED_DIFFERS for each in answer.findings)))
            for target, _, answer in heard
            if not target.is_loopback
        ),
    }


def _x509(entry: Entry, found: Certificate) -> Labels:
    kind, _, key = entry.field.partition(" ")
    names = (*_parts(found.subject_parts), *_parts(found.issuer_parts))
    return (*_file(entry), kind, key, str(found.serial), *names)


def _parts(name: tuple[tuple[str, str], ...]) -> Labels:
    """The values of the usual attributes; of one that stands several times all, in order."""
    return tuple(",".join(value for key, value in name if key == part) for part in _PARTS)


def _file(entry: Entry) -> Labels:
    return entry.path.rpartition("/")[2], entry.path


def _place(entry: Entry) -> Labels:
    return entry.name, entry.path if not entry.field else f"{entry.path} ({entry.field})"


def _ours(entry: Entry, found: Certificate) -> Labels:
    return (*_place(entry), str(entry.kind), str(found.serial))


_EXPIRED: Final = 3
_STAGES: Final = {Severity.WARNING: 1, Severity.HIGH: 2, Severity.CRITICAL: _EXPIRED}
_ENDING: Final = frozenset({Code.EXPIRED, Code.EXPIRING, Code.CA_EXPIRING})


def _stage(entry: Entry) -> int:
    return max((_STAGES.get(each.severity, 0) for each in entry.findings if each.code in _ENDING), default=0)


def _errors(entries: Iterable[Entry]) -> Iterator[tuple[Labels, float]]:
    for entry in entries:
        yield _file(entry), float(any(each.code in _UNREADABLE for each in entry.findings))


def _managers(entries: Iterable[Entry]) -> Iterator[tuple[Labels, float]]:
    managers = [entry.manager for entry in entries if entry.certificate is not None]
    for manager in Manager:
        yield (str(manager),), float(managers.count(manager))


def _findings(inventory: Inventory, answers: Iterable[Answer]) -> Iterator[tuple[Labels, float]]:
    found = [*inventory.findings, *(each for answer in answers for each in answer.findings)]
    kinds = {(each.code, each.severity) for each in found}
    for code, severity in sorted(kinds):
        count = sum((each.code, each.severity) == (code, severity) for each in found)
        yield (str(code), str(severity)), float(count)
