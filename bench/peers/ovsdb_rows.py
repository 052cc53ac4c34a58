"""Runs in the environment of ovsdbapp: python ovsdb_rows.py REMOTE TOGETHER, gateways as JSON on standard input.

Prints the seconds that it took to make, for each, both sessions, the set of sources, the policy and the drop.
"""

import json
import sys
import time
from collections.abc import Iterator
from typing import Any

from ovsdbapp.backend.ovs_idl import connection  # type: ignore[import-not-found]
from ovsdbapp.schema.ovn_northbound import impl_idl  # type: ignore[import-not-found]

_ROUTER = "app"


def main(remote: str, together: int) -> None:
    gateways = json.load(sys.stdin)
    followed = connection.OvsdbIdl.from_server(remote, "OVN_Northbound")
    api = impl_idl.OvnNbApiIdlImpl(connection.Connection(followed, timeout=300))
    api.lr_add(_ROUTER).execute(check_error=True)
    began = time.perf_counter()
    for start in range(0, len(gateways), together):
        with api.transaction(check_error=True) as transaction:
            for each in gateways[start : start + together]:
                for command in _commands(api, **each):
                    transaction.add(command)
    print(time.perf_counter() - began)


def _commands(api: Any, name: str, sources: list[str], nexthops: list[str]) -> Iterator[Any]:
    for address in nexthops:
        yield api.db_create("BFD", logical_port=f"bfd@{_ROUTER}", dst_ip=address, min_tx=100, min_rx=100)
    yield api.db_create("Address_Set", name=name, addresses=sources)
    match = f"ip4.src == ${name}"
    yield api.lr_policy_add(_ROUTER, 29100, match, "reroute", nexthops=nexthops)
    yield api.lr_policy_add(_ROUTER, 29090, match, "drop")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
