"""`recover`: finishes or takes back what an interrupted run has left, before anything of the node reads it."""

from __future__ import annotations

import argparse
import json

from nodeagent import agent
from nodeagent.cli.codes import OK
from nodeagent.cli.machineconfig import Commands, settings_of
from nodeagent.engine.executor import Outcome
from nodeagent.settings import Settings
from nodeagent.settings.flags import add_flags


def register(commands: Commands) -> None:
    """Add the command."""
    recover = commands.add_parser(
        "recover",
        help="finish or take back what an interrupted run has left, and do nothing else",
        description="nodeagent-recover.service runs it at boot, before the kubelet and any other service starts.",
    )
    recover.add_argument(
        "--needs", action="store_true", help="print instead, as JSON, the files that a copy of this command needs"
    )
    add_flags(recover, "root", "state_dir", "apply.lock_timeout", "apply.unit_timeout")
    recover.set_defaults(run=recover_command)


def recover_command(arguments: argparse.Namespace) -> int:
    """Recover and say what was done; Broken if the node could not be brought to either side."""
    if arguments.needs:
        print(json.dumps(_needs()))
        return OK
    outcomes = _recovered(settings_of(arguments))
    for outcome in outcomes:
        print(f"an interrupted change was {outcome.result}" + (f" ({outcome.why})" if outcome.why else ""))
    if not outcomes:
        print("nothing was interrupted")
    return OK


def _recovered(settings: Settings) -> tuple[Outcome, ...]:
    """Recover under the lock; systemd, which has read its units when the boot began, reads them again."""
    with agent.opened(settings) as place, place.store.locked(settings.apply.lock_timeout):
        outcomes = place.job.recover()
        if outcomes and place.node.running:
            place.systemd.daemon_reload()
    return outcomes


def _needs() -> tuple[str, ...]:
    """The files of this process, once everything is imported that recovery may import by need."""
    import concurrent.futures.thread  # noqa: F401, PLC0415 - flushes single files while the disk is busy

    from nodeagent.host import (  # noqa: PLC0415 - only here
        loaded,
        systemd_child,  # noqa: F401 - a process of its own, from this file
    )

    return loaded.files()
