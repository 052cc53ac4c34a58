"""`support-bundle`: an archive that helps others to find out what is wrong with this node."""

from __future__ import annotations

import argparse
import datetime
import sys

from nodeagent.cli import show
from nodeagent.cli.codes import OK
from nodeagent.cli.machineconfig import Commands, settings_of
from nodeagent.settings.flags import add_flags


def register(commands: Commands) -> None:
    """Add the command."""
    bundle = commands.add_parser(
        "support-bundle",
        help="collect status, settings, checks, history and log in an archive, without contents of files or keys",
        description="Reads only; secrets are hidden. Look into the archive before you give it away.",
    )
    bundle.add_argument(
        "-o",
        "--output",
        metavar="FILE.tar.gz",
        default="",
        help="new archive to write, - for standard output (default: nodeagent-support-NODE-TIME.tar.gz here)",
    )
    add_flags(bundle)
    bundle.set_defaults(run=bundle_command)


def bundle_command(arguments: argparse.Namespace) -> int:
    """Write the archive, and say what is in it and what could not be had."""
    from nodeagent.agent.support import parts  # noqa: PLC0415 - the adapters of all jobs, by need
    from nodeagent.host import archive  # noqa: PLC0415

    settings = settings_of(arguments)
    now = datetime.datetime.now(datetime.UTC)
    folder = f"nodeagent-support-{settings.node_name}-{now:%Y%m%dT%H%M%SZ}"
    path = arguments.output or f"{folder}.tar.gz"
    found = parts(settings, now)
    files = {each.name: each.data for each in found if each.data}
    if path == "-":
        archive.write(sys.stdout.buffer, folder, files, now.timestamp())
    else:
        archive.create(path, folder, files, now.timestamp())
    print(f"{'standard output' if path == '-' else path}: {show.counted(len(files), 'file')}", file=sys.stderr)
    for each in found:
        if each.problem:
            print(f"{each.name}: {each.problem}", file=sys.stderr)
    return OK
