"""Which MachineConfigs each part of a merged config came from, and how problems of it are told in their names. Pure.

Parts are called "file:/etc/x", "directory:/p", "link:/p", "unit:a.service", "dropin:a.service/10-x.conf", "user:boot",
"ssh:boot:ssh-ed25519 …", "karg:quiet", and devices likewise ("disk:/dev/vda").
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from nodeagent.errors import Problem
from nodeagent.machineconfig.api import MACHINE_CONFIG, MachineConfig
from nodeagent.machineconfig.ignition.findings import Finding
from nodeagent.machineconfig.ignition.model import Config

Provenance = Mapping[str, tuple[str, ...]]

ANNOTATION: Final = "machineconfiguration.alauda.io/provenance"

_ROOM: Final = 192 << 10  # bytes; the API allows 256 KiB for all annotations of an object

_NODES: Final = ("file", "directory", "link")
_PARTS: Final = (
    ("storage", "files", "file"),
    ("storage", "directories", "directory"),
    ("storage", "links", "link"),
    ("storage", "disks", "disk"),
    ("storage", "raid", "raid"),
    ("storage", "luks", "luks"),
    ("storage", "filesystems", "filesystem"),
    ("systemd", "units", "unit"),
    ("passwd", "users", "user"),
    ("passwd", "groups", "group"),
)
_INDEXED: Final = re.compile(r"\.(storage|systemd|passwd)\.([a-z]+)\[(\d+)\](?:\.dropins\[(\d+)\])?")


def publishable(provenance: Provenance) -> dict[str, str]:
    """The annotation that carries a provenance on a rendered MachineConfig; none where the API has no room for it."""
    text = json.dumps({part: list(names) for part, names in provenance.items()}, sort_keys=True, separators=(",", ":"))
    return {ANNOTATION: text} if len(text) <= _ROOM else {}


def published(annotations: Mapping[str, str]) -> Provenance:
    """The provenance that a rendered MachineConfig carries; none where it carries none that can be read."""
    try:
        read = json.loads(annotations.get(ANNOTATION, "{}"))
        return {str(part): tuple(map(str, names)) for part, names in read.items()}
    except (ValueError, TypeError, AttributeError):
        return {}


def trace(ordered: Iterable[MachineConfig]) -> dict[str, tuple[str, ...]]:
    """Names of the MachineConfigs that contributed to each part, in the order of the merge: the last one wins.

    What stood at a path before a node of another kind took it contributes nothing.
    """
    found: dict[str, list[str]] = {}
    for machine_config in ordered:
        for part in dict.fromkeys(_parts_of(machine_config)):
            kind, _, path = part.partition(":")
            for other in _NODES if kind in _NODES else ():
                if other != kind:
                    found.pop(f"{other}:{path}", None)
            found.setdefault(part, []).append(machine_config.name)
    return {part: tuple(names) for part, names in found.items()}


def attribute(
    findings: Iterable[Finding], config: Config, provenance: Provenance, *, otherwise: str, objects: Mapping[str, str]
) -> tuple[tuple[Problem, ...], tuple[Problem, ...]]:
    """Problems and warnings of a merged config, in the names of the MachineConfigs that they come from.

    `objects` is how to call a MachineConfig by name; `otherwise` is what to call the config where none can be blamed.
    """
    told: tuple[list[Problem], list[Problem]] = ([], [])
    for finding in findings:
        names = dict.fromkeys(name for part in finding.concerns for name in provenance.get(part, ()))
        blamed = " + ".join(objects.get(name, f"{MACHINE_CONFIG} {name}") for name in names) or otherwise
        path = f"$.spec.config{_by_key(finding.path, config)}"
        told[0 if finding.fatal else 1].append(Problem(blamed, path, finding.message, finding.advice))
    return tuple(told[0]), tuple(told[1])


def _parts_of(machine_config: MachineConfig) -> Iterator[str]:
    config = machine_config.config
    if config is not None:
        for section, entries, kind in _PARTS:
            yield from (f"{kind}:{entry.key}" for entry in getattr(getattr(config, section), entries))
        for unit in config.systemd.units:
            yield from (f"dropin:{unit.name}/{dropin.name}" for dropin in unit.dropins)
        for user in config.passwd.users:
            yield from (f"ssh:{user.name}:{key}" for key in user.ssh_authorized_keys)
        arguments = config.kernel_arguments
        yield from (f"karg:{argument}" for argument in (*arguments.should_exist, *arguments.should_not_exist))
    yield from (f"karg:{argument}" for argument in machine_config.kernel_arguments)


def _by_key(path: str, config: Config) -> str:
    """A path with keys for indices (RFC 9535 filters), since nobody has seen a merged list."""
    match = _INDEXED.match(path)
    if match is None:
        return path
    section, name, index, dropin = match.groups()
    entries: Sequence[Any] = getattr(getattr(config, section), name)
    entry = entries[int(index)]
    selected = f".{section}.{name}{_filter(entry)}"
    if dropin:
        selected += f".dropins{_filter(entry.dropins[int(dropin)])}"
    return selected + path[match.end() :]


def _filter(entry: Any) -> str:
    attribute = next(name for name in ("name", "device", "path") if hasattr(entry, name))
    return f"[?@.{attribute}=={entry.key!r}]"
