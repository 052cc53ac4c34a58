"""What can be wrong with a certificate: its validity, its chain, its names, its form.

Invariant: each check looks at one thing and does no I/O; the clock is the case's own.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator

from nodeagent.certs.case import Case
from nodeagent.certs.catalog import Kind, Manager
from nodeagent.certs.due import State, is_skew, state
from nodeagent.certs.findings import Code, Finding, Severity

_WEAK = frozenset({"md5", "sha1"})  # Go has refused SHA-1 signatures since 1.18
_ANY_USAGE = "any"
_DAY = datetime.timedelta(days=1)


def findings(case: Case) -> Iterator[Finding]:
    """What is wrong with a certificate itself."""
    yield from _validity(case)
    yield from _expiry(case)
    yield from _renewal(case)
    yield from _chain(case)
    yield from _usage(case)
    yield from _names(case)
    yield from _form(case)
    yield from _embedded_authority(case)


def _validity(case: Case) -> Iterator[Finding]:
    found, now, path = case.certificate, case.terms.now, case.specimen.where
    match state(found, now):
        case State.EXPIRED:
            message = f"{_called(case)} expired {found.not_after:%Y-%m-%d %H:%M} UTC"
            yield Finding(path, Code.EXPIRED, Severity.CRITICAL, message, _remedy(case))
        case State.NOT_YET_VALID:
            severity = Severity.WARNING if is_skew(found, now) else Severity.CRITICAL
            message = f"{_called(case)} is not valid before {found.not_before:%Y-%m-%d %H:%M} UTC"
            yield Finding(path, Code.NOT_YET_VALID, severity, message, "check this node's clock, and the issuer's")


def _called(case: Case) -> str:
    noun = "CA" if case.is_authority else "certificate"
    return f"{noun} {case.certificate.common_name or case.certificate.subject or 'without a name'}"


def _remedy(case: Case) -> str:
    if case.is_authority:
        return "replace the CA"
    match case.manager:
        case Manager.AGENT:
            return "renew it"
        case Manager.KUBELET if case.remaining < datetime.timedelta(0):
            return "the kubelet can ask for no other now: docs/certs.md, the kubelet's own certificates"
        case Manager.KUBELET:
            return "see why the kubelet does not rotate it"
        case _:
            return "have it renewed by whoever issued it"


def _expiry(case: Case) -> Iterator[Finding]:
    """Told early enough to act. What the kubelet rotates has its own check, and a CA in a kubeconfig is only a copy."""
    if case.remaining < datetime.timedelta(0) or case.manager is Manager.KUBELET or case.kind is Kind.KUBECONFIG_CA:
        return
    policy, lifetime = case.terms.policy, case.certificate.lifetime
    authority = case.certificate.is_ca
    warn, alarm = policy.authority_stages(lifetime) if authority else policy.stages(lifetime)
    if case.remaining <= warn:
        severity = Severity.HIGH if case.remaining <= alarm else Severity.WARNING
        message = f"{_called(case)} ends {case.certificate.not_after:%Y-%m-%d %H:%M} UTC, in {_span(case.remaining)}"
        code = Code.CA_EXPIRING if authority else Code.EXPIRING
        yield Finding(case.specimen.where, code, severity, message, _remedy(case))


def _span(time: datetime.timedelta) -> str:
    """A time left in a word: days where there are two or more, else hours or minutes."""
    if time >= 2 * _DAY:
        return f"{time.days} days"
    minutes = int(time.total_seconds()) // 60
    return f"{minutes // 60} h" if minutes >= 120 else f"{minutes} min"


def _renewal(case: Case) -> Iterator[Finding]:
    """Only until it counts as expiring, which says more."""
    late = case.remaining <= case.terms.policy.stages(case.certificate.lifetime)[0]
    if case.manager is Manager.AGENT and case.due and not late:
        message = f"{_called(case)} is due for renewal"
        yield Finding(case.specimen.where, Code.RENEWAL_DUE, Severity.INFO, message)


def _chain(case: Case) -> Iterator[Finding]:
    authority, path = case.specimen.item.authority, case.specimen.where
    if not authority or not case.renewable:
        return
    if case.chain_ok is None:
        message = f"cannot be checked: {authority} holds no CA"
        yield Finding(path, Code.CA_MISSING, Severity.WARNING, message, "put the CA there")
    elif case.issuer is None:
        message = f"{_called(case)} was not signed by any CA in {authority}, by which it is checked"
        yield Finding(path, Code.CHAIN_BROKEN, Severity.CRITICAL, message, "renew it from that CA")
    elif not case.chain_ok:
        message = f"{_called(case)} is not trusted now, because the CA that signed it is not valid"
        yield Finding(path, Code.CHAIN_BROKEN, Severity.CRITICAL, message, "replace the CA")
    elif case.certificate.not_after > case.issuer.not_after:
        message = f"{_called(case)} outlives its CA, which ends {case.issuer.not_after:%Y-%m-%d} and takes it along"
        yield Finding(path, Code.OUTLIVES_CA, Severity.INFO, message)


def _usage(case: Case) -> Iterator[Finding]:
    """A certificate without the extension may be used for everything (RFC 5280, section 4.2.1.12)."""
    allowed = case.certificate.usages
    missing = tuple(usage for usage in case.specimen.item.usages if usage not in allowed)
    if missing and allowed and _ANY_USAGE not in allowed and case.kind is not Kind.CHAIN:
        message = f"{_called(case)} does not allow {' and '.join(missing)} (extended key usage)"
        yield Finding(case.specimen.where, Code.USAGE_MISSING, Severity.CRITICAL, message, "issue it anew", missing)


def _names(case: Case) -> Iterator[Finding]:
    item, path = case.specimen.item, case.specimen.where
    missing = _missing_names(case) if item.own_address and case.kind is not Kind.CHAIN else ()
    if missing:
        severity = Severity.CRITICAL if item.kind is Kind.PEER else Severity.WARNING
        message = f"{_called(case)} does not name this node: {', '.join(missing)}; it may have been copied from another"
        advice = "issue it anew for this node; a renewal that keeps its names keeps the fault"
        yield Finding(path, Code.SAN_MISSING_OWN_ADDRESS, severity, message, advice, missing)


def _missing_names(case: Case) -> tuple[str, ...]:
    """This node's own name and address as far as the certificate does not hold them."""
    name, address = case.terms.node.name, case.terms.address(case.specimen.item)
    wanted = [f"DNS:{name}"] * bool(name) + [f"IP:{address}"] * bool(address)
    held = {each.lower() for each in case.certificate.sans}
    return tuple(each for each in wanted if each.lower() not in held)


