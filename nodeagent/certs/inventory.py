"""The inventory: every certificate of the node with what is known of it and what is wrong with it.

Invariant: pure; the same survey at the same `now` gives the same inventory. An entry is one certificate, or one file in
which there should be one.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from nodeagent.certs import checks, files, kubelet, kubeletconfig
from nodeagent.certs.case import DEFAULT_POLICY, Case, Policy, Terms
from nodeagent.certs.catalog import KUBELET_SERVER, Kind, Manager
from nodeagent.certs.due import State, rotation_deadline, state
from nodeagent.certs.facts import Certificate, rfc3339
from nodeagent.certs.findings import Finding, ordered
from nodeagent.certs.identity import Node
from nodeagent.certs.survey import Specimen, Survey
from nodeagent.certs.trust import SignedBy


@dataclass(frozen=True)
class Entry:
    """One certificate of the node, or None where a file holds none.

    `name` is kubeadm's for what kubeadm knows, `field` the place inside a kubeconfig ("user NAME"). `issuer_path` is
    the CA file that its chain leads to. `next_renewal` is None where nobody renews it; for the kubelet's own it is when
    it should have been rotated at the latest.
    """

    path: str
    name: str
    kind: Kind
    certificate: Certificate | None
    field: str
    key_match: bool | None
    chain_ok: bool | None
    issuer_path: str
    manager: Manager
    state: State | None
    due: bool
    next_renewal: datetime.datetime | None
    findings: tuple[Finding, ...]

    def facts(self) -> dict[str, Any]:
        """The entry as a JSON object; times in RFC 3339, the serial in decimal."""
        found = self.certificate
        return {
            "path": self.path,
            "kind": str(self.kind),
            "subject": found.subject if found else None,
            "issuer": found.issuer if found else None,
            "serial": str(found.serial) if found else None,
            "notBefore": rfc3339(found.not_before) if found else None,
            "notAfter": rfc3339(found.not_after) if found else None,
            "sans": list(found.sans) if found else [],
            "key_type": found.key_type if found else None,
            "key_match": self.key_match,
            "chain_ok": self.chain_ok,
            "managed_by": str(self.manager),
            "next_renewal": rfc3339(self.next_renewal) if self.next_renewal else None,
            "findings": [finding.facts() for finding in self.findings],
        }


@dataclass(frozen=True)
class Inventory:
    """All entries in the order of the survey; `findings` are all that there are, most urgent first."""

    node: Node
    entries: tuple[Entry, ...]
    findings: tuple[Finding, ...]


def assess(
    survey: Survey, node: Node, now: datetime.datetime, signed_by: SignedBy, policy: Policy = DEFAULT_POLICY
) -> Inventory:
    """Judge everything that was found."""
    terms = Terms(survey, node, now, signed_by, policy)
    entries = tuple(entry for specimen in survey.specimens for entry in _entries(specimen, terms))
    of_entries = (finding for entry in entries for finding in entry.findings)
    of_kubelet = kubeletconfig.findings(survey.kubelet, survey.leaf(KUBELET_SERVER))
    return Inventory(node, entries, ordered([*of_entries, *survey.pods.findings(), *of_kubelet]))


def _entries(specimen: Specimen, terms: Terms) -> Iterator[Entry]:
    """One for each certificate; those behind a leaf are its chain. What is wrong with the file is said once."""
    kind = specimen.item.kind
    of_file = tuple(files.findings(specimen, terms.node.role))
    if not specimen.contents.certificates:
        yield Entry(
            specimen.path,
            specimen.item.name,
            kind,
            certificate=None,
            field=specimen.field,
            key_match=None,
            chain_ok=None,
            issuer_path="",
            manager=Manager.NOBODY,
            state=None,
            due=False,
            next_renewal=None,
            findings=ordered(of_file),
        )
    for number, certificate in enumerate(specimen.contents.certificates):
        chained = number > 0 and kind not in (Kind.CA, Kind.KUBECONFIG_CA, Kind.OTHER)
        case = Case.of(specimen, certificate, Kind.CHAIN if chained else kind, terms)
        yield _entry(case, of_file if number == 0 else ())


def _entry(case: Case, of_file: tuple[Finding, ...]) -> Entry:
    found = case.certificate
    findings = kubelet.tempered(case, (*of_file, *checks.findings(case), *kubelet.findings(case)))
    return Entry(
        case.specimen.path,
        case.specimen.item.name,
        case.kind,
        found,
        case.specimen.field,
        case.key_match,
        case.chain_ok,
        case.issuer_path,
        case.manager,
        state(found, case.terms.now),
        case.due,
        _next_renewal(case),
        ordered(findings),
    )


def _next_renewal(case: Case) -> datetime.datetime | None:
    match case.manager:
        case Manager.AGENT:
            return case.terms.policy.rule.next_renewal(case.certificate)
        case Manager.KUBELET:
            return rotation_deadline(case.certificate)
        case _:
            return None
