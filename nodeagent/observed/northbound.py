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
ROUTER_PORT: Final = "Logical_Router_Port"

OWNER: Final = "vpc-egress-gateway"  # keys of external_ids, as Kube-OVN has them
VENDOR: Final = "vendor"
FAMILY: Final = "af"


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
        """The gateway, as namespace/name, that it says it belongs to; "" for any other row."""
        return self.said(OWNER)

    def said(self, key: str) -> str:
        """A value of its external_ids; "" where there is none."""
        return str((self.columns.get("external_ids") or {}).get(key, ""))


def endpoints(session: Mapping[str, Any]) -> str:
    """What tells BFD rows apart."""
    return f"{session['logical_port']} {session['dst_ip']}"


class Northbound:
    """The rows that are held, by table, by name and by the gateway that they belong to."""

    def __init__(self, rows: Iterable[Row] = ()) -> None:
        self._rows: dict[str, dict[str, Row]] = {}
        self._named: dict[tuple[str, str], Row] = {}
        self._owned: dict[str, dict[str, Row]] = {}
        self._routers: dict[str, str] = {}
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
        if row.table == ROUTER:
            held = before.columns["policies"] if before else frozenset()
            self._routers |= dict.fromkeys(row.columns["policies"] - held, row.uuid)

    def drop(self, table: str, uuid: str, successor: Row | None = None) -> Row | None:
        """Forget a row; what it was."""
        row = self._rows.get(table, {}).pop(uuid, None)
        if row is None:
            return None
        if self._named.get((table, row.name)) is row:
            del self._named[table, row.name]
        if row.owner:
            self._disown(row)
        if table == ROUTER:
            left = row.columns["policies"] - (successor.columns["policies"] if successor else frozenset())
            self._routers = self._without(left, uuid)
        return row

    def _disown(self, row: Row) -> None:
        owned = self._owned[row.owner]
        del owned[row.uuid]
        if not owned:
            del self._owned[row.owner]

    def _without(self, policies: Iterable[str], router: str) -> dict[str, str]:
        for policy in policies:
            if self._routers.get(policy) == router:
                del self._routers[policy]
        return self._routers

    def table(self, table: str) -> Mapping[str, Row]:
        """The rows of a table by UUID."""
        return self._rows.get(table, {})

    def row(self, table: str, uuid: str) -> Row | None:
        return self._rows.get(table, {}).get(uuid)

    def named(self, table: str, name: str) -> Row | None:
        """The row of that name; of several, which only routers and switches can be, one."""
        return self._named.get((table, name))

    def owned(self, owner: str) -> tuple[Row, ...]:
        """The rows that say they belong to this gateway, sorted."""
        rows = self._owned.get(owner, {}).values()
        return tuple(sorted(rows, key=lambda row: (row.table, row.name, row.uuid)))

    def owners(self) -> frozenset[str]:
        """The gateways that any row says it belongs to."""
        return frozenset(self._owned)

    def router_of(self, policy: str) -> Row | None:
        """The router that holds the policy with this UUID."""
        router = self._routers.get(policy)
        return self.row(ROUTER, router) if router else None
