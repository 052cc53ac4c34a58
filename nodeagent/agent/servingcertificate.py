"""Has the cluster sign the kubelet's serving certificate where the kubelet does not ask for one itself.

Invariant: the node asks as itself, so the signer's rules hold for it as for any kubelet. The new key lives in memory
until its certificate is there; an agent that starts anew asks anew. One request waits at a time, and one that came to
nothing is followed by another only after a while. One that the kubelet did not come back with is not tried again.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Final

from nodeagent.agent.certificates import Inspector
from nodeagent.agent.jobs import Context
from nodeagent.agent.kubeletidentity import as_kubelet
from nodeagent.agent.rotation import Proposal, Rotation
from nodeagent.certs import serving
from nodeagent.certs.approval import GROUP, USER
from nodeagent.certs.catalog import CLUSTER_CA, KUBELET_SELF_SIGNED, SERVING_SIGNER
from nodeagent.certs.contents import contents
from nodeagent.certs.facts import Certificate
from nodeagent.certs.findings import Code, Finding, Severity
from nodeagent.certs.issue import Issued, serving_request
from nodeagent.certs.monitor import Look
from nodeagent.certs.signing import names_of
from nodeagent.certs.survey import Survey
from nodeagent.certs.swap import Renewed
from nodeagent.certs.turn import postponed
from nodeagent.engine.controller import Backoff
from nodeagent.engine.executor import Progress, Result
from nodeagent.errors import Broken, NodeAgentError, Transient
from nodeagent.kube import signing
from nodeagent.kube.connection import Connection
from nodeagent.kube.errors import Missing

_log = logging.getLogger(__name__)

_AGAIN: Final = Backoff(300.0, 6 * 3600.0)  # seconds until the next request after one that came to nothing
_PATIENCE: Final = 300.0  # seconds that a request waits until people are told

Asking = Callable[[], AbstractContextManager[Connection]]


@dataclass(frozen=True)
class _Pending:
    """A request that waits: its name, since when (monotonic), what it asks for, and the key that it is for (PEM)."""

    name: str
    since: float
    names: frozenset[str]
    key: bytes = field(repr=False)


class ServingCertificate:
    """Looks after the certificate on the thread of the certificates' loop. `node` is the Node, None if not yet seen."""

    def __init__(self, context: Context, inspector: Inspector, node: Callable[[], Mapping[str, Any] | None]) -> None:
        self._place = context.place
        self._events = context.events
        self._inspector = inspector
        self._rotation = Rotation(context.place, inspector, context.handover)
        self._node = node
        self._chance = random.Random()  # noqa: S311 - jitter, no secret
        self._pending: _Pending | None = None
        self._failures = 0
        self._not_before = 0.0
        self._told: tuple[Finding, ...] = ()
        self._given_up: object = None  # what was served and wanted when a swap was taken back

    def tend(self, look: Look) -> tuple[Finding, ...]:
        """Go a step on with what is wanted; what is to be said about it."""
        survey, node = self._inspector.survey(), self._node()
        current = serving.replaceable(survey)
        if current is None or node is None or not self._is_wanted(current, survey, node, look):
            self._pending, self._failures, self._told = None, 0, ()
        elif time.monotonic() >= self._not_before and self._given_up != (current, names_of(node)):
            self._told = self._attempt(current, survey, node, look)
        return self._told

    def _is_wanted(self, current: Certificate, survey: Survey, node: Mapping[str, Any], look: Look) -> bool:
        authorities, rule = survey.authorities[CLUSTER_CA], self._inspector.policy.rule
        names, signed_by = names_of(node), self._inspector.library.signed_by
        left = current.not_after - look.now
        return bool(
            names
            and serving.reason(current, authorities, names, signed_by, rule, look.now)
            and not postponed(look.now, left, self._place.settings.certs.windows, ())
        )

    def _attempt(
        self, current: Certificate, survey: Survey, node: Mapping[str, Any], look: Look
    ) -> tuple[Finding, ...]:
        try:
            with as_kubelet(self._place, self._inspector.library) as connection:
                reply = self._asked(connection, names_of(node))
            if not reply.certificate:
                return self._waiting()
            self._put_in_place(reply.certificate, current, survey, look)
        except NodeAgentError as error:
            self._put_off()
            message = f"no certificate of the cluster's could be had for the kubelet: {error}"
            return (Finding(KUBELET_SELF_SIGNED, Code.RENEWAL_FAILED, Severity.WARNING, message),)
        self._failures = 0
        return ()

    def _asked(self, connection: Connection, names: frozenset[str]) -> signing.Answer:
        """What came of the request that waits; of none, or one for other names, nothing, and it is asked."""
        waiting = self._pending
        if waiting is None or waiting.names != names:
            made = _request(self._place.settings.node_name, names)
            name = signing.ask(connection, made.certificate, SERVING_SIGNER, serving.USAGES)
            self._pending = _Pending(name, time.monotonic(), names, made.key)
            _log.info("asked for a serving certificate", extra={"request": name})
            return signing.Answer()
        try:
            reply = signing.answer(connection, waiting.name)
        except Missing:
            self._pending = None
            raise Transient(f"the request {waiting.name} is gone: nobody approved it in time") from None
        if reply.refused:
            self._pending = None
            raise Broken(f"the request {waiting.name} was {reply.refused}")
        return reply

    def _waiting(self) -> tuple[Finding, ...]:
        waiting = self._pending
        if waiting is None:
            return ()
        waits = time.monotonic() - waiting.since
        severity = Severity.WARNING if waits > _PATIENCE else Severity.INFO
        message = f"the request {waiting.name} for a certificate of the cluster's waits for its approval"
        advice = f"`kubectl certificate approve {waiting.name}`, or have the coordinator approve such requests"
        return (Finding(KUBELET_SELF_SIGNED, Code.KUBELET_SERVING_PENDING, severity, message, advice),)

    def _put_in_place(self, certificate: bytes, current: Certificate, survey: Survey, look: Look) -> None:
        """Verify what was signed, swap the pair, and restart the kubelet; Broken if that cannot be."""
        waiting = self._pending
        if waiting is None:  # nothing is signed that was not asked for
            raise AssertionError(KUBELET_SELF_SIGNED)
        found, library = contents(certificate), self._inspector.library
        name, authorities = self._place.settings.node_name, survey.authorities[CLUSTER_CA]
        key = contents(waiting.key)
        wrong = serving.complaints(found, key, name, waiting.names, authorities, library.signed_by, look.now)
        if wrong:
            self._pending = None
            raise Broken(f"what was signed for {waiting.name} cannot be used: {'; '.join(wrong)}")
        new = found.certificates[0]
        signed = Renewed(serving.renewal(current, new), Issued(certificate, waiting.key), new.fingerprint)
        proposal = Proposal(survey, (), look.now, signed=(signed,))
        with self._place.store.locked(self._place.settings.apply.lock_timeout):
            self._place.job.recover()
            outcome = self._rotation.renew(proposal, _silent)
        self._pending = None
        if outcome.result is not Result.APPLIED:
            self._given_up = current, waiting.names
            self._events.record("Warning", "CertificateRenewalUndone", f"{outcome.why}; everything is as it was before")
            raise Broken(outcome.why)
        self._events.record("Normal", "CertificatesRenewed", f"the cluster has signed {KUBELET_SELF_SIGNED}")

    def _put_off(self) -> None:
        self._failures += 1
        self._not_before = time.monotonic() + _AGAIN.delay(self._failures, self._chance)


def _request(node: str, names: frozenset[str]) -> Issued:
    try:
        return serving_request(USER + node, GROUP, sorted(names))
    except ValueError as error:  # a name that is too long, or holds what no certificate can
        raise Broken(f"the Node's name and addresses make no request: {error}") from None


def _silent(_: Progress) -> None:
    """The log and the Event tell the outcome."""
