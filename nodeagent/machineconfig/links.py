"""The links in /etc/systemd/system by which units are enabled, as they stand on a node."""

from __future__ import annotations

from collections.abc import Mapping

from nodeagent.changes.units import UNIT_DIRECTORY
from nodeagent.machineconfig.node import Node
from nodeagent.observed.files import FileType

_LINK_DIRECTORIES = (".wants", ".requires", ".upholds")


def enablement_links(node: Node) -> dict[str, str]:
    """All links in /etc/systemd/system that enable units: path to target."""
    entries = node.entries(UNIT_DIRECTORY)
    paths = [f"{UNIT_DIRECTORY}/{name}" for name in entries if not name.endswith((*_LINK_DIRECTORIES, ".d"))]
    paths += [f"{directory}/{name}" for directory in link_directories(node) for name in node.entries(directory)]
    states = node.states(paths)
    return {path: state.target for path, state in states.items() if state.type is FileType.LINK}


def link_directories(node: Node) -> tuple[str, ...]:
    """The directories in /etc/systemd/system whose links pull units in."""
    names = node.entries(UNIT_DIRECTORY)
    return tuple(f"{UNIT_DIRECTORY}/{name}" for name in names if name.endswith(_LINK_DIRECTORIES))


def links_to(unit: str, links: Mapping[str, str]) -> list[str]:
    """Paths of the links that enable `unit`: in a .wants directory under its name, or an alias that points at it."""
    return sorted(path for path, target in links.items() if _enables(unit, path, target))


def _enables(unit: str, path: str, target: str) -> bool:
    directory, _, name = path.rpartition("/")
    if directory != UNIT_DIRECTORY:
        from nodeagent.machineconfig.enablement import template_of  # noqa: PLC0415 - not where no unit is managed

        return name == unit or template_of(name) == unit
    return name != unit and target.rpartition("/")[2] == unit
