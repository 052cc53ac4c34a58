"""IP addresses as a setting, with the length of their prefix or without.

Invariant: an address is kept in its canonical form, so that two spellings of one are equal.
"""

from __future__ import annotations

from dataclasses import dataclass

from nodeagent.settings.kinds import SettingError, quoted, string


@dataclass(frozen=True)
class IpAddresses:
    """Numeric IP addresses; `prefixed` ones have the length of their network's prefix ("10.0.0.100/24")."""

    prefixed: bool = False

    @property
    def form(self) -> str:
        return f'array of IP addresses{" with prefix lengths" if self.prefixed else ""}, or as text "ADDRESS,..."'

    def parse(self, text: str) -> tuple[str, ...]:
        return tuple(self._address(part.strip()) for part in text.split(",")) if text else ()

    def native(self, value: object) -> tuple[str, ...]:
        if not isinstance(value, list):
            raise SettingError(f"{quoted(value)} is not an array of addresses")
        return tuple(self._address(string(each)) for each in value)

    def show(self, value: tuple[str, ...]) -> str:
        return ",".join(value)

    def plain(self, value: tuple[str, ...]) -> list[str]:
        return list(value)

    def _address(self, text: str) -> str:
        import ipaddress  # noqa: PLC0415 - 4 ms that a command without addresses to check does not need

        try:
            if not self.prefixed:
                return str(ipaddress.ip_address(text))
            if "/" in text and text.rpartition("/")[2].isdecimal():
                return str(ipaddress.ip_interface(text))
        except ValueError as error:
            raise SettingError(f"{quoted(text)} is not an IP address: {error}") from error
        raise SettingError(f'{quoted(text)} has no prefix length: write it as in "10.0.0.100/24"')
