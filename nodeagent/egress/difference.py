"""From the rows that stand there to those that should. Pure.

Invariant: what is as it should be is not touched, so a plan of what was just carried out is empty; a row of another
owner is never touched. Rows of the gateway are found by their external_ids, on whatever router they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from nodeagent.changes.ovn import Delete, Edit, Insert, New, Transaction, Update, titled
from nodeagent.errors import Problem
from nodeagent.observed.northbound import (
    ADDRESS_SET,
    BFD,
    FAMILY,
    GROUP,
    HA_CHASSIS,
    HA_GROUP,
    HELD,
    POLICY,
    PORT,
    ROUTER_PORT,
    VENDOR,
    Northbound,
    Row,
    endpoints,
)

Key = tuple[Any, ...]

TABLES: Final = (HA_CHASSIS, HA_GROUP, ROUTER_PORT, PORT, BFD, ADDRESS_SET, GROUP, POLICY)  # in the order of making
_REFERRED: Final = {"bfd_sessions": BFD, "ha_chassis": HA_CHASSIS, "ha_chassis_group": HA_GROUP}  # by column


def difference(owner: str, vendor: str, wanted: Sequence[Insert], seen: Northbound) -> Transaction:
    """The edits that make the rows of `owner` what is `wanted`; with nothing wanted, all of them go."""
    mine = [row for row in seen.owned(owner) if row.table in TABLES and row.said(VENDOR) == vendor]
    pairs = _paired(wanted, mine, seen)
    labels: dict[str, str | New] = {row.table + each.label: row.uuid for each, row in pairs}
    kept = {row.uuid for _, row in pairs}
    matched = {id(each) for each, _ in pairs}
    edits: list[Edit] = [_resolved(each, labels) for each in wanted if id(each) not in matched]
    edits += _updates(pairs, labels)
    edits += [Delete(row, seen.holder_of(row.uuid)) for row in mine if row.uuid not in kept]
    return Transaction(owner, tuple(sorted(edits, key=_order)))


def foreign(owner: str, vendor: str, wanted: Iterable[Insert], seen: Northbound) -> tuple[Problem, ...]:
    """Rows of another owner in the way: those of this gateway by another vendor, and those that have a wanted name."""
    others = {row.uuid: row for row in seen.owned(owner) if row.table in TABLES and row.said(VENDOR) != vendor}
    for each in wanted:
        row = seen.named(each.table, endpoints(each.columns) if each.table == BFD else each.label)
        if row and (row.owner, row.said(VENDOR)) != (owner, vendor):
            others[row.uuid] = row
    advice = "remove the rows, or let their owner run the gateway"
    return tuple(
        Problem(owner, f"{row.table} {titled(row)}", f"belongs to {_belongs(row)}", advice)
        for row in sorted(others.values(), key=lambda row: (row.table, titled(row), row.uuid))
    )


def _belongs(row: Row) -> str:
    vendor, owner = row.said(VENDOR), row.owner
    return f"{vendor or 'nobody that is named'}{f' for {owner}' if owner else ''}"


def _paired(wanted: Sequence[Insert], mine: Sequence[Row], seen: Northbound) -> list[tuple[Insert, Row]]:
    """Each wanted row with the one that it is already: the same in what names it, or else the next of its sort."""
    pairs: list[tuple[Insert, Row]] = []
    for key in (_name, _sort):
        met = {id(each) for each, _ in pairs} | {row.uuid for _, row in pairs}
        standing: dict[Key, list[Row]] = {}
        for row in mine:
            if row.uuid not in met:
                standing.setdefault(key(row.table, row.columns, seen.holder_of(row.uuid)), []).append(row)
        pairs += [
            (each, found.pop(0))
            for each in wanted
            if id(each) not in met and (found := standing.get(key(each.table, each.columns, each.holder)))
        ]
    return pairs


def _name(table: str, columns: Mapping[str, Any], holder: Row | None) -> Key:
    """What tells rows of a table apart."""
    if table == POLICY:
        return table, holder and holder.uuid, columns["priority"], columns["match"]
    if table in HELD:
        return table, holder and holder.uuid, columns["name"]
    if table == BFD:
        return table, endpoints(columns)
    return table, columns["chassis_name" if table == HA_CHASSIS else "name"]


def _sort(table: str, columns: Mapping[str, Any], holder: Row | None) -> Key:
    """Policies alone may have a wrong match, and are still the one that was meant."""
    if table != POLICY:
        return _name(table, columns, holder)
    return table, holder and holder.uuid, columns["priority"], columns["external_ids"].get(FAMILY)


def _updates(pairs: Iterable[tuple[Insert, Row]], labels: Mapping[str, str | New]) -> Iterator[Update]:
    for each, row in pairs:
        wanted = _resolved(each, labels).columns
        changed = {name: value for name, value in wanted.items() if not _same(name, value, row)}
        if changed:
            yield Update(row, changed)


def _same(name: str, value: Any, row: Row) -> bool:
    """Whether a column is as it should be; external_ids that are not ours are nobody's business."""
    if name != "external_ids":
        return bool(row.columns.get(name) == value)
    ignored = {FAMILY} if row.table == GROUP else set()  # a group has both families, and one can be written
    return all(row.said(key) == each for key, each in value.items() if key not in ignored)


def _resolved(each: Insert, labels: Mapping[str, str | New]) -> Insert:
    """References to rows that stand there already, by their UUID."""
    known = {name: _known(value, _REFERRED[name], labels) for name, value in each.columns.items() if name in _REFERRED}
    return Insert(each.table, each.label, {**each.columns, **known}, each.holder) if known else each


def _known(value: Any, table: str, labels: Mapping[str, str | New]) -> Any:
    if isinstance(value, frozenset):
        return frozenset(labels.get(table + new.label, new) for new in value)
    return labels.get(table + value.label, value)


def _order(edit: Edit) -> tuple[bool, int, str]:
    """Made before they are referred to, and removed after."""
    gone = isinstance(edit, Delete)
    table = edit.table if isinstance(edit, Insert) else edit.row.table
    name = edit.label if isinstance(edit, Insert) else titled(edit.row)
    return gone, -TABLES.index(table) if gone else TABLES.index(table), name
