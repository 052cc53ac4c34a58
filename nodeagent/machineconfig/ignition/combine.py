"""How configs become one: the rules of Ignition's config merging, for any number of configs at once.

Later configs win, scalar by scalar: what one leaves out is inherited. Entries of a list are told apart by their keys;
those with the same key are merged where the first of them stands, others follow in order. Where several lists share a
space of keys, an entry takes the place of one with its key in another list. Lists that may repeat are concatenated. The
cost grows with the sum of the configs, not with its square.

One rule differs from Ignition's and is machine configuration's own: contents with a new source do not inherit the
compression of the old ones.

Source: https://coreos.github.io/ignition/operator-notes/#config-merging
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import Field, fields, is_dataclass, replace
from typing import Any, TypeVar

from nodeagent.machineconfig.ignition.model import HTTPHeader, Resource
from nodeagent.machineconfig.ignition.repeats import key_of

T = TypeVar("T")


def combine(values: Sequence[T]) -> T:
    """All of `values`, at least one, merged; they are dataclasses of the model, all of one class."""
    if len(values) == 1:
        return values[0]
    if isinstance(values[0], Resource):
        values = _with_own_compression(values)
    merged: dict[str, Any] = {}
    spaces: dict[str, list[Field[Any]]] = {}
    for field in fields(values[0]):  # type: ignore[arg-type] # T is a dataclass
        parts = [getattr(value, field.name) for value in values]
        if isinstance(parts[0], tuple):
            spaces.setdefault(field.metadata["space"] or field.name, []).append(field)
        else:
            merged[field.name] = _combine_part(parts)
    for lists in spaces.values():
        merged |= _combine_lists(values, lists)
    return type(values[0])(**merged)


def _combine_part(parts: Sequence[Any]) -> Any:
    if is_dataclass(parts[0]):
        return combine(parts)
    return next((part for part in reversed(parts) if part is not None), None)


def _combine_lists(values: Sequence[Any], lists: Sequence[Field[Any]]) -> dict[str, tuple[Any, ...]]:
    """The merged lists of one space of keys, by name."""
    if lists[0].metadata["repeats"]:
        (name,) = (field.name for field in lists)
        return {name: tuple(entry for value in values for entry in getattr(value, name))}
    found: dict[str, dict[str, list[Any]]] = {field.name: {} for field in lists}
    for value in values:
        for field in lists:
            for entry in getattr(value, field.name):
                _place(entry, field.name, found)
    return {
        name: tuple(entries[0] if isinstance(entries[0], str) else combine(entries) for entries in by_key.values())
        for name, by_key in found.items()
    }


def _place(entry: Any, name: str, found: dict[str, dict[str, list[Any]]]) -> None:
    """Put an entry behind those with its key, out of the other lists; a header without a value takes them away."""
    key = key_of(entry)
    for other, by_key in found.items():
        if other != name:
            by_key.pop(key, None)
    if isinstance(entry, HTTPHeader) and entry.value is None and key in found[name]:
        del found[name][key]
    else:
        found[name].setdefault(key, []).append(entry)


def _with_own_compression(resources: Sequence[Any]) -> list[Any]:
    first, *others = resources
    return [first, *(_uncompressed(resource) for resource in others)]


def _uncompressed(resource: Resource) -> Resource:
    silent = resource.source is not None and resource.compression is None
    return replace(resource, compression="") if silent else resource
