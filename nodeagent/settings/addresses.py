"""Addresses to listen on.

Invariant: a host is a numeric IP address, so what is reachable from where does not hang on a resolver.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from nodeagent.settings.kinds import SettingError, quoted, string

_FORM = r"(?:\[([0-9A-Fa-f.]*:[0-9A-Fa-f:.]+)\]|([0-9.]+)):([0-9]{1,5})"


@dataclass(frozen=True)
class Address:
    """Where to listen: an IP address and a TCP port (0 lets the kernel choose)."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True)
class Listen:
    """An address to listen on; "" (None) for not listening."""

    loopback_only: bool = False

    @property
    def form(self) -> str:
        where = "loopback address" if self.loopback_only else "IP address"
        return f'{where} and port ("127.0.0.1:9468", "[::1]:9468"), or "" for none'

    def parse(self, text: str) -> Address | None:
        if not text:
            return None
        match = re.fullmatch(_FORM, text)
        if match is None or int(match[3]) > 65535:
            raise SettingError(f"{quoted(text)} is not an IP address and a port")
        address = Address(match[1] or match[2], int(match[3]))
        if not _is_loopback(_packed(address.host)) and self.loopback_only:
            raise SettingError(f"{quoted(text)} is not a loopback address")
        return address

    def native(self, value: object) -> Address | None:
        return self.parse(string(value))

    def show(self, value: Address | None) -> str:
        return "" if value is None else str(value)

    plain = show


def _packed(host: str) -> bytes:
    """The address in network order; SettingError if it is none."""
    import socket  # noqa: PLC0415 - 3 ms that a command without addresses to check does not need

    try:
        return socket.inet_pton(socket.AF_INET6 if ":" in host else socket.AF_INET, host)
    except OSError as error:
        raise SettingError(f"{quoted(host)} is not an IP address") from error


def _is_loopback(packed: bytes) -> bool:
    return packed[0] == 127 if len(packed) == 4 else packed == bytes(15) + b"\x01"