def _form(case: Case) -> Iterator[Finding]:
    found, path = case.certificate, case.specimen.where
    if case.kind is Kind.CA and not found.is_ca:
        yield Finding(path, Code.NOT_A_CA, Severity.HIGH, f"{_called(case)} may not sign others (basic constraints)")
    if found.signature in _WEAK and not found.self_issued:
        message = f"{_called(case)} is signed with {found.signature.upper()}, which Kubernetes refuses"
        yield Finding(path, Code.WEAK_SIGNATURE, Severity.HIGH, message, "issue it anew")
    if found.serial <= 0:
        message = f"{_called(case)} has serial {found.serial}, which RFC 5280 forbids; kubeadm once made such CAs"
        yield Finding(path, Code.SERIAL_NOT_POSITIVE, Severity.INFO, message)


def _embedded_authority(case: Case) -> Iterator[Finding]:
    """A kubeconfig that does not know any of the cluster's CAs fails as soon as it is read again."""
    known = case.terms.survey.authorities.get(case.specimen.item.authority, ())
    if case.kind is Kind.KUBECONFIG_CA and known and not set(case.specimen.contents.certificates) & set(known):
        message = f"trusts none of the CAs in {case.specimen.item.authority}"
        advice = "put the cluster's CA into it"
        yield Finding(case.specimen.where, Code.KUBECONFIG_STALE_CA, Severity.HIGH, message, advice)
