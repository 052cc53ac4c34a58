"""What the components of this node serve, compared with the files.

Invariant: only what listens on this node is asked, never a load balancer: what answers there may be another node. The
serial of a served certificate does not prove a restart, since servers read their files again; the loopback certificate
does, for it is made when the process starts.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from nodeagent.certs.case import Policy
from nodeagent.certs.catalog import KUBELET_SELF_SIGNED, KUBELET_SERVER, PKI
from nodeagent.certs.due import Rule, State, state
from nodeagent.certs.facts import Certificate, rfc3339
from nodeagent.certs.findings import Code, Finding, Severity
from nodeagent.certs.node import Probe
from nodeagent.certs.survey import Survey
from nodeagent.observed.certificates import Endpoint, Served

LOOPBACK_NAME: Final = "apiserver-loopback-client"
"""The server name for which Kubernetes servers serve the certificate that they made for themselves."""

_LOOPBACK_CERTIFICATE: Final = re.compile(rf"{LOOPBACK_NAME}@[0-9]+")
_COMPONENTS: Final = (("kube-apiserver", 6443), ("kube-controller-manager", 10257), ("kube-scheduler", 10259))


@dataclass(frozen=True)
class Target:
    """Something to ask: the component, where it listens, and the file that it should serve ("" for its loopback)."""

    component: str
    endpoint: Endpoint
    path: str = ""

    @property
    def is_loopback(self) -> bool:
        return self.endpoint.server_name == LOOPBACK_NAME

    @property
    def label(self) -> str:
        what = "loopback" if self.is_loopback else "serving"
        return f"{self.component} {what} ({self.endpoint})"


@dataclass(frozen=True)
class Answer:
    """What a target served: the certificate, or None with a finding that says why."""

    target: Target
    certificate: Certificate | None
    findings: tuple[Finding, ...]

    def facts(self) -> dict[str, Any]:
        """The answer as a JSON object; times in RFC 3339, the serial in decimal."""
        found = self.certificate
        return {
            "component": self.target.component,
            "address": str(self.target.endpoint),
            "server_name": self.target.endpoint.server_name,
            "path": self.target.path,
            "subject": found.subject if found else None,
            "issuer": found.issuer if found else None,
            "serial": str(found.serial) if found else None,
            "notBefore": rfc3339(found.not_before) if found else None,
            "notAfter": rfc3339(found.not_after) if found else None,
            "findings": [finding.facts() for finding in self.findings],
        }


def targets(survey: Survey) -> tuple[Target, ...]:
    """What should listen on this node, by its static pods and the kubelet's own certificates."""
    return (*_loopbacks(survey), *_servers(survey), *_kubelet(survey))


def loopback_names(survey: Survey) -> Mapping[str, str]:
    """By the name of each loopback certificate ("apiserver-loopback") the component of this node that makes it."""
    made = (each.component for each in _loopbacks(survey))
    return {f"{component.removeprefix('kube-')}-loopback": component for component in made}


def ending(answers: Iterable[Answer], rule: Rule, now: datetime.datetime) -> tuple[Answer, ...]:
    """The loopback certificates that are due for renewal: their components have to start anew."""
    loopbacks = ((each, each.certificate) for each in answers if each.target.is_loopback)
    return tuple(each for each, found in loopbacks if found is not None and rule.due(found, now))


def _loopbacks(survey: Survey) -> Iterator[Target]:
    for component, port in _COMPONENTS:
        where = survey.pods.listens(component, port)
        if where is not None:
            yield Target(component, Endpoint(*where, LOOPBACK_NAME))


def _servers(survey: Survey) -> Iterator[Target]:
    where = survey.pods.listens(*_COMPONENTS[0])
    if where is not None:
        yield Target("kube-apiserver", Endpoint(*where), f"{PKI}/apiserver.crt")
    for flag, name in (("listen-client-urls", "server"), ("listen-peer-urls", "peer")):
        where = survey.pods.listens_by_url("etcd", flag)
        if where is not None:
            yield Target("etcd" if name == "server" else "etcd peer", Endpoint(*where), f"{PKI}/etcd/{name}.crt")


