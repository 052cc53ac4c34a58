"""What attaches an instance of a gateway to the logical switch: its port, and the address of its device. Pure.

Invariant: both follow from the gateway and its node alone. An instance that moves gets another port, so that the node
which it leaves holds nothing any more that the new one needs.
"""

from __future__ import annotations

import hashlib
from typing import Final

_LOCAL: Final = 0x0A  # a station's address that no vendor has given (IEEE 802, section 8.2.2)


def port(gateway: str, node: str) -> str:
    """The name of the logical switch port; `gateway` is namespace/name."""
    namespace, _, name = gateway.partition("/")
    return f"egress.{namespace}.{name}.{node}"


def mac(port: str) -> str:
    """The hardware address of that port, which stays what it is."""
    return ":".join(f"{byte:02x}" for byte in (_LOCAL, *hashlib.sha256(port.encode()).digest()[:5]))
