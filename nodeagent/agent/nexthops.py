"""The coordinator's word on all nexthops, for nodes that go by silence: a ConfigMap, which one writes and many read.

Invariant: it is written only when it says something new, and believed only while the Lease of the role shows that
somebody keeps it up to date.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection
from datetime import UTC, datetime
from typing import Final

from nodeagent.egress.bulletin import States, bulletin, last
from nodeagent.errors import NodeAgentError
from nodeagent.kube.connection import Connection, Patch
from nodeagent.kube.leases import Seat, renewed

_log = logging.getLogger(__name__)

CONFIG_MAP: Final = "nodeagent-egress-nexthops"
ROLE_LEASE: Final = "nodeagent-egress"
_KEY: Final = "nexthops.json"
_SURE: Final = 60.0  # seconds for which nobody is believed to have changed what we wrote
_FRESH: Final = 60.0  # seconds for which the role's Lease may not have been renewed
_PATIENCE: Final = 3.0


class NexthopWriter:
    """Writes the ConfigMap in `namespace`; it is there, as the deployment brings it. `clock` has monotonic seconds."""

    def __init__(self, connection: Connection, namespace: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._connection = connection
        self._path = _path(namespace)
        self._clock = clock
        self._written = ""
        self._sure_until = 0.0

    def publish(self, states: States) -> None:
        """Have it say this; what fails is told, and tried again with the next."""
        text = bulletin(states)
        if text == self._written and self._clock() < self._sure_until:
            return
        try:
            if _said(self._connection, self._path) != text:
                self._connection.patch(self._path, {"data": {_KEY: text}}, Patch.MERGE)
        except NodeAgentError as error:
            _log.warning("nodes cannot be told of nexthops", extra={"reason": str(error)})
        else:
            self._written, self._sure_until = text, self._clock() + _SURE


def last_nexthops(connection: Connection, namespace: str, own: Collection[str]) -> tuple[str, ...]:
    """Which of the addresses `own` are the last nexthop that works, as words; () where nobody can say so."""
    try:
        age = renewed(connection, Seat(namespace, ROLE_LEASE, ""), datetime.now(UTC), _PATIENCE)
        if age > _FRESH:
            _log.warning("no coordinator says whether other nexthops work", extra={"lease": ROLE_LEASE})
            return ()
        return last(_said(connection, _path(namespace)), own)
    except (NodeAgentError, OSError, ValueError) as error:
        _log.warning("nobody can say whether other nexthops work", extra={"reason": str(error)})
        return ()


def _said(connection: Connection, path: str) -> str:
    found = connection.get(path, deadline=_PATIENCE)
    return str((found.get("data") or {}).get(_KEY, "{}"))


def _path(namespace: str) -> str:
    return f"/api/v1/namespaces/{namespace}/configmaps/{CONFIG_MAP}"
