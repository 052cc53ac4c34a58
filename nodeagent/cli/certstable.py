"""Certificates as tables for people, in the columns of `kubeadm certs check-expiration`.

Invariant: the same inventory at the same moment gives the same bytes; names out of files cannot steer the terminal.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Iterator, Sequence

from nodeagent.certs.catalog import FILES, Kind
from nodeagent.certs.findings import Finding, ordered
from nodeagent.certs.inventory import Entry, Inventory
from nodeagent.certs.served import Answer

_LEAVES = ("CERTIFICATE", "EXPIRES", "RESIDUAL TIME", "CERTIFICATE AUTHORITY", "MANAGED BY", "NEXT RENEWAL")
_AUTHORITIES = ("CERTIFICATE AUTHORITY", "EXPIRES", "RESIDUAL TIME", "MANAGED BY", "SERIAL")
_PROBES = ("COMPONENT", "ADDRESS", "SERVES", "EXPIRES", "RESIDUAL TIME", "FILE")
_CA_NAMES = {item.path: item.name for item in FILES if item.kind is Kind.CA}
_UNREADABLE = "-"
_NOTHING = "no certificates here: none of kubeadm's, the kubelet's, or those that the settings name"


def print_lines(lines: Iterable[str]) -> None:
    """Print lines, with what would steer a terminal made harmless."""
    for line in lines:
        print("".join(letter if letter.isprintable() else f"\\x{ord(letter):02x}" for letter in line))


def inventory_lines(found: Inventory, now: datetime.datetime) -> Iterator[str]:
    """Certificates, authorities, findings. Copies of a CA in kubeconfigs are left to the JSON form."""
    leaves = [each for each in found.entries if each.kind not in (Kind.CA, Kind.KUBECONFIG_CA)]
    authorities = [each for each in found.entries if each.kind is Kind.CA]
    parts: list[Iterable[str]] = [
        _table(_LEAVES, [_leaf_row(each, now) for each in sorted(leaves, key=_by_name)]),
        _table(_AUTHORITIES, [_authority_row(each, now) for each in sorted(authorities, key=_by_name)]),
        finding_lines(found.findings),
    ]
    yield from _apart(parts if found.entries else [[_NOTHING], *parts])


def _apart(parts: Iterable[Iterable[str]]) -> Iterator[str]:
    """The parts that are not empty, an empty line between them."""
    filled = [lines for part in parts if (lines := list(part))]
    for number, lines in enumerate(filled):
        yield from ([""] if number else [])
        yield from lines


def _by_name(entry: Entry) -> tuple[str, str]:
    return entry.name, entry.path


def _leaf_row(entry: Entry, now: datetime.datetime) -> tuple[str, ...]:
    authority = _CA_NAMES.get(entry.issuer_path, entry.issuer_path)
    renewal = entry.next_renewal
    return (entry.name, *_ends(entry, now), authority, entry.manager, _date(renewal) if renewal else "")


def _authority_row(entry: Entry, now: datetime.datetime) -> tuple[str, ...]:
    serial = str(entry.certificate.serial) if entry.certificate else ""
    return (entry.name, *_ends(entry, now), entry.manager, serial)


def _ends(entry: Entry, now: datetime.datetime) -> tuple[str, str]:
    if entry.certificate is None:
        return _UNREADABLE, _UNREADABLE
    return _date(entry.certificate.not_after), residual(entry.certificate.not_after - now)


def _date(when: datetime.datetime) -> str:
    return when.astimezone(datetime.UTC).strftime("%b %d, %Y %H:%M UTC")


def residual(time: datetime.timedelta) -> str:
    """A duration as kubectl and kubeadm shorten it: "45s", "3h", "364d", "9y", "<invalid>" once it is over."""
    seconds = int(time.total_seconds())
    if seconds < -1:
        return "<invalid>"
    for size, unit in ((365 * 86400, "y"), (86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= size:
            return f"{seconds // size}{unit}"
    return f"{max(seconds, 0)}s"


def probe_lines(answers: Sequence[Answer], now: datetime.datetime) -> Iterator[str]:
    """What each component serves, and what is wrong with that."""
    if not answers:
        yield "nothing to ask: no static pods of the control plane here, and no serving certificate of the kubelet"
        return
    findings = ordered(finding for answer in answers for finding in answer.findings)
    yield from _apart([_table(_PROBES, [_probe_row(answer, now) for answer in answers]), finding_lines(findings)])


def _probe_row(answer: Answer, now: datetime.datetime) -> tuple[str, ...]:
    target, found = answer.target, answer.certificate
    file = target.path or "none (loopback)"
    if found is None:
        return (target.component, str(target.endpoint), _UNREADABLE, _UNREADABLE, _UNREADABLE, file)
    left = residual(found.not_after - now)
    return (target.component, str(target.endpoint), found.common_name, _date(found.not_after), left, file)


def finding_lines(findings: Iterable[Finding]) -> Iterator[str]:
    """One line each, as they come."""
    yield from map(str, findings)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    if not rows:
        return
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    for row in (head, *rows):
        yield "   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
