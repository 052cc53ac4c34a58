"""A node's egress gateways as metrics. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, Protocol

from nodeagent.egress.node.part import GatewayPart
from nodeagent.egress.node.speech import Speech

Labels = tuple[str, ...]

COLUMNS: Final[Mapping[str, tuple[str, Labels]]] = {
    "nodeagent_egress_local_session_up": (
        "1 while the gateway's own end of a BFD session is up",
        ("gateway", "router"),
    ),
    "nodeagent_egress_silent": ("1 while BFD of a gateway is silenced", ("gateway",)),
    "nodeagent_egress_forwarded_packets": ("Packets that a gateway has forwarded since it was built", ("gateway",)),
    "nodeagent_egress_connections": ("Connections that a gateway tracks", ("gateway",)),
    "nodeagent_egress_connections_limit": ("Connections that a gateway can track", ("gateway",)),
}


class Counted(Protocol):
    """What goes through a gateway."""

    @property
    def forwarded(self) -> int: ...

    @property
    def connections(self) -> int: ...

    @property
    def most(self) -> int: ...


def series(
    parts: Iterable[GatewayPart], heard: Speech, counted: Mapping[str, Counted]
) -> dict[str, list[tuple[Labels, float]]]:
    """The rows of each table of COLUMNS; `counted` is by gateway."""
    return {
        "nodeagent_egress_local_session_up": [
            ((owner, each.peer), float(each.up)) for owner, found in sorted(heard.sessions.items()) for each in found
        ],
        "nodeagent_egress_silent": [((part.owner,), float(part.owner in heard.silent)) for part in parts],
        "nodeagent_egress_forwarded_packets": [
            ((owner,), float(each.forwarded)) for owner, each in sorted(counted.items())
        ],
        "nodeagent_egress_connections": [
            ((owner,), float(each.connections)) for owner, each in sorted(counted.items())
        ],
        "nodeagent_egress_connections_limit": [((owner,), float(each.most)) for owner, each in sorted(counted.items())],
    }
