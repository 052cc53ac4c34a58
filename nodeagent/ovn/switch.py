"""Ports on the integration bridge of this node's Open vSwitch (ovs-vswitchd.conf.db(5)), over its local database.

Invariant: only interfaces that bear our mark are seen and taken away; OVN binds a port by its iface-id alone
(ovn-architecture(7)). Each call is one transaction, on a connection of its own: the database is on this node, and
asked seldom.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from typing import Any, Final

from nodeagent.changes.kernel import KernelChange, Make
from nodeagent.errors import Broken, Transient
from nodeagent.observed.kernel import Fact, Port
from nodeagent.ovn import parser
from nodeagent.ovn.rpc import ask

DATABASE: Final = "Open_vSwitch"
_MARK: Final = "nodeagent-gateway"  # external_ids: the namespace that the other end is in
_IFACE_ID: Final = "iface-id"
_DEADLINE: Final = 5.0  # seconds

Operation = dict[str, Any]


class Switch:
    """The bridge `bridge` in the database at `remote` ("unix:PATH")."""

    def __init__(self, remote: str, bridge: str) -> None:
        parser.install()
        self._remote = remote
        self._bridge = bridge

    def observe(self, wanted: Collection[Fact]) -> frozenset[Fact]:
        """Our ports; none where there is no switch and nobody wants one."""
        try:
            (found,) = self._transact([_select("Interface", [], ["name", "external_ids"])])
        except Transient:
            if not any(isinstance(each, Port) for each in wanted):
                return frozenset()
            raise
        rows = [(str(row["name"]), dict(row["external_ids"][1])) for row in found["rows"]]
        return frozenset(Port(ids[_MARK], name, ids.get(_IFACE_ID, "")) for name, ids in rows if _MARK in ids)

    def carry_out(self, change: KernelChange) -> None:
        """Plug or unplug a port; done too where it is so already. Transient if the database does not take it."""
        fact = change.fact
        if not isinstance(fact, Port):
            raise Broken(f"{fact.title}: is not of the switch")
        self._unplug(fact)
        if isinstance(change, Make):
            self._plug(fact)

    def _plug(self, fact: Port) -> None:
        ids = ["map", [[_MARK, fact.namespace], [_IFACE_ID, fact.iface_id]]]
        self._transact(
            [
                {"op": "wait", "table": "Bridge", "where": [["name", "==", self._bridge]], "timeout": 0}
                | {"columns": ["name"], "until": "==", "rows": [{"name": self._bridge}]},
                {"op": "insert", "table": "Interface", "uuid-name": "interface"}
                | {"row": {"name": fact.peer, "external_ids": ids}},
                {"op": "insert", "table": "Port", "uuid-name": "port"}
                | {"row": {"name": fact.peer, "interfaces": ["named-uuid", "interface"]}},
                self._mutate("insert", ["named-uuid", "port"]),
                {"op": "comment", "comment": f"nodeagent: {fact.title}"},
            ]
        )

    def _unplug(self, fact: Port) -> None:
        """A port leaves by leaving its bridge: the database drops what nobody refers to."""
        (found,) = self._transact([_select("Port", [["name", "==", fact.peer]], ["_uuid"])])
        for row in found["rows"]:
            self._transact([self._mutate("delete", row["_uuid"])])

    def _mutate(self, mutator: str, port: Any) -> Operation:
        where = [["name", "==", self._bridge]]
        return {"op": "mutate", "table": "Bridge", "where": where, "mutations": [["ports", mutator, port]]}

    def _transact(self, operations: Sequence[Operation]) -> list[Any]:
        """The results of one transaction (RFC 7047, section 4.1.3)."""
        until = time.monotonic() + _DEADLINE
        try:
            reply = ask(self._remote, "transact", [DATABASE, *operations], until)
        except OSError as error:
            raise Transient(f"{self._remote}: no Open vSwitch answers: {error.strerror}") from None
        results: list[Any] = reply.result or []
        for each in results:
            if isinstance(each, dict) and "error" in each:
                said = each.get("details") or each["error"]
                raise Transient(f"bridge {self._bridge} is not there, or does not take it: {said}")
        return results


def _select(table: str, where: list[Any], columns: list[str]) -> Operation:
    return {"op": "select", "table": table, "where": where, "columns": columns}
