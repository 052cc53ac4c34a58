"""`coordinate`: what looks after many nodes at once, in a pod of its own."""

from __future__ import annotations

import argparse
import gc
import os
import threading

from nodeagent.cli.machineconfig import Commands
from nodeagent.settings import load
from nodeagent.settings.flags import add_flags, given

_FLAGS = (
    "cluster.kubeconfig",
    "coordinator.namespace",
    "coordinator.drain_timeout",
    "coordinator.canaries",
    "coordinator.max_failures",
    "coordinator.keep_rendered",
    "coordinator.agent_grace",
    "log.level",
    "log.format",
)


def register(commands: Commands) -> None:
    """Add the command."""
    coordinate = commands.add_parser(
        "coordinate",
        help="render pools and pace their rollouts, for a whole cluster",
        description="Runs in the foreground. Of several that run for one role, the one that holds the Lease works.",
    )
    coordinate.add_argument("--role", choices=("pools",), required=True, help="what to coordinate")
    add_flags(coordinate, *_FLAGS)
    coordinate.set_defaults(run=coordinate_command)


def coordinate_command(arguments: argparse.Namespace) -> int:
    """Run until SIGTERM or SIGINT."""
    from nodeagent.agent import coordinator, daemon  # noqa: PLC0415 - the API's client, which only this needs
    from nodeagent.telemetry import logs  # noqa: PLC0415

    settings = load(arguments.config, os.environ, given(arguments))
    logs.configure(settings.log)
    gc.freeze()  # what was imported stays: no collection has to look at it
    gc.enable()
    stop = threading.Event()
    daemon.stop_on_signals(stop)
    coordinator.run(settings, stop)
    return 0
