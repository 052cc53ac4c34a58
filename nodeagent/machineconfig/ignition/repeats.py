"""Entries that stand twice where their keys have to be unique, in any list of a config."""

from __future__ import annotations

from dataclasses import dataclass, fields, is_dataclass
from functools import cache
from typing import Any

from nodeagent.machineconfig.ignition.codec import json_key
from nodeagent.machineconfig.ignition.findings import Place


def key_of(entry: Any) -> str:
    """What a list's entry is known by."""
    return entry if isinstance(entry, str) else str(entry.key)


def validate(value: Any, place: Place) -> None:
    """Find every repeated entry below `value`, a dataclass of the model."""
    spaces: dict[str, dict[str, str]] = {}
    cls: type = type(value)
    for part in _parts(cls):
        below = getattr(value, part.name)
        if below == part.default:
            continue
        if not isinstance(below, tuple):
            validate(below, place.at(part.path))
            continue
        if part.space:
            _unique(below, part.path, place, spaces.setdefault(part.space, {}))
        for index, entry in enumerate(below):
            if not isinstance(entry, str):
                validate(entry, place.at(f"{part.path}[{index}]"))


@dataclass(frozen=True, slots=True)
class _Part:
    """A field that holds a list, or an object with lists in it; `space` is "" if its entries may repeat."""

    name: str
    path: str
    default: object
    space: str


@cache
def _parts(cls: type) -> tuple[_Part, ...]:
    return tuple(
        _Part(
            field.name,
            f".{json_key(field)}",
            field.default,
            "" if field.metadata.get("repeats") else field.metadata.get("space") or field.name,
        )
        for field in fields(cls)
        if _holds_lists(field.default)
    )


def _holds_lists(default: object) -> bool:
    cls: type = type(default)
    return isinstance(default, tuple) or (is_dataclass(cls) and bool(_parts(cls)))


def _unique(entries: tuple[Any, ...], path: str, place: Place, seen: dict[str, str]) -> None:
    for index, entry in enumerate(entries):
        here = f"{path}[{index}]"
        first = seen.setdefault(key_of(entry), here)
        if first is not here:
            place.problem(here, f"repeats {(place.path + first)[1:]}", "remove one of them")
