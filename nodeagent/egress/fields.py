"""Reads the fields of an object that people write, and gathers what is wrong with them.

Invariant: a read never raises and always gives a value of its type; what was wrong is told once, at `settle`.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from nodeagent.errors import Problem, Rejected

_OPERATORS: Final = ("In", "NotIn", "Exists", "DoesNotExist")


class Fields:
    """The fields below `path` of `subject`; those of inner objects share its problems."""

    def __init__(self, subject: str, path: str, value: Any, problems: list[Problem] | None = None) -> None:
        self._subject, self._path = subject, path
        self._problems: list[Problem] = [] if problems is None else problems
        self.value: Mapping[str, Any] = value if isinstance(value, Mapping) else {}
        if not isinstance(value, Mapping | None):
            self.complain("", "is not an object")

    def complain(self, name: str, message: str, advice: str = "") -> None:
        path = f"{self._path}.{name}" if name else self._path
        self._problems.append(Problem(self._subject, path, message, advice))

    def settle(self) -> None:
        """Raises Rejected if anything was wrong."""
        if self._problems:
            raise Rejected(self._problems)

    def says(self, *names: str) -> bool:
        """Whether any of these fields has something in it."""
        return any(self.value.get(name) for name in names)

    def text(self, name: str, *, required: bool = False) -> str:
        value = self.value.get(name)
        if value is not None and not isinstance(value, str):
            self.complain(name, "is not a string")
        elif required and not value:
            self.complain(name, "is missing")
        return value if isinstance(value, str) else ""

    def flag(self, name: str) -> bool:
        value = self.value.get(name, False)
        if not isinstance(value, bool):
            self.complain(name, f"is {value!r}, neither true nor false")
        return value is True

    def choice(self, name: str, choices: Sequence[str]) -> str:
        """One of `choices`, the first where nothing is said."""
        value = self.value.get(name) or choices[0]
        if value not in choices:
            self.complain(name, f"is {value!r}", f"choose one of {', '.join(choices)}")
        return str(value)

    def number(self, name: str, default: int, least: int, most: int) -> int:
        value = self.value.get(name, default)
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            self.complain(name, f"is {value!r}", f"give a whole number from {least} to {most}")
            return default
        return value

    def inner(self, name: str) -> Fields:
        return Fields(self._subject, f"{self._path}.{name}", self.value.get(name), self._problems)

    def each(self, name: str) -> Iterator[Fields]:
        """The objects of a list."""
        for index, value in enumerate(self._list(name)):
            yield Fields(self._subject, f"{self._path}.{name}[{index}]", value, self._problems)

    def objects(self, name: str) -> Iterator[Mapping[str, Any]]:
        for each in self.each(name):
            yield each.value

    def texts(self, name: str) -> tuple[str, ...]:
        """A list of different strings."""
        return tuple(value for _, value in self._texts(name))

    def addresses(self, name: str) -> tuple[str, ...]:
        """A list of addresses; an entry may be an IPv4 and an IPv6 address with a comma between them."""
        found = []
        for path, value in self._texts(name):
            try:
                found.append(",".join(str(ipaddress.ip_address(part.strip())) for part in value.split(",")))
            except ValueError:
                self.complain(path, f"{value!r} is no IP address")
        return tuple(found)

    def networks(self, name: str) -> tuple[str, ...]:
        """A list of networks and single addresses, written as the northbound database has them."""
        found = []
        for path, value in self._texts(name):
            try:
                network = ipaddress.ip_network(value, strict=False)
            except ValueError as error:
                self.complain(path, f"{value!r} is no network: {error}")
                continue
            found.append(str(network if "/" in value else network.network_address))
        return tuple(found)

    def selector(self, name: str) -> Mapping[str, Any] | None:
        """A label selector that selects by something; None where it is not given."""
        value = self.value.get(name)
        if value is None:
            return None
        inner = self.inner(name)
        if "matchLabels" not in inner.value and "matchExpressions" not in inner.value:
            inner.complain("", "says nothing", "give matchLabels or matchExpressions")
        for expression in inner.each("matchExpressions"):
            expression.requirement()
        return inner.value

    def requirement(self) -> None:
        """Look at one of a selector's matchExpressions."""
        self.text("key", required=True)
        operator = self.choice("operator", _OPERATORS)
        if operator in _OPERATORS[:2] and not self.texts("values"):
            self.complain("values", f"is empty, which {operator} does not allow")

    def _texts(self, name: str) -> Iterator[tuple[str, str]]:
        seen = set()
        for index, value in enumerate(self._list(name)):
            path = f"{name}[{index}]"
            if not isinstance(value, str) or not value:
                self.complain(path, "is not a string")
            elif value in seen:
                self.complain(path, f"names {value} again")
            else:
                seen.add(value)
                yield path, value

    def _list(self, name: str) -> Sequence[Any]:
        value = self.value.get(name)
        if value is None:
            return ()
        if not isinstance(value, list):
            self.complain(name, "is not a list")
            return ()
        return value
