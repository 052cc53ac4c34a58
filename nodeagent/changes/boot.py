"""Changes to what the next boot will run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nodeagent.changes.files import Phase


@dataclass(frozen=True, slots=True)
class RegenerateBootMenu:
    """Have the boot loader's own tool write its menu from its configuration files again: idempotent, forward only.

    `command` is the tool with its arguments, as paths on the node.
    """

    command: tuple[str, ...]

    reversible = False

    @property
    def order(self) -> tuple[int, str]:
        return Phase.ACTION, "0"

    def describe(self) -> str:
        return f"write the boot menu again ({' '.join(self.command)})"

    def facts(self) -> dict[str, Any]:
        return {"change": "RegenerateBootMenu", "command": list(self.command), "lasting": True}

    @classmethod
    def from_facts(cls, facts: Mapping[str, Any]) -> RegenerateBootMenu:
        return cls(tuple(facts["command"]))
