"""Which tables and columns of the northbound database are followed, and the schema that its server has of them."""

from __future__ import annotations

import errno
import time
from collections.abc import Mapping
from typing import Any, Final

from ovs.db import idl

from nodeagent.errors import Broken, Transient
from nodeagent.ovn.rpc import ask

DATABASE: Final = "OVN_Northbound"
FOLLOWED: Final[Mapping[str, tuple[str, ...]]] = {
    "Address_Set": ("name", "addresses", "external_ids"),
    "BFD": ("logical_port", "dst_ip", "min_tx", "min_rx", "detect_mult", "status", "external_ids"),
    "Port_Group": ("name", "ports", "external_ids"),
    "Logical_Router": ("name", "policies", "ports"),
    "Logical_Router_Policy": ("priority", "match", "action", "nexthops", "bfd_sessions", "external_ids"),
    "Logical_Router_Port": ("name", "mac", "networks", "ha_chassis_group", "options", "external_ids"),
    "Logical_Switch_Port": ("name",),
    "HA_Chassis_Group": ("name", "ha_chassis", "external_ids"),
    "HA_Chassis": ("chassis_name", "priority", "external_ids"),
}
_PORTS: Final[Mapping[str, tuple[str, ...]]] = {
    "Logical_Switch": ("name", "ports"),
    "Logical_Switch_Port": ("name", "addresses", "external_ids"),
}
REFERENCES: Final = frozenset({"ports", "bfd_sessions", "ha_chassis", "ha_chassis_group"})


def helper(remotes: str, deadline: float, *, ports: bool = False) -> idl.SchemaHelper:
    """The schema of what is followed, as a server of `remotes` has it, within `deadline` seconds.

    Transient if none answers; Broken if the database is too old: 24.03 is the first with policies that watch sessions.
    """
    found = idl.SchemaHelper(schema_json=_asked(remotes, time.monotonic() + deadline))
    tables = found.schema_json["tables"]
    followed = {**FOLLOWED, **(_PORTS if ports else {})}
    missing = [
        f"{table}.{column}"
        for table, columns in followed.items()
        for column in columns
        if column not in tables.get(table, {}).get("columns", {})
    ]
    if missing:
        raise Broken(f"the northbound database at {remotes} has no {', '.join(missing)}; OVN 24.03 or later is needed")
    for table, columns in followed.items():
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
    reply = ask(remote, "get_schema", [DATABASE], until)
    if reply.error is not None:
        raise OSError(errno.EPROTO, f"serves no database {DATABASE}")
    schema: Mapping[str, Any] = reply.result
    return schema
