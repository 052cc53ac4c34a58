"""Settings of the egress gateways that a node carries."""

from __future__ import annotations

from dataclasses import dataclass

from nodeagent.settings.kinds import HostPath, Switch, matching
from nodeagent.settings.quantities import Duration
from nodeagent.settings.record import setting


@dataclass(frozen=True)
class GatewaySettings:
    """Which gateways this node carries, and what they are plugged into. Times in seconds."""

    parts: str = setting(
        HostPath(optional=True), "", help="directory with a file (YAML or JSON) for each gateway; empty for none"
    )
    switch: str = setting(
        matching("remote (unix:PATH)", r"unix:/[^,\s]+"),
        "unix:/run/openvswitch/db.sock",
        help="database of this node's Open vSwitch",
    )
    bridge: str = setting(matching("name of a bridge", r"[^\s/:]{1,15}"), "br-int", help="the integration bridge")
    upstream: bool = setting(
        Switch(),
        True,
        help="silence BFD of a gateway whose routers outside answer neither ARP nor ND",
    )
    passage: bool = setting(
        Switch(),
        True,
        help="silence BFD of a gateway that forwards nothing of what comes to be forwarded",
    )
    detection: float = setting(
        Duration(0.1, 60.0),
        3.0,
        help="how long routers may take to miss a gateway that has fallen silent, where the coordinator programs none",
    )
    interval: float = setting(Duration(1.0, 3600.0), 10.0, help="time between two looks")
