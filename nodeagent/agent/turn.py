"""Whose turn it is among the nodes of a cluster to do what one node at a time may do, by a Lease of its own.

Invariant: the Lease is held for as long as the work lasts, a reboot included: nobody takes it from a node that is down
for less than `ABSENCE`. It bears the node's name, so that the agent of the next boot can give it back.
"""

from __future__ import annotations

import logging
import random
import threading
from typing import TYPE_CHECKING, Final

from nodeagent.errors import NodeAgentError, Transient

if TYPE_CHECKING:  # the API's client, only in a cluster
    from nodeagent.agent.jobs import Context
    from nodeagent.kube.connection import Connection
    from nodeagent.kube.leases import Election, Seat, Sighting

_log = logging.getLogger(__name__)

ABSENCE: Final = 900.0  # seconds that a node may be away with its turn, until another takes it
_LOOK: Final = 3.0  # seconds for a look whether it is ours


class Turn:
    """The turn of the node `node` by the Lease `lease`; `doing` says what another does while it has its turn.

    Without a `connection` nobody can say whose turn it is.
    """

    def __init__(self, connection: Connection | None, namespace: str, lease: str, node: str, doing: str) -> None:
        self._connection = connection
        self._namespace = namespace
        self._lease = lease
        self._node = node
        self._doing = doing
        self._election: Election | None = None
        self._sighting: Sighting | None = None

    @classmethod
    def of(cls, context: Context, lease: str, doing: str) -> Turn:
        """The turn of the node that a job of the daemon's works on."""
        settings, member = context.place.settings, context.membership
        connection = member.connection if member is not None else None
        return cls(connection, settings.coordinator.namespace, lease, settings.node_name, doing)

    @property
    def held(self) -> bool:
        """It is surely ours now."""
        return self._election is not None and self._election.leading

    def ours(self) -> bool:
        """It is ours, be it since the boot before; not where nobody can say so."""
        if self._election is not None or self._connection is None:
            return self._election is not None
        from nodeagent.kube.leases import holder  # noqa: PLC0415 - the API's client, only in a cluster

        try:
            return holder(self._connection, self._seat(), _LOOK) == self._node
        except (NodeAgentError, OSError) as error:
            _log.warning("nobody can say whose turn it is", extra={"lease": self._lease, "reason": str(error)})
            return False

    def take(self, seconds: float) -> str:
        """Take our turn: "" once it is ours, or why nobody can say whose it is.

        Transient if it is another node's after `seconds`.
        """
        if self._connection is None:
            return "there is no cluster to ask"
        if self.held:
            return ""
        from nodeagent.kube.leases import Election, Terms  # noqa: PLC0415 - the API's client, by need

        self._close()
        changed = threading.Event()
        chance = random.Random()  # noqa: S311 - jitter, no secret
        election = Election(self._connection, self._seat(), changed.set, changed.set, chance, Terms(ABSENCE))
        election.sighting = self._sighting or election.sighting
        election.start()
        changed.wait(seconds)
        if election.leading:
            self._election = election
            return ""
        election.close()
        self._sighting = election.sighting  # or a node that never comes back would have its turn for ever
        if problems := election.problems():
            return "; ".join(problems)
        raise Transient(f"node {election.holder} {self._doing}, and one does so at a time")

    def give_back(self) -> None:
        """Let another have its turn, be it ours since the boot before, or since before the API server went away."""
        held, ours = self.held, self.ours()
        self._close()  # which gives back what is held
        if ours and not held:
            self._release()

    def _release(self) -> None:
        if self._connection is None:
            return
        from nodeagent.kube.leases import release  # noqa: PLC0415 - the API's client, only in a cluster

        try:
            release(self._connection, self._seat(), _LOOK)
        except (NodeAgentError, OSError) as error:  # it runs out by itself
            _log.warning("the turn could not be given back", extra={"lease": self._lease, "reason": str(error)})

    def _close(self) -> None:
        if self._election is not None:
            self._election.close()
            self._election = None

    def _seat(self) -> Seat:
        from nodeagent.kube.leases import Seat  # noqa: PLC0415 - the API's client, only in a cluster

        return Seat(self._namespace, self._lease, self._node)
