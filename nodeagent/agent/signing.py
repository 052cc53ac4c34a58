"""The coordinator's role `certificates`: wires the approver of kubelets' serving certificates to the API server."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Final

from nodeagent.agent.roles import Duty, Office
from nodeagent.certs.approvals import APPROVALS, COLUMNS, series
from nodeagent.certs.approver import Approver, Terms
from nodeagent.certs.catalog import SERVING_SIGNER
from nodeagent.certs.signing import SigningRequest, names_of
from nodeagent.kube import signing
from nodeagent.kube.collection import Collection
from nodeagent.kube.connection import Connection
from nodeagent.kube.events import announcement
from nodeagent.kube.reflector import Scope
from nodeagent.telemetry.metrics.tables import Tables, rows

_KIND: Final = "CertificateSigningRequest"


class KubeRequests:
    """The requests for kubelet-serving and the names of the Nodes, from memory; `wake` is called when they change."""

    def __init__(self, connection: Connection, wake: Callable[[], None]) -> None:
        chance = random.Random()  # noqa: S311 - jitter, no secret
        serving = Scope(signing.REQUESTS, {"fieldSelector": f"spec.signerName={SERVING_SIGNER}"})
        self._connection = connection
        self._requests = Collection(connection, serving, SigningRequest.of, wake, chance)
        self._nodes = Collection(connection, Scope("/api/v1/nodes"), names_of, wake, chance)
        self.follows = (self._requests, self._nodes)

    def requests(self) -> Iterable[SigningRequest]:
        return self._requests.snapshot().values()

    def nodes(self) -> Mapping[str, frozenset[str]]:
        return {name: names for (_, name), names in self._nodes.snapshot().items()}

    def approve(self, request: SigningRequest, reason: str, message: str) -> bool:
        seen = request.name, request.uid, request.version
        return signing.approve(self._connection, seen, (reason, message), datetime.now(UTC))

    def tell(self, request: SigningRequest, message: str) -> None:
        told = "Warning", "ServingCertificateNotApproved", message
        announcement(self._connection, _KIND, request.name, told, datetime.now(UTC), request.uid)


def certificates(office: Office) -> Duty:
    """The role of the approver."""
    wanted = office.settings.coordinator
    cluster = KubeRequests(office.connection, office.changed)
    approvals = office.registry.counter(APPROVALS, "Serving certificates that were approved")
    tables = Tables(office.registry, COLUMNS)
    terms = Terms(wanted.approve_serving, wanted.serving_longest)
    approver = Approver(cluster, terms, office.leading, lambda: datetime.now(UTC), approvals.inc)

    def tick() -> float:
        try:
            return approver.tick()
        finally:
            tables.show(rows(series(approver.verdicts)))

    return Duty(cluster.follows, tick)