def _kubelet(survey: Survey) -> Iterator[Target]:
    config = survey.kubelet
    own = (KUBELET_SERVER, KUBELET_SELF_SIGNED)
    path = next((path for path in (config.certificate, *own) if survey.leaf(path)), "")
    if path:
        yield Target("kubelet", Endpoint("127.0.0.1", config.port), path)


def ask(
    asked: Iterable[Target], probe: Probe, survey: Survey, now: datetime.datetime, policy: Policy
) -> tuple[Answer, ...]:
    """Ask each target once, one after the other; each takes at most the probe's own deadline."""
    return tuple(judge(target, probe.served(target.endpoint), survey, now, policy) for target in asked)


def judge(target: Target, served: Served, survey: Survey, now: datetime.datetime, policy: Policy) -> Answer:
    """What an answer means."""
    if not served.der:
        return Answer(target, None, (_silent(target, served),))
    from nodeagent.certs import x509  # noqa: PLC0415 - cryptography, by need

    try:
        found = x509.certificate(served.der)
    except ValueError as error:
        return Answer(target, None, (_finding(target, Code.PROBE_FAILED, Severity.HIGH, f"what it serves {error}"),))
    judged = _of_loopback(target, found, now, policy) if target.is_loopback else _of_file(target, found, survey, now)
    return Answer(target, found, tuple(judged))


def _finding(target: Target, code: Code, severity: Severity, message: str, advice: str = "") -> Finding:
    return Finding(target.label, code, severity, message, advice)


def _silent(target: Target, served: Served) -> Finding:
    if served.closed:
        advice = f"see whether {target.component} runs, and where it listens"
        return _finding(target, Code.NOT_LISTENING, Severity.WARNING, "the port is closed", advice)
    return _finding(target, Code.PROBE_FAILED, Severity.WARNING, served.problem or "no certificate was served")


def _of_loopback(target: Target, found: Certificate, now: datetime.datetime, policy: Policy) -> Iterator[Finding]:
    if not _LOOPBACK_CERTIFICATE.fullmatch(found.common_name):
        message = f"serves {found.common_name or found.subject!r}, which is no loopback certificate"
        yield _finding(target, Code.LOOPBACK_UNEXPECTED, Severity.WARNING, message, "see what listens on that port")
        return
    remaining = found.not_after - now
    warn, alarm = policy.stages(found.lifetime)
    if remaining > warn:
        return
    severity = Severity.CRITICAL if state(found, now) is State.EXPIRED else Severity.WARNING
    if severity is Severity.WARNING and remaining <= alarm:
        severity = Severity.HIGH
    verb = "ended" if severity is Severity.CRITICAL else "ends"
    message = f"its loopback certificate {verb} {found.not_after:%Y-%m-%d %H:%M} UTC"
    advice = f"restart {target.component}, one node at a time: it makes a new one as it starts"
    yield _finding(target, Code.LOOPBACK_EXPIRING, severity, message, advice)


def _of_file(target: Target, found: Certificate, survey: Survey, now: datetime.datetime) -> Iterator[Finding]:
    if state(found, now) is State.EXPIRED:
        message = f"serves a certificate that expired {found.not_after:%Y-%m-%d %H:%M} UTC"
        yield _finding(target, Code.EXPIRED, Severity.CRITICAL, message, f"renew {target.path}")
    on_disk = survey.leaf(target.path)
    if on_disk is not None and on_disk.fingerprint != found.fingerprint:
        message = f"serves serial {found.serial}, and {target.path} holds serial {on_disk.serial}"
        advice = f"restart {target.component} if it does not take up the file by itself"
        yield _finding(target, Code.SERVED_DIFFERS, Severity.HIGH, message, advice)
