"""`coordinate`: what looks after many nodes at once, in a pod of its own."""

from __future__ import annotations

import argparse

from nodeagent.cli.daemon import foreground
from nodeagent.cli.machineconfig import Commands
from nodeagent.settings.flags import add_flags

_FLAGS = (
    "cluster.kubeconfig",
    "coordinator.namespace",
    "coordinator.drain_timeout",
    "coordinator.canaries",
    "coordinator.max_failures",
    "coordinator.keep_rendered",
    "coordinator.agent_grace",
    "coordinator.approve_serving",
    "coordinator.serving_longest",
    "egress.mode",
    "egress.northbound",
    "egress.tls_key",
    "egress.tls_certificate",
    "egress.tls_authority",
    "encryption.config",
    "encryption.apiserver",
    "encryption.interval",
    "encryption.keep",
    "root",
    "state_dir",
    "node_name",
    "apply.lock_timeout",
    "metrics.address",
    "health.address",
    "log.level",
    "log.format",
)


_ROLES = ("pools", "vip", "certificates", "egress", "encryption")


def register(commands: Commands) -> None:
    """Add the command."""
    coordinate = commands.add_parser(
        "coordinate",
        help="do for a whole cluster what no node can do alone: pace rollouts of pools, approve serving certificates",
        description="Runs in the foreground. Of several that run for one role, the one that holds the Lease works.",
    )
    coordinate.add_argument(
        "--role", choices=_ROLES, action="append", required=True, help="what to coordinate; may be given several times"
    )
    add_flags(coordinate, *_FLAGS)
    coordinate.set_defaults(run=coordinate_command)


def coordinate_command(arguments: argparse.Namespace) -> int:
    """Run until SIGTERM or SIGINT."""
    from nodeagent.agent import coordinator  # noqa: PLC0415 - the API's client, which only this needs

    settings, stop = foreground(arguments)
    coordinator.run(settings, list(dict.fromkeys(arguments.role)), stop)
    return 0
