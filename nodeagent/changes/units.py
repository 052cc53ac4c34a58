"""Changes that systemd carries out. They go forward only: each may be done again, none is taken back by itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nodeagent.changes.files import Phase

UNIT_DIRECTORY = "/etc/systemd/system"  # of the administrator's units: systemd.unit(5)


@dataclass(frozen=True, slots=True)
class DaemonReload:
    """Have systemd read its unit files again."""

    reversible = False

    @property
    def order(self) -> tuple[int, str]:
        return Phase.ACTION, "0"

    def describe(self) -> str:
        return "reload systemd's unit files"

    def facts(self) -> dict[str, Any]:
        return {"change": "DaemonReload"}


@dataclass(frozen=True, slots=True)
class _UnitAction:
    unit: str

    reversible = False
    rank = "1"
    words = ""

    @property
    def order(self) -> tuple[int, str]:
        return Phase.ACTION, self.rank + self.unit

    def describe(self) -> str:
        return f"{self.words} {self.unit}"

    def facts(self) -> dict[str, Any]:
        return {"change": type(self).__name__, "unit": self.unit}


class StopUnit(_UnitAction):
    """Stop a unit and wait until it is down."""

    __slots__ = ()
    rank, words = "1", "stop"


class ReloadUnit(_UnitAction):
    """Have a running unit read its configuration again; a unit that is not running stays as it is."""

    __slots__ = ()
    rank, words = "2", "reload"


class RestartUnit(_UnitAction):
    """Restart a unit, or start it, and wait until it is up."""

    __slots__ = ()
    rank, words = "3", "restart"


@dataclass(frozen=True, slots=True)
class Reboot:
    """Reboot the node: the point of no return, always last."""

    why: str

    reversible = False

    @property
    def order(self) -> tuple[int, str]:
        return Phase.REBOOT, ""

    def describe(self) -> str:
        return f"reboot the node ({self.why})"

    def facts(self) -> dict[str, Any]:
        return {"change": "Reboot", "why": self.why}


_UNIT_ACTIONS: dict[str, type[StopUnit | ReloadUnit | RestartUnit]] = {
    "StopUnit": StopUnit,
    "ReloadUnit": ReloadUnit,
    "RestartUnit": RestartUnit,
}

UnitChange = DaemonReload | StopUnit | ReloadUnit | RestartUnit | Reboot


def from_facts(facts: Mapping[str, Any]) -> UnitChange:
    """The change that `facts()` described; KeyError for anything else."""
    match facts["change"]:
        case "DaemonReload":
            return DaemonReload()
        case "Reboot":
            return Reboot(facts["why"])
        case name:
            return _UNIT_ACTIONS[name](facts["unit"])
