"""`nodeagent vip`: what keepalived is set up to do, what is true of the VIP, what is wrong; and handing it over."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import fields
from importlib import import_module

from nodeagent.cli.machineconfig import Commands
from nodeagent.settings.flags import add_flags
from nodeagent.settings.vip import VipSettings

_NODE_SETTINGS = ("root", "state_dir", "run_dir", "node_name", "apply.lock_timeout", "apply.unit_timeout")


def register(commands: Commands) -> None:
    """Add the command group."""
    group = commands.add_parser(
        "vip", help="look at the VIP that keepalived moves, and hand it over", allow_abbrev=False
    )
    inner = group.add_subparsers(dest="vip_command", metavar="COMMAND", required=True)
    status = inner.add_parser("status", help="show what keepalived is set up to do, and its state")
    check = inner.add_parser("check", help="look for what is wrong, and ask the link who else has the address")
    for command, run, flags in (
        (status, "status_command", ("root", "run_dir", "vip.probe_interval")),
        (check, "check_command", ("root",)),
    ):
        command.add_argument("-o", "--output", choices=("human", "json"), default="human", help="form of the output")
        add_flags(command, *flags)
        command.set_defaults(run=_by_need(run))

    drain = inner.add_parser("drain", help="hand the VIP to a peer, and stay out of the election until `resume`")
    drain.add_argument("--timeout", type=float, default=30.0, metavar="SECONDS", help="how long a peer may take")
    drain.add_argument("--force", action="store_true", help="also if no peer is seen to be well")
    resume = inner.add_parser("resume", help="stand for election again")
    for command, run in ((drain, "drain_command"), (resume, "resume_command")):
        add_flags(command, "run_dir")
        command.set_defaults(run=_by_need(run))
    configure = inner.add_parser("configure", help="set keepalived up from the settings, or adopt one that is there")
    _configure(configure)


def _configure(parser: argparse.ArgumentParser) -> None:
    ways = parser.add_mutually_exclusive_group()
    ways.add_argument("--replace", action="store_true", help="take the place of a keepalived.conf of somebody else")
    ways.add_argument(
        "--adopt", action="store_true", help="leave keepalived.conf as it is, and say what it lacks; add the drop-in"
    )
    ways.add_argument("--remove", action="store_true", help="give back what stood there before")
    parser.add_argument("--dry-run", action="store_true", help="show the plan and change nothing")
    parser.add_argument(
        "--plan", metavar="FINGERPRINT", help="go on only if the plan is still the one with this fingerprint"
    )
    parser.add_argument("-o", "--output", choices=("human", "json"), default="human", help="form of the output")
    add_flags(parser, *_NODE_SETTINGS, *(f"vip.{field.name}" for field in fields(VipSettings)))
    parser.set_defaults(run=_by_need("configure_command", "vipconfigure"))


def _by_need(name: str, module: str = "vipcommands") -> Callable[[argparse.Namespace], int]:
    """The command `name`, whose modules no other command has to load."""

    def run(arguments: argparse.Namespace) -> int:
        code: int = getattr(import_module(f"nodeagent.cli.{module}"), name)(arguments)
        return code

    return run
