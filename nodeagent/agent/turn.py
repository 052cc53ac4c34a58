"""Whose turn it is among the nodes of a cluster to do what one node at a time may do, by a Lease of its own."""

from __future__ import annotations

import random
import threading
from typing import TYPE_CHECKING

from nodeagent.errors import Transient

if TYPE_CHECKING:  # the API's client, only in a cluster
    from nodeagent.agent.jobs import Context
    from nodeagent.kube.connection import Connection
    from nodeagent.kube.leases import Election


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

    def take(self, seconds: float) -> str:
        """Take our turn: "" once it is ours, or why nobody can say whose it is.

        Transient if it is another node's after `seconds`.
        """
        if self._connection is None:
            return "there is no cluster to ask"
        if self.held:
            return ""
        from nodeagent.kube.leases import Election, Seat  # noqa: PLC0415 - the API's client, only in a cluster

        self.give_back()
        changed = threading.Event()
        seat = Seat(self._namespace, self._lease, self._node)
        chance = random.Random()  # noqa: S311 - jitter, no secret
        election = Election(self._connection, seat, changed.set, changed.set, chance)
        election.start()
        changed.wait(seconds)
        if election.leading:
            self._election = election
            return ""
        election.close()
        if problems := election.problems():
            return "; ".join(problems)
        raise Transient(f"node {election.holder} {self._doing}, and one does so at a time")

    def give_back(self) -> None:
        """Let another have its turn."""
        if self._election is not None:
            self._election.close()
            self._election = None
