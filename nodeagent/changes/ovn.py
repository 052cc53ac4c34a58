"""What can be changed in OVN's northbound database, as data.

Never journalled: rows are observed and planned again, because an old inverse would overwrite a newer owner. A
`Transaction` happens whole or not at all, and only while what it was planned from still holds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from nodeagent.observed.northbound import ROUTER, SWITCH, Row

_WORTH: Final = ("priority", "match", "action", "nexthops", "addresses", "dst_ip", "min_rx", "min_tx", "detect_mult")


_KINDS: Final = {ROUTER: "router", SWITCH: "switch"}


@dataclass(frozen=True)
class New:
    """Refers to a row that the same transaction inserts under this label."""

    label: str


@dataclass(frozen=True)
class Insert:
    """Make a row. `label` names it inside the transaction, and `holder` is the router or switch that has it then."""

    table: str
    label: str
    columns: Mapping[str, Any]
    holder: Row | None = None

    def describe(self) -> str:
        where = f" on {_KINDS[self.holder.table]} {self.holder.name}" if self.holder else ""
        return f"insert {self.table} {self.label}{where}{_said(self.columns)}"


@dataclass(frozen=True)
class Update:
    """Give columns of `row` other values, if they still are what they were."""

    row: Row
    columns: Mapping[str, Any]

    def describe(self) -> str:
        before = ", ".join(f"{name}: {_text(self.row.columns.get(name))}" for name in sorted(self.columns))
        return f"update {self.row.table} {titled(self.row)}{_said(self.columns)} (was {before})"


@dataclass(frozen=True)
class Delete:
    """Remove `row`, also from `holder`, the router or switch that has it."""

    row: Row
    holder: Row | None = None

    def describe(self) -> str:
        where = f" from {_KINDS[self.holder.table]} {self.holder.name}" if self.holder else ""
        return f"delete {self.row.table} {titled(self.row)}{where}"


Edit = Insert | Update | Delete


@dataclass(frozen=True)
class Transaction:
    """All edits of one gateway or Vpc, in the order in which rows may refer to each other."""

    owner: str
    edits: tuple[Edit, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.edits)

    def describe(self) -> str:
        return "\n".join(f"{self.owner}: {edit.describe()}" for edit in self.edits)


def titled(row: Row) -> str:
    """What a person would call a row: its name, its peer, its chassis, its match, or else its UUID."""
    columns = row.columns
    if "match" in columns:
        return f"{columns['priority']} {columns['match']!r}"
    return row.name or str(columns.get("dst_ip") or columns.get("chassis_name") or row.uuid)


def _said(columns: Mapping[str, Any]) -> str:
    order = sorted(columns, key=lambda name: (_WORTH.index(name) if name in _WORTH else len(_WORTH), name))
    return "".join(f" {name}={_text(columns[name])}" for name in order if name != "name")


def _text(value: Any) -> str:
    match value:
        case frozenset():
            return "[" + ", ".join(sorted(map(_text, value))) + "]"
        case New(label):
            return label
        case Mapping():
            return "{" + ", ".join(f"{key}={each}" for key, each in sorted(value.items())) + "}"
        case _:
            return str(value)
