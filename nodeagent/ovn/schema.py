"""Which tables and columns of the northbound database are followed, and the schema that its server has of them."""

from __future__ import annotations

import errno
import time
from collections.abc import Iterator, Mapping
from typing import Any, Final

import ovs.jsonrpc
import ovs.poller
import ovs.stream
from ovs.db import idl

from nodeagent.errors import Broken, Transient

DATABASE: Final = "OVN_Northbound"
FOLLOWED: Final[Mapping[str, tuple[str, ...]]] = {
    "Address_Set": ("name", "addresses", "external_ids"),
    "BFD": ("logical_port", "dst_ip", "min_tx", "min_rx", "detect_mult", "status", "external_ids"),
    "Port_Group": ("name", "ports", "external_ids"),
    "Logical_Router": ("name", "policies"),
    "Logical_Router_Policy": ("priority", "match", "action", "nexthops", "bfd_sessions", "external_ids"),
    "Logical_Router_Port": ("name", "networks", "ha_chassis_group", "options"),
    "Logical_Switch_Port": ("name",),
    "HA_Chassis_Group": ("name", "ha_chassis"),
    "HA_Chassis": ("chassis_name", "priority"),
}
REFERENCES: Final = frozenset({"ports", "bfd_sessions"})


def helper(remotes: str, deadline: float) -> idl.SchemaHelper:
    """The schema of what is followed, as a server of `remotes` has it, within `deadline` seconds.

    Transient if none answers; Broken if the database is too old: 24.03 is the first with policies that watch sessions.
    """
    found = idl.SchemaHelper(schema_json=_asked(remotes, time.monotonic() + deadline))
    tables = found.schema_json["tables"]
    missing = [
        f"{table}.{column}"
        for table, columns in FOLLOWED.items()
        for column in columns
        if column not in tables.get(table, {}).get("columns", {})
    ]
    if missing:
        raise Broken(f"the northbound database at {remotes} has no {', '.join(missing)}; OVN 24.03 or later is needed")
    for table, columns in FOLLOWED.items():
        found.register_columns(table, list(columns))
    return found


def _asked(remotes: str, until: float) -> Mapping[str, Any]:
    said = []
    for remote in remotes.split(","):
        try:
            return _schema(remote, until)
        except OSError as error:
            said.append(f"{remote}: {error.strerror}")
    raise Transient(f"no northbound database answers: {'; '.join(said)}")


def _schema(remote: str, until: float) -> Mapping[str, Any]:
    milliseconds = max(1, int((until - time.monotonic()) * 1000))
    error, stream = ovs.stream.Stream.open_block(ovs.stream.Stream.open(remote), milliseconds)
    if error:
        raise OSError(error, "cannot be connected to")
    connection = ovs.jsonrpc.Connection(stream)
    try:
        request = ovs.jsonrpc.Message.create_request("get_schema", [DATABASE])
        connection.send(request)
        for reply in _replies(connection, until):
            if reply.id == request.id:
                return _result(reply)
    finally:
        connection.close()
    raise OSError(errno.ETIMEDOUT, "does not answer in time")


def _result(reply: ovs.jsonrpc.Message) -> Mapping[str, Any]:
    if reply.error is not None:
        raise OSError(errno.EPROTO, f"serves no database {DATABASE}")
    schema: Mapping[str, Any] = reply.result
    return schema


def _replies(connection: ovs.jsonrpc.Connection, until: float) -> Iterator[ovs.jsonrpc.Message]:
    while time.monotonic() < until:
        connection.run()
        error, message = connection.recv()
        if message:
            yield message
        elif error != errno.EAGAIN:
            raise OSError(errno.ECONNRESET, "ends the connection")
        else:
            poller = ovs.poller.Poller()
            connection.wait(poller)
            connection.recv_wait(poller)
            poller.timer_wait(max(1, int((until - time.monotonic()) * 1000)))
            poller.block()
