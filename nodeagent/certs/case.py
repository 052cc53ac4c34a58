"""One certificate with everything that judging it takes.

Invariant: a case is worked out once; the checks only read it.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from nodeagent.certs import trust
from nodeagent.certs.catalog import CLUSTER_CA, KUBELET_SELF_SIGNED, Item, Kind, Manager
from nodeagent.certs.due import DEFAULT_RULE, Rule, rotation_deadline
from nodeagent.certs.facts import Certificate
from nodeagent.certs.identity import Node, Role
from nodeagent.certs.survey import Specimen, Survey
from nodeagent.certs.trust import SignedBy

_DAY = datetime.timedelta(days=1)
_AUTHORITIES = (Kind.CA, Kind.KUBECONFIG_CA)


@dataclass(frozen=True)
class Policy:
    """When certificates are renewed and when people are told of them: with how much time left.

    `asks_cluster`: the cluster is asked to sign the kubelet's serving certificate.
    """

    rule: Rule = DEFAULT_RULE
    warn: datetime.timedelta = 30 * _DAY
    alarm: datetime.timedelta = 10 * _DAY
    authority: datetime.timedelta = 365 * _DAY
    asks_cluster: bool = False

    def stages(self, lifetime: datetime.timedelta) -> tuple[datetime.timedelta, datetime.timedelta]:
        """Time left at which to warn and to raise an alarm; for short lifetimes parts of the time to renew in."""
        if 2 * self.warn <= lifetime:
            return self.warn, min(self.alarm, self.warn)
        margin = self.rule.margin(lifetime)
        return margin / 2, margin / 4

    def authority_stages(self, lifetime: datetime.timedelta) -> tuple[datetime.timedelta, datetime.timedelta]:
        """The same for a CA, which takes people months to replace."""
        return min(self.authority, lifetime / 5), min(self.warn, lifetime / 20)


DEFAULT_POLICY: Final = Policy()


@dataclass(frozen=True)
class Terms:
    """What holds for all cases of one inventory."""

    survey: Survey
    node: Node
    now: datetime.datetime
    signed_by: SignedBy
    policy: Policy

    def address(self, item: Item) -> str:
        """The address of this node that a certificate must name, "" where nobody knows."""
        pod = "etcd" if item.name.startswith("etcd-") else "kube-apiserver"
        return self.node.address or self.survey.pods.address(pod)


@dataclass(frozen=True)
class Case:
    """One certificate, who signed it, and who looks after it."""

    specimen: Specimen
    certificate: Certificate
    kind: Kind
    terms: Terms
    key_match: bool | None
    chain_ok: bool | None
    issuer: Certificate | None
    issuer_path: str
    manager: Manager

    @classmethod
    def of(cls, specimen: Specimen, certificate: Certificate, kind: Kind, terms: Terms) -> Case:
        chain = _chain(specimen, certificate, kind, terms)
        issuer = chain[0] if chain else None
        match = None if kind is Kind.CHAIN else trust.key_match(certificate, specimen.keys)
        chain_ok = _chain_ok(specimen, certificate, kind, terms, chain)
        manager = _manager(specimen, kind, terms, signed=bool(chain))
        return cls(specimen, certificate, kind, terms, match, chain_ok, issuer, _path(chain[-1:], terms), manager)

    @property
    def remaining(self) -> datetime.timedelta:
        return self.certificate.not_after - self.terms.now

    @property
    def is_authority(self) -> bool:
        return self.kind in _AUTHORITIES

    @property
    def renewable(self) -> bool:
        """Whether it can be renewed one by one: a CA takes its whole cluster along."""
        return not self.is_authority and self.kind is not Kind.CHAIN and not self.certificate.is_ca

    @property
    def due(self) -> bool:
        """Whether it should be renewed now. What the kubelet rotates is left to it until that is overdue."""
        if self.manager is Manager.KUBELET and self.kind is not Kind.KUBECONFIG:
            return self.renewable and rotation_deadline(self.certificate) < self.terms.now
        return self.renewable and self.terms.policy.rule.due(self.certificate, self.terms.now)


def _anchors(specimen: Specimen, kind: Kind, terms: Terms) -> Iterable[Certificate]:
    """The authorities by which consumers check the certificate; all that are known where the consumer is not."""
    if specimen.item.authority:
        return terms.survey.authorities.get(specimen.item.authority, ())
    if specimen.path == KUBELET_SELF_SIGNED:  # the cluster may have signed it all the same
        return terms.survey.authorities.get(CLUSTER_CA, ())
    if kind in (Kind.OTHER, Kind.KUBECONFIG):
        return (each for found in terms.survey.authorities.values() for each in found)
    return ()


def _chain(specimen: Specimen, certificate: Certificate, kind: Kind, terms: Terms) -> tuple[Certificate, ...]:
    if kind in _AUTHORITIES:
        return ()
    others = [each for each in specimen.contents.certificates if each != certificate]
    return trust.chain(certificate, others, _anchors(specimen, kind, terms), terms.signed_by, terms.now)


def _chain_ok(
    specimen: Specimen, certificate: Certificate, kind: Kind, terms: Terms, chain: tuple[Certificate, ...]
) -> bool | None:
    """For an authority whether it signed itself, as roots do; None where there is nothing to check against."""
    if kind in _AUTHORITIES:
        return terms.signed_by(certificate, certificate) if certificate.self_issued else None
    if chain:
        return trust.is_valid(chain, terms.now)
    return False if terms.survey.authorities.get(specimen.item.authority) else None


def _path(anchors: tuple[Certificate, ...], terms: Terms) -> str:
    """The CA file that an anchor stands in."""
    return next((path for path, found in terms.survey.authorities.items() if anchors and anchors[0] in found), "")


def _manager(specimen: Specimen, kind: Kind, terms: Terms, *, signed: bool) -> Manager:
    item = specimen.item
    if kind is Kind.CHAIN or (item.path == KUBELET_SELF_SIGNED and signed and not terms.policy.asks_cluster):
        return Manager.NOBODY
    if item.manager is not Manager.AGENT or not item.authority:
        return item.manager
    authority = terms.survey.authority(item.authority)
    if terms.node.role is Role.WORKER or authority is None:
        return Manager.NOBODY
    if authority.key_owner is not None:
        return Manager.AGENT
    return Manager.NOBODY if authority.has_key_file else Manager.EXTERNAL_CA
