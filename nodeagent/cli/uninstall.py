"""`uninstall`: takes back what the agent has left outside of managed files, on this node or in the whole cluster."""

from __future__ import annotations

import argparse
import sys
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from nodeagent.cli import show
from nodeagent.cli.codes import ERROR, OK, PENDING
from nodeagent.cli.machineconfig import Commands, settings_of
from nodeagent.errors import Problem, Rejected
from nodeagent.settings import Settings
from nodeagent.settings.egress import EgressSettings
from nodeagent.settings.flags import add_flags

if TYPE_CHECKING:  # what it needs of the cluster is loaded by this command alone
    from nodeagent.engine.plan import Change, Plan

_SETTINGS = (
    "root",
    "state_dir",
    "run_dir",
    "node_name",
    "apply.lock_timeout",
    "cluster.enabled",
    "cluster.kubeconfig",
    "coordinator.namespace",
    "certs.report_namespace",
    *(f"egress.{field.name}" for field in fields(EgressSettings)),
)


def register(commands: Commands) -> None:
    """Add the command."""
    uninstall = commands.add_parser(
        "uninstall",
        help="take back what the agent says on Nodes and leaves in run files, Leases and OVN; managed files stay",
        description="Shows the plan; --yes carries it out. Refuses while agents run that would write everything again.",
        allow_abbrev=False,
    )
    uninstall.add_argument(
        "--cluster", action="store_true", help="for all Nodes, with Leases, finalizers and OVN rows, by a kubeconfig"
    )
    ways = uninstall.add_mutually_exclusive_group()
    ways.add_argument("--dry-run", action="store_true", help="show the plan and change nothing, as without --yes")
    ways.add_argument("--yes", action="store_true", help="do it")
    uninstall.add_argument(
        "--plan", metavar="FINGERPRINT", help="go on only if the plan is still the one with this fingerprint"
    )
    uninstall.add_argument("-o", "--output", choices=("human", "json"), default="human", help="form of the output")
    add_flags(uninstall, *_SETTINGS)
    uninstall.set_defaults(run=uninstall_command)


def uninstall_command(arguments: argparse.Namespace) -> int:
    """Plan and, if that is wanted, carry it out; 3 if a plan that is only shown has something to do."""
    settings = settings_of(arguments)
    return _of_cluster(arguments, settings) if arguments.cluster else _of_node(arguments, settings)


def _of_node(arguments: argparse.Namespace, settings: Settings) -> int:
    from nodeagent import agent  # noqa: PLC0415 - by need, as said above
    from nodeagent.agent.uninstall import alone, node_plan, refuse_while_running  # noqa: PLC0415

    with agent.opened(settings) as place:
        refuse_while_running(place)
        if not arguments.yes:
            return _shown(arguments, node_plan(place))
        with alone(place):
            return _done(arguments, settings, node_plan(place))


def _of_cluster(arguments: argparse.Namespace, settings: Settings) -> int:
    from datetime import UTC, datetime  # noqa: PLC0415 - by need

    from nodeagent.agent.uninstall import cluster_plan  # noqa: PLC0415

    plan = cluster_plan(settings, datetime.now(UTC))
    return _done(arguments, settings, plan) if arguments.yes else _shown(arguments, plan)


def _shown(arguments: argparse.Namespace, plan: Plan) -> int:
    if arguments.output == "json":
        show.emit(_document(plan))
    else:
        for change in plan.changes:
            print(f"  {change.describe()}")
        print(f"fingerprint {plan.fingerprint}; --yes carries it out" if plan else "nothing is left")
    return PENDING if plan else OK


def _done(arguments: argparse.Namespace, settings: Settings, plan: Plan) -> int:
    from nodeagent.agent.uninstall import carry_out  # noqa: PLC0415 - by need

    if arguments.plan not in (None, plan.fingerprint):
        message = f"the plan has changed: it now has fingerprint {plan.fingerprint}"
        raise Rejected([Problem("plan", arguments.plan, message, "look at the new plan, then carry that one out")])
    human = arguments.output == "human"
    failures = carry_out(settings, plan, _say if human else _ignore)
    if not human:
        show.emit(_document(plan) | {"failures": list(failures)})
    elif not plan:
        print("nothing is left")
    for failure in failures:
        print(f"nodeagent: {failure}", file=sys.stderr)
    return ERROR if failures else OK


def _document(plan: Plan) -> dict[str, Any]:
    return {"fingerprint": plan.fingerprint, "changes": [dict(change.facts()) for change in plan.changes]}


def _say(change: Change) -> None:
    print(change.describe())


def _ignore(_: Change) -> None:
    """Programs read the document at the end."""
