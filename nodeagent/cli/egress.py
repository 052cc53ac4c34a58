"""`nodeagent egress`: the egress gateways of a cluster, their rows in OVN, and what is wrong with them."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import fields
from importlib import import_module

from nodeagent.cli.machineconfig import Commands
from nodeagent.settings.egress import EgressSettings
from nodeagent.settings.flags import add_flags
from nodeagent.settings.gateways import GatewaySettings


def register(commands: Commands) -> None:
    """Add the command group."""
    group = commands.add_parser("egress", help="look at egress gateways and their rows in OVN", allow_abbrev=False)
    inner = group.add_subparsers(dest="egress_command", metavar="COMMAND", required=True)
    listed = inner.add_parser("list", help="list gateways with their nexthops, and which of these are up")
    shown = inner.add_parser("show", help="show one gateway: instances, sessions, rows, findings")
    plan = inner.add_parser("plan", help="show the rows that the objects ask for and that are not there yet")
    difference = inner.add_parser("diff", help="say what is wrong with the rows; 3 if anything is")
    shown.add_argument("gateway", metavar="NAMESPACE/NAME", help="the gateway")
    for command in (plan, difference):
        command.add_argument("gateway", metavar="NAMESPACE/NAME", nargs="?", help="one gateway instead of all")
    node = inner.add_parser("node", help="show what the gateways of this node lack in kernel and switch; 3 if anything")
    node.add_argument("-o", "--output", choices=("human", "json"), default="human", help="form of the output")
    add_flags(node, *(f"gateways.{field.name}" for field in fields(GatewaySettings)))
    node.set_defaults(run=_by_need("node_command"))
    drain = inner.add_parser("drain", help="move this node's egress traffic to other gateways, until `resume`")
    drain.add_argument("--force", action="store_true", help="also if it is the last that works")
    resume = inner.add_parser("resume", help="take egress traffic again, and wait until it comes")
    for command, run in ((drain, "drain_command"), (resume, "resume_command")):
        command.add_argument("--timeout", type=float, default=30.0, metavar="SECONDS", help="how long that may take")
        add_flags(command, "run_dir", "node_name", "cluster.kubeconfig", "egress.mode", "gateways.detection")
        command.set_defaults(run=_by_need(run, "egressdrain"))
    for command, run in (
        (listed, "list_command"),
        (shown, "show_command"),
        (plan, "plan_command"),
        (difference, "diff_command"),
    ):
        _source(command)
        command.set_defaults(run=_by_need(run))


def _source(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--nb", metavar="REMOTE", help="northbound database, instead of the one in the settings")
    parser.add_argument(
        "--objects", metavar="FILE", action="append", help="read objects from FILE instead of the API; repeatable"
    )
    parser.add_argument("-o", "--output", choices=("human", "json"), default="human", help="form of the output")
    add_flags(parser, "cluster.kubeconfig", *(f"egress.{field.name}" for field in fields(EgressSettings)))


def _by_need(name: str, module: str = "egresscommands") -> Callable[[argparse.Namespace], int]:
    """The command `name`, whose modules no other command has to load."""

    def run(arguments: argparse.Namespace) -> int:
        code: int = getattr(import_module(f"nodeagent.cli.{module}"), name)(arguments)
        return code

    return run
