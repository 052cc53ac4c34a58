"""Rows between the `ovs` library and the values that the agent reads. Source: RFC 7047 section 5.1."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from ovs.db import data, error, idl

from nodeagent.changes.ovn import New
from nodeagent.errors import Broken
from nodeagent.observed.northbound import Row


def row(found: idl.Row) -> Row:
    """The row as a value: optional columns as the value or None, sets frozen, maps as dicts, references as UUIDs."""
    table, data = found._table, found._data  # noqa: SLF001 - the public way drops references to rows not monitored
    return Row(table.name, str(found.uuid), {name: _value(data[name]) for name in table.columns if name in data})


def _value(datum: Any) -> Any:
    kind = datum.type
    if kind.is_map():
        return {key.value: value.value for key, value in datum.values.items()}
    found = [_atom(atom.value) for atom in datum.values]
    if kind.n_max == 1:
        return found[0] if found else None
    return frozenset(found)


def _atom(value: Any) -> Any:
    return str(value) if isinstance(value, uuid.UUID) else value


def written(value: Any, made: Mapping[str, idl.Row]) -> Any:
    """A value of a column as the library takes it; `made` has the rows of this transaction by their label."""
    match value:
        case frozenset():
            return [written(each, made) for each in value]
        case New(label):
            return made[label]
        case None:
            return []
        case _:
            return value


def references(value: Any, made: Mapping[str, idl.Row]) -> list[Any]:
    """A reference or a set of them, as the library takes it."""
    every = value if isinstance(value, frozenset) else (value,)
    return [uuid.UUID(each) if isinstance(each, str) else made[each.label] for each in every]


def datum(column: Any, given: Any) -> Any:
    """What is written into a column. Raises Broken if it cannot hold that: the library would only log so."""
    try:
        return data.Datum.from_python(column.type, given, lambda each: getattr(each, "uuid", each))
    except (error.Error, TypeError) as found:
        raise Broken(f"column {column.name} of the northbound database does not take {given!r}: {found}") from None
