"""Which systemd unit and which container a process belongs to, by the text of /proc/PID/cgroup (cgroups(7)).

Invariant: a name comes out only where the path spells it; there is no looking up and no guessing. Works for
cgroup v2, v1 and the hybrid of both.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_UNIT = re.compile(r"[A-Za-z0-9:_.\\@-]+\.(service|scope|socket|mount|swap|automount|timer|path|device|target)")

# docker-ID.scope, cri-containerd-ID.scope, crio-ID.scope, libpod-ID.scope, …:cri-containerd:ID, or the ID
# alone. A monitor (crio-conmon-ID.scope) runs beside its container, not in it.
_CONTAINER = re.compile(r"(?:.*[-:])?(?<!conmon-)([0-9a-f]{64})(?:\.scope)?")


def unit_of(text: str) -> str:
    """The systemd unit: the first part below the slices, unescaped; "" if systemd put the process in none."""
    for path in _systemd_paths(text):
        for part in path:
            if not part.endswith(".slice"):
                name = part.removeprefix("_")  # how systemd keeps unit names apart from the kernel's own files
                if _UNIT.fullmatch(name):
                    return name
                break
    return ""


def container_of(text: str) -> str:
    """The container id (64 hex digits), "" if there is none; of nested ones the outermost, the node's own."""
    for _, path in _hierarchies(text):
        for part in path:
            if match := _CONTAINER.fullmatch(part):
                return match[1]
    return ""


def _systemd_paths(text: str) -> list[list[str]]:
    """systemd's own hierarchy in v1 and hybrid, else the unified one."""
    hierarchies = dict(_hierarchies(text))
    return [hierarchies[name] for name in ("name=systemd", "") if name in hierarchies]


def _hierarchies(text: str) -> Iterator[tuple[str, list[str]]]:
    """Controllers ("" for v2) and the parts of the path; a process may leave its removed cgroup behind it."""
    for line in text.splitlines():
        fields = line.split(":", 2)
        if len(fields) == 3:
            path = fields[2].removesuffix(" (deleted)")
            yield fields[1], [part for part in path.split("/") if part not in ("", "..")]
