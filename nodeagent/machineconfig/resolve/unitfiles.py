"""The files of a unit on a node: its own or its template's, and its dropins (systemd.unit(5), "Unit File Load Path").

Invariant: looking changes nothing. A unit file that is a link (a mask, an alias) has no text of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from nodeagent.changes.units import UNIT_DIRECTORY
from nodeagent.machineconfig.enablement import template_of
from nodeagent.machineconfig.node import Node
from nodeagent.observed.files import FileType

MASK: Final = "/dev/null"  # what a masked unit's link points to

# Where systemd looks, strongest first.
_UNIT_PATH: Final = (
    UNIT_DIRECTORY,
    "/run/systemd/system",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
)
_LIMIT: Final = 1 << 20  # bytes of a unit or preset file
_NONE: Final[Mapping[str, str]] = {}


class UnitFiles:
    """Those of `node`, below `texts` (by unit) and `dropins` (by unit and name) that a configuration brings.

    Each directory of units is listed once: make another one to see what has changed since.
    """

    def __init__(
        self, node: Node, texts: Mapping[str, str] = _NONE, dropins: Mapping[str, Mapping[str, str]] | None = None
    ) -> None:
        self._node = node
        self._texts = texts
        self._dropins = dropins or {}
        self._listed: dict[str, frozenset[str]] = {}

    def find(self, name: str) -> tuple[str, str] | None:
        """Path and text of the unit's file, or of its template; what the configuration brings comes first."""
        for candidate in dict.fromkeys((name, template_of(name) or name)):
            if candidate in self._texts:
                return f"{UNIT_DIRECTORY}/{candidate}", self._texts[candidate]
            for path in _places(candidate):
                found = text(self._node, path)
                if found is not None:
                    return path, found
        return None

    def dropins(self, name: str) -> list[str]:
        """Texts of the unit's dropins, in the order in which systemd reads them; [Install] counts there too."""
        texts = dict(self._dropins.get(name, _NONE))
        for base in _UNIT_PATH:
            if f"{name}.d" not in self._names(base):
                continue
            directory = f"{base}/{name}.d"
            for entry in self._node.entries(directory):
                if entry.endswith(".conf") and entry not in texts:
                    texts[entry] = text(self._node, f"{directory}/{entry}") or ""
        return [found for _, found in sorted(texts.items())]

    def _names(self, directory: str) -> frozenset[str]:
        if directory not in self._listed:
            self._listed[directory] = frozenset(self._node.entries(directory))
        return self._listed[directory]

    def mask(self, name: str) -> str:
        """The path of the link that masks the unit, "" if none does; a stronger unit file hides a mask as well."""
        states = self._node.states(_places(name))
        strongest = next((path for path in _places(name) if states[path].type is not FileType.ABSENT), "")
        return strongest if strongest and states[strongest].target == MASK else ""


def _places(name: str) -> tuple[str, ...]:
    return tuple(f"{directory}/{name}" for directory in _UNIT_PATH)


def text(node: Node, path: str) -> str | None:
    """The text of a unit file; None if there is none, or if it is a link (masked, or an alias)."""
    if node.states([path])[path].type is not FileType.FILE:
        return None
    data = node.read(path, _LIMIT)
    return None if data is None else data.decode("utf-8", "replace")
