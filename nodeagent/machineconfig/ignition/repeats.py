"""Entries that stand twice where their keys have to be unique, in any list of a config."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from typing import Any

from nodeagent.machineconfig.ignition.codec import json_key
from nodeagent.machineconfig.ignition.findings import Place


def key_of(entry: Any) -> str:
    """What a list's entry is known by."""
    return entry if isinstance(entry, str) else str(entry.key)


def validate(value: Any, place: Place) -> None:
    """Find every repeated entry below `value`, a dataclass of the model."""
    spaces: dict[str, dict[str, str]] = {}
    for field in fields(value):
        part, path = getattr(value, field.name), f".{json_key(field)}"
        if isinstance(part, tuple) and part:
            space = field.metadata["space"] or field.name
            if not field.metadata["repeats"]:
                _unique(part, path, place, spaces.setdefault(space, {}))
            _below(part, path, place)
        elif is_dataclass(part) and part != field.default:
            validate(part, place.at(path))


def _unique(entries: tuple[Any, ...], path: str, place: Place, seen: dict[str, str]) -> None:
    for index, entry in enumerate(entries):
        here = f"{path}[{index}]"
        first = seen.setdefault(key_of(entry), here)
        if first is not here:
            place.problem(here, f"repeats what stands at {place.path}{first}", "remove one of them")


def _below(entries: tuple[Any, ...], path: str, place: Place) -> None:
    for index, entry in enumerate(entries):
        if is_dataclass(entry):
            validate(entry, place.at(f"{path}[{index}]"))
