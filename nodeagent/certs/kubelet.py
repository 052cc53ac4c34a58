"""What goes wrong with the kubelet's own certificates, which it rotates itself.

Invariant: nothing here counts against a certificate that the kubelet will rotate in its own time (70 to 90 % of the
lifetime, k8s.io/client-go/util/certificate).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from nodeagent.certs.case import Case
from nodeagent.certs.catalog import KUBELET_CLIENT, KUBELET_CONF, KUBELET_SELF_SIGNED, KUBELET_SERVER, Kind, Manager
from nodeagent.certs.due import State, rotation_deadline, state
from nodeagent.certs.findings import Code, Finding, Severity

_CURRENT = (KUBELET_CLIENT, KUBELET_SERVER)


def findings(case: Case) -> Iterator[Finding]:
    """What is wrong with one of the kubelet's certificates; nothing for any other."""
    if case.kind is Kind.CHAIN:
        return
    if case.specimen.path in _CURRENT:
        yield from _link(case)
    embedded = case.kind is Kind.KUBECONFIG
    if case.manager is Manager.KUBELET and not (embedded and case.terms.survey.leaf(KUBELET_CLIENT)):
        yield from _overdue(case)
    if case.specimen.path == KUBELET_CONF and embedded:
        yield from _stale(case)
    if case.specimen.path == KUBELET_SELF_SIGNED:
        yield from _self_signed(case)


def _link(case: Case) -> Iterator[Finding]:
    if not case.specimen.file.target:
        message = "is a regular file, and the kubelet can only rotate through a symbolic link here"
        advice = "give the file a name with its date, and link this one to it"
        yield Finding(case.specimen.path, Code.KUBELET_CURRENT_NO_LINK, Severity.HIGH, message, advice)


def _overdue(case: Case) -> Iterator[Finding]:
    deadline = rotation_deadline(case.certificate)
    if deadline < case.terms.now and state(case.certificate, case.terms.now) is State.VALID:
        ends = case.certificate.not_after
        message = f"should have been rotated by {deadline:%Y-%m-%d %H:%M} UTC, and ends {ends:%Y-%m-%d %H:%M} UTC"
        advice = "see the kubelet's log, and `kubectl get csr` for a request that waits"
        yield Finding(case.specimen.path, Code.KUBELET_ROTATION_OVERDUE, Severity.HIGH, message, advice)


def _stale(case: Case) -> Iterator[Finding]:
    """kubeadm embeds the first certificate; once the kubelet has rotated, the copy here only ages."""
    current = case.terms.survey.leaf(KUBELET_CLIENT)
    if current is None or current.fingerprint == case.certificate.fingerprint:
        return
    expired = state(case.certificate, case.terms.now) is State.EXPIRED
    message = f"holds a certificate of its own, which is not the one that the kubelet has rotated to ({KUBELET_CLIENT})"
    yield Finding(
        KUBELET_CONF,
        Code.KUBELET_CONF_STALE,
        Severity.CRITICAL if expired else Severity.WARNING,
        message,
        f"let client-certificate and client-key name {KUBELET_CLIENT}",
    )


def _self_signed(case: Case) -> Iterator[Finding]:
    alone = case.terms.survey.leaf(KUBELET_SERVER) is None and not case.terms.survey.kubelet.bootstraps
    if alone and not case.issuer_path:
        message = "is signed by the kubelet itself, so nobody can verify it, and the kubelet never renews it"
        advice = "set serverTLSBootstrap in the kubelet's configuration, or certs.request_serving"
        yield Finding(KUBELET_SELF_SIGNED, Code.KUBELET_SELF_SIGNED, Severity.INFO, message, advice)


def tempered(case: Case, found: Iterable[Finding]) -> Iterator[Finding]:
    """Findings with what is out of use told as information only: kubelet.crt where the kubelet serves another."""
    survey = case.terms.survey
    another = survey.leaf(KUBELET_SERVER) is not None or bool(survey.kubelet.certificate)
    unused = case.specimen.path == KUBELET_SELF_SIGNED and another
    return (replace(each, severity=Severity.INFO) if unused else each for each in found)
