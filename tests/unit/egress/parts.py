"""Parts of gateways, as a coordinator would hand them out."""

from __future__ import annotations

from typing import Any

from nodeagent.egress.node.part import GatewayPart, Leg, Timing

TIMING = Timing(min_rx=100, min_tx=100, multiplier=3)
V4 = {"inside": (Leg("10.20.0.11/24", "10.20.0.1"),), "outside": (Leg("192.0.2.11/24", "192.0.2.1"),)}
DUAL = {
    "inside": (*V4["inside"], Leg("fd00:20::b/64", "fd00:20::1")),
    "outside": (*V4["outside"], Leg("2001:db8::b/64", "2001:db8::1")),
}


def part(**other: Any) -> GatewayPart:
    """A gateway of both versions of IP, but for what is said otherwise."""
    told: dict[str, Any] = {
        "owner": "default/gw",
        "port": "gw-0.default",
        "mac": "0A:00:00:00:20:0b",
        "mtu": 1400,
        "underlay": "ext0",
        "peers": frozenset({"10.20.0.1", "fd00:20::1"}),
        "bfd": TIMING,
    }
    return GatewayPart(**told | DUAL | other)
