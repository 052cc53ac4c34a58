"""Rows of OVN's northbound database, as they were seen.

Invariant: a row is a value and never changes; the indexes of `Northbound` hold exactly the rows in its tables. An
optional column is its value or None, a set is a frozenset, a map a dict, a reference the UUID of what it refers to.
Source: ovn-nb(5).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

ADDRESS_SET: Final = "Address_Set"
BFD: Final = "BFD"
GROUP: Final = "Port_Group"
POLICY: Final = "Logical_Router_Policy"
PORT: Final = "Logical_Switch_Port"
ROUTER: Final = "Logical_Router"
SWITCH: Final = "Logical_Switch"
ROUTER_PORT: Final = "Logical_Router_Port"
HA_GROUP: Final = "HA_Chassis_Group"
HA_CHASSIS: Final = "HA_Chassis"

OWNER: Final = "vpc-egress-gateway"  # keys of external_ids, as Kube-OVN has them
VENDOR: Final = "vendor"
FAMILY: Final = "af"
VPC: Final = "nodeagent-vpc"  # and of our own, on what serves all gateways of a Vpc

HELD: Final[Mapping[str, tuple[str, str]]] = {  # the table of those that have such a row, and the column
    POLICY: (ROUTER, "policies"),
    ROUTER_PORT: (ROUTER, "ports"),
    PORT: (SWITCH, "ports"),
}
_HOLDERS: Final = frozenset(table for table, _ in HELD.values())


@dataclass(frozen=True)
class Row:
    """One row, by what tells it apart in its table: `name`, or port and peer of a session; "" for a policy."""

    table: str
    uuid: str
    columns: Mapping[str, Any]

    @property
    def name(self) -> str:
        if self.table == BFD:
            return endpoints(self.columns)
        return str(self.columns.get("name", ""))

    @property
    def owner(self) -> str:
        """The gateway, as namespace/name, or the Vpc that it says it belongs to; "" for any other row."""
        return self.said(OWNER) or self.said(VPC)

    def said(self, key: str) -> str:
        """A value of its external_ids; "" where there is none."""
        return str((self.columns.get("external_ids") or {}).get(key, ""))


def endpoints(session: Mapping[str, Any]) -> str:
    """What tells BFD rows apart."""
    return f"{session['logical_port']} {session['dst_ip']}"


class Northbound:
    """The rows that are held, by table, by name and by the gateway or Vpc that they belong to."""

    def __init__(self, rows: Iterable[Row] = ()) -> None:
        self._rows: dict[str, dict[str, Row]] = {}
        self._named: dict[tuple[str, str], Row] = {}
        self._owned: dict[str, dict[str, Row]] = {}
        self._holders: dict[str, tuple[str, str]] = {}
        for row in rows:
            self.put(row)

    def put(self, row: Row) -> None:
        """Take a row in the place of the one with its UUID."""
        before = self.drop(row.table, row.uuid, successor=row)
        self._rows.setdefault(row.table, {})[row.uuid] = row
        if row.name:
            self._named[row.table, row.name] = row
        if row.owner:
            self._owned.setdefault(row.owner, {})[row.uuid] = row
        if row.table in _HOLDERS:
            more = _held(row) - (_held(before) if before else frozenset())
            self._holders |= dict.fromkeys(more, (row.table, row.uuid))

    def drop(self, table: str, uuid: str, successor: Row | None = None) -> Row | None:
        """Forget a row; what it was."""
        row = self._rows.get(table, {}).pop(uuid, None)
        if row is None:
            return None
        if self._named.get((table, row.name)) is row:
            del self._named[table, row.name]
        if row.owner:
            self._disown(row)
        if table in _HOLDERS:
            self._release(_held(row) - (_held(successor) if successor else frozenset()), (table, uuid))
        return row

    def _disown(self, row: Row) -> None:
        owned = self._owned[row.owner]
        del owned[row.uuid]
        if not owned:
            del self._owned[row.owner]

    def _release(self, uuids: Iterable[str], holder: tuple[str, str]) -> None:
        for uuid in uuids:
            if self._holders.get(uuid) == holder:
                del self._holders[uuid]

    def table(self, table: str) -> Mapping[str, Row]:
        """The rows of a table by UUID."""
        return self._rows.get(table, {})

    def row(self, table: str, uuid: str) -> Row | None:
        return self._rows.get(table, {}).get(uuid)

    def named(self, table: str, name: str) -> Row | None:
        """The row of that name; of several, which only routers and switches can be, one."""
        return self._named.get((table, name))

    def owned(self, owner: str) -> tuple[Row, ...]:
        """The rows that say they belong to this gateway or Vpc, sorted."""
        rows = self._owned.get(owner, {}).values()
        return tuple(sorted(rows, key=lambda row: (row.table, row.name, row.uuid)))

    def owners(self) -> frozenset[str]:
        """The gateways and Vpcs that any row says it belongs to."""
        return frozenset(self._owned)

    def holder_of(self, uuid: str) -> Row | None:
        """The router that has the policy or port with this UUID, or the switch that has the port."""
        holder = self._holders.get(uuid)
        return self.row(*holder) if holder else None


def _held(row: Row) -> frozenset[str]:
    """UUIDs of the rows that a router or a switch has; where they are not followed, none."""
    columns = (column for table, column in HELD.values() if table == row.table)
    return frozenset(uuid for column in columns for uuid in row.columns.get(column, ()))
