"""A gateway's part as a file has it: what an administrator, or a coordinator, writes for one node. Pure."""

from __future__ import annotations

from typing import Any, Final

from nodeagent.egress.fields import Fields
from nodeagent.egress.node.part import GatewayPart, Leg, Timing

_MILLISECONDS: Final = (10, 60_000)
_KNOWN: Final = frozenset(
    {"gateway", "port", "mac", "mtu", "underlay", "inside", "outside", "keepSource", "routers", "bfd"}
)


def part_of(document: Any, where: str) -> GatewayPart:
    """The part that a document describes; Rejected with everything that is wrong, by path.

    `gateway` is namespace/name, `port` the logical switch port; `inside` and `outside` list {address, gateway}, the
    address with its prefix length; `keepSource` lists networks, `routers` the other ends of BFD sessions.
    """
    fields = Fields(where, "$", document)
    for name in sorted(fields.value.keys() - _KNOWN):
        fields.complain(name, "is not known", f"known are {', '.join(sorted(_KNOWN))}")
    texts = {name: fields.text(name, required=True) for name in ("gateway", "port", "mac", "underlay")}
    mtu = fields.number("mtu", 1400, 1280, 65535)
    inside, outside = _legs(fields, "inside"), _legs(fields, "outside")
    kept, routers = frozenset(fields.networks("keepSource")), frozenset(fields.addresses("routers"))
    bfd = _timing(fields.inner("bfd")) if fields.says("bfd") else None
    fields.settle()
    owner, port, mac, underlay = texts.values()
    return GatewayPart(owner, port, mac, mtu, underlay, inside, outside, kept, routers, bfd)


def _legs(fields: Fields, side: str) -> tuple[Leg, ...]:
    return tuple(
        Leg(each.text("address", required=True), each.text("gateway", required=True)) for each in fields.each(side)
    )


def _timing(fields: Fields) -> Timing:
    least, most = _MILLISECONDS
    return Timing(
        fields.number("minRX", 1000, least, most),
        fields.number("minTX", 1000, least, most),
        fields.number("multiplier", 3, 1, 255),
    )
