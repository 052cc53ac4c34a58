"""`history` and `rollback`: what was applied, and the way back to it."""

from __future__ import annotations

import argparse
import datetime

from nodeagent import agent
from nodeagent.cli import show
from nodeagent.cli.codes import OK, PENDING
from nodeagent.cli.machineconfig import Commands, apply_intent, settings_of
from nodeagent.machineconfig.history import Generation
from nodeagent.settings.flags import add_flags


def register(commands: Commands) -> None:
    """Add the commands."""
    history = commands.add_parser("history", help="list the generations that can be rolled back to")
    history.add_argument("-o", "--output", choices=("human", "json"), default="human", help="form of the output")
    history.add_argument("--changes", action="store_true", help="also list what each generation changed")
    add_flags(history, "root", "state_dir")
    history.set_defaults(run=history_command)

    rollback = commands.add_parser("rollback", help="apply an earlier generation again")
    rollback.add_argument(
        "generation",
        metavar="GENERATION",
        nargs="?",
        type=int,
        help="its number; 0 undoes everything (default: the one before)",
    )
    rollback.add_argument("-o", "--output", choices=("human", "json"), default="human", help="form of the output")
    rollback.add_argument("--plan", metavar="FINGERPRINT", help="roll back only if the plan has this fingerprint")
    rollback.add_argument("--dry-run", action="store_true", help="show the plan and change nothing")
    add_flags(rollback, "root", "state_dir", "user", "apply.lock_timeout", "apply.unit_timeout", "reboot.allow")
    rollback.set_defaults(run=rollback_command)


def history_command(arguments: argparse.Namespace) -> int:
    """List the generations, oldest first."""
    with agent.opened(settings_of(arguments)) as place:
        generations, current = place.job.generations(), place.job.applied().generation
    if arguments.output == "json":
        show.emit({"current": current, "generations": [_document(each) for each in generations]})
        return OK
    for each in generations:
        mark = "*" if each.number == current else " "
        changes = show.counted(len(each.changes), "change")
        print(f"{mark} {each.number:4}  {_when(each)}  {each.config}  {each.cause}  ({changes})")
        if arguments.changes:
            print("".join(f"        {change}\n" for change in each.changes), end="")
    if not generations:
        print("nothing was applied to this node yet")
    return OK


def _document(generation: Generation) -> dict[str, object]:
    return {
        "generation": generation.number,
        "config": generation.config,
        "cause": generation.cause,
        "when": _when(generation),
        "plan": generation.plan,
        "changes": list(generation.changes),
    }


def _when(generation: Generation) -> str:
    moment = datetime.datetime.fromtimestamp(generation.when, datetime.UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def rollback_command(arguments: argparse.Namespace) -> int:
    """Apply an earlier generation, and hold what is current now."""
    settings = settings_of(arguments)
    with agent.opened(settings) as place:
        intent = place.job.rollback(arguments.generation)
        if arguments.dry_run:
            proposal = place.job.propose(intent)
            if arguments.output == "json":
                show.emit(show.plan_document(proposal, ()))
            else:
                print("\n".join(show.plan_lines(proposal, place.node.read, with_diffs=True)))
            return PENDING if proposal.plan else OK
    return apply_intent(arguments, settings, intent)
