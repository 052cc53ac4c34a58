"""`run`: the daemon in the foreground, as systemd and the kubelet start it."""

from __future__ import annotations

import argparse
import gc
import os
import threading

from nodeagent.cli.machineconfig import Commands
from nodeagent.settings import Settings, load
from nodeagent.settings.flags import add_flags, given


def register(commands: Commands) -> None:
    """Add the command."""
    run = commands.add_parser(
        "run",
        help="run the daemon: apply what the sources declare, follow drift, report",
        description="Runs in the foreground.",
    )
    add_flags(run)
    run.set_defaults(run=run_command)


def run_command(arguments: argparse.Namespace) -> int:
    """Run until SIGTERM or SIGINT."""
    from nodeagent.agent import daemon  # noqa: PLC0415 - watches and metrics, which only the daemon needs

    settings, stop = foreground(arguments)
    daemon.run(settings, [settings.source], stop)
    return 0


def foreground(arguments: argparse.Namespace) -> tuple[Settings, threading.Event]:
    """Settle down as a program that stays: its settings, with logs set up, and what SIGTERM and SIGINT will set."""
    from nodeagent.agent.process import stop_on_signals  # noqa: PLC0415 - see above
    from nodeagent.telemetry import logs  # noqa: PLC0415

    settings = load(arguments.config, os.environ, given(arguments))
    logs.configure(settings.log)
    gc.freeze()  # what was imported stays: no collection has to look at it
    gc.enable()
    stop = threading.Event()
    stop_on_signals(stop)
    return settings, stop
