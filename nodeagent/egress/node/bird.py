"""BIRD as the gateway's BFD speaker: its configuration, and what it says of its sessions. Pure.

Invariant: the same part gives the same text, so a speaker is told to read its configuration again only when there is
another one. Source: BIRD 2 user's guide, section BFD; its reply "show bfd sessions" has the code 1020.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass

from nodeagent.egress.node.dataplane import INSIDE
from nodeagent.egress.node.part import GatewayPart, Timing

_CODE = "1020"
_CODED = 5  # bytes of a code and what follows it
_REFUSALS = ("8", "9")  # run-time and parse-time errors
_HEADING = "IP address"
_COLUMNS = 6


@dataclass(frozen=True)
class Session:
    """With the router `peer`: `state` is BIRD's word in lower case, and the times are seconds."""

    peer: str
    link: str
    state: str
    interval: float
    detection: float

    @property
    def up(self) -> bool:
        return self.state == "up"


def configuration(part: GatewayPart, timing: Timing) -> str:
    """What BIRD reads: one session with each router, in the versions of IP that the gateway has."""
    legs = {leg.version: leg.host for leg in part.inside}
    sessions = [
        f'  neighbor {peer} dev "{INSIDE}" local {legs[peer.version]};'
        for peer in sorted(map(ipaddress.ip_address, part.peers), key=lambda each: (each.version, int(each)))
        if peer.version in legs
    ]
    router = legs.get(4) or str(ipaddress.IPv4Address(int(part.identity[:8], 16) | 1))  # an identifier, not an address
    return "\n".join(
        (f"router id {router};", "protocol device {}", "protocol bfd {", *_timed(timing), *sessions, "}\n")
    )


def sessions(reply: str) -> tuple[Session, ...]:
    """The sessions in the answer to "show bfd sessions", sorted; ValueError with what BIRD says instead."""
    rows = [line for line in _lines(reply) if not line.startswith(_HEADING)]
    return tuple(sorted(map(_session, rows), key=lambda each: each.peer))


def _timed(timing: Timing) -> tuple[str, ...]:
    return (
        f'  interface "{INSIDE}" {{',
        f"    min rx interval {timing.min_rx} ms;",
        f"    min tx interval {timing.min_tx} ms;",
        f"    idle tx interval {timing.min_tx} ms;",
        f"    multiplier {timing.multiplier};",
        "  };",
    )


def _lines(reply: str) -> Iterator[str]:
    """The text of the lines that have our code: the first bears it, those after it begin with a blank."""
    ours = False
    for line in filter(None, reply.splitlines()):
        if line.startswith(_REFUSALS):
            raise ValueError(f"BIRD said {line[_CODED:]!r}")
        if not line.startswith(" "):
            ours = line.startswith(_CODE)
        elif ours:
            yield line[1:]


def _session(line: str) -> Session:
    fields = line.split()
    if len(fields) < _COLUMNS:
        raise ValueError(f"BIRD said {line!r} where a session was expected")
    peer, link, state, *_, interval, detection = fields
    return Session(str(ipaddress.ip_address(peer)), link, state.lower(), float(interval), float(detection))
