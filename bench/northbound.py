"""How long the northbound database takes: 1,000 gateways with two nexthops each, programmed, compared, changed.

Beside it ovsdbapp, and ovn-nbctl by a command a gateway, make rows of the same shape, with half of the policies:
python -m bench.northbound [GATEWAYS]
"""

from __future__ import annotations

import random
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench.peers import Missing, ovsdb
from nodeagent.agent.egressprogram import TOGETHER
from nodeagent.egress.demand import Demand, Instance
from nodeagent.egress.difference import difference
from nodeagent.egress.gateway import Bfd, Gateway, Policy
from nodeagent.egress.rows import DROP, LOCAL, NODEAGENT, REROUTE, rows
from nodeagent.ovn.link import Follow, Link
from tests.ovn.central import Database, database, nbctl, running
from tests.ovn.packages import ensured


def main(count: int) -> None:
    with tempfile.TemporaryDirectory(prefix="nb-") as folder:
        server = database(ensured(), Path(folder))
        with running(server):
            nbctl(server, "lr-add", "vpc1", "--", "ls-add", "inside")
            demands = [_demand(number) for number in range(count)]
            _measure(server.remote, demands)
            _beside(server, demands)


def _measure(remote: str, demands: list[Demand]) -> None:
    link = _followed(remote)
    with _timed(f"{len(demands)} gateways programmed, {TOGETHER} a transaction"):
        with link.view() as seen:
            plans = [difference(each.gateway.key, NODEAGENT, rows(each, NODEAGENT, seen), seen) for each in demands]
        for start in range(0, len(plans), TOGETHER):
            link.commit(*plans[start : start + TOGETHER])
    with _timed("all of them compared again, without a transaction"):
        assert not any(_program(link, each) for each in demands)
    gateway = demands[-1]
    changed = replace(gateway, instances=gateway.instances[:1])
    with _timed("one nexthop of one gateway withdrawn"):
        assert _program(link, changed)
    link.close()
    with _timed("first sync of a new client"):
        again = _followed(remote)
    again.close()
    print(f"{'resident memory':<60} {_resident():8.1f} MiB")


def _beside(server: Database, demands: list[Demand]) -> None:
    """The peers: what another controller would do, and an administrator, or a script, for each gateway."""
    try:
        took = ovsdb.rows(server.remote, map(_told, demands), TOGETHER)
        print(
            f"{f'{len(demands)} gateways programmed by ovsdbapp, {TOGETHER} a transaction':<60} {took * 1000:8.1f} ms"
        )
    except Missing as reason:
        print(f"without ovsdbapp: {reason}")
    nbctl(server, "lr-add", "peer")
    few = demands[: len(demands) // 10]
    with _timed(f"{len(few)} gateways programmed by ovn-nbctl, a command each"):
        for number, each in enumerate(few):
            nbctl(server, *_commands(each, number))


def _told(asked: Demand) -> dict[str, Any]:
    name = f"app-{asked.gateway.name}.ipv4"
    return {"name": name, "sources": sorted(asked.sources[4]), "nexthops": list(asked.nexthops(4).values())}


def _commands(asked: Demand, number: int) -> list[str]:
    """Both sessions, the set of sources, the policy and the drop; on a router and port of its own."""
    name, addresses = f"peer{number}.ipv4", [each.internal[0] for each in asked.instances]
    said = ["create", "Address_Set", f"name={name}", f"addresses={' '.join(asked.sources[4])}"]
    for one, address in enumerate(addresses):
        session = ["create", "BFD", "logical_port=bfd@peer", f"dst_ip={address}", "min_tx=100", "min_rx=100"]
        said += ["--", f"--id=@b{one}", *session]
    match = f'match="ip4.src == ${name}"'
    reroute = ["priority=29100", match, "action=reroute", f"nexthops={','.join(addresses)}", "bfd_sessions=@b0,@b1"]
    for label, columns in (("r", reroute), ("d", ["priority=29090", match, "action=drop"])):
        said += ["--", f"--id=@{label}", "create", "Logical_Router_Policy", *columns]
    return [*said, "--", "add", "Logical_Router", "peer", "policies", "@r", "@d"]


def _followed(remote: str) -> Link:
    link = Link(remote, Follow((LOCAL, REROUTE, DROP), ports=True), lambda: None, random.Random(1))
    link.start()
    link.wait(60)
    return link


def _program(link: Link, asked: Demand) -> bool:
    """Whether there was anything to do."""
    with link.view() as seen:
        transaction = difference(asked.gateway.key, NODEAGENT, rows(asked, NODEAGENT, seen), seen)
    if transaction:
        link.commit(transaction)
    return bool(transaction)


def _demand(number: int) -> Demand:
    high, low = divmod(number, 125)
    policies = (Policy(blocks=(f"10.{high}.{low}.0/24",)),)
    gateway = Gateway("EgressGateway", "bench", f"gw{number}", "vpc1", "outside", bfd=Bfd(), policies=policies)
    instances = tuple(Instance(f"n{one}", (f"10.100.{high}.{low * 2 + one}",)) for one in range(2))
    sources = {4: frozenset(policies[0].blocks)}
    return Demand(gateway, "vpc1", "bfd@vpc1", frozenset({4}), sources=sources, instances=instances, switch="inside")


@contextmanager
def _timed(what: str) -> Iterator[None]:
    start = time.perf_counter()
    yield
    print(f"{what:<60} {(time.perf_counter() - start) * 1000:8.1f} ms", flush=True)


def _resident() -> float:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4 / 1024


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)
