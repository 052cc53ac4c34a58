"""`nodeagent egress drain` and `resume`; loaded when one of them runs."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager

from nodeagent import __version__
from nodeagent.agent.gatewayhandover import carried, silenced, withdrawn
from nodeagent.cli import show
from nodeagent.cli.codes import OK
from nodeagent.cli.machineconfig import settings_of
from nodeagent.egress.inventory import kinds
from nodeagent.egress.node.handover import GatewayHandover, Road
from nodeagent.egress.node.roads import Word
from nodeagent.errors import Transient
from nodeagent.host.gatewaycounters import counters
from nodeagent.settings import Settings


def drain_command(arguments: argparse.Namespace) -> int:
    """Move the traffic away, and keep it away until `resume`."""
    with _road(settings_of(arguments)) as found:
        moved = GatewayHandover(found, counters).prepare(carried(), arguments.timeout, force=arguments.force)
    lost = f"; {show.counted(moved.connections, 'tracked connection')} may break" if moved.connections else ""
    print(f"no new egress traffic comes here{lost}")
    return OK


def resume_command(arguments: argparse.Namespace) -> int:
    """Take traffic again, and wait until it comes."""
    with _road(settings_of(arguments)) as found:
        waiting = GatewayHandover(found, counters).resume(carried(), arguments.timeout)
    if waiting:
        raise Transient(f"this node takes egress traffic again, but not all of it comes yet: {waiting}")
    print("egress traffic comes here again")
    return OK


@contextmanager
def _road(settings: Settings) -> Iterator[Road]:
    """The road of this node: by the coordinator where it programs gateways, or else by silence."""
    programmed = kinds(settings.egress.mode)
    if not settings.cluster.enabled:
        yield silenced(settings, None)
        return
    from nodeagent.agent.assigned import words  # noqa: PLC0415 - the API's client, only in a cluster
    from nodeagent.kube.connection import connect  # noqa: PLC0415

    with closing(connect(settings.cluster.kubeconfig, f"nodeagent-egress/{__version__}")) as connection:

        def said() -> Mapping[str, Word]:
            return words(connection, programmed, settings.node_name)

        yield withdrawn(settings, said, connection) if programmed else silenced(settings, connection)
