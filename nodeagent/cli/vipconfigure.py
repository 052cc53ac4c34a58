"""`nodeagent vip configure`: set keepalived up, or adopt one that is there, as one plan of the engine."""

from __future__ import annotations

import argparse
import sys

from nodeagent import agent
from nodeagent.agent.vipsetup import Configured, Way, propose
from nodeagent.cli import show
from nodeagent.cli.codes import ERROR, OK, PENDING
from nodeagent.cli.machineconfig import agreed, settings_of
from nodeagent.cli.progress import watcher
from nodeagent.engine.executor import Outcome, Result


def configure_command(arguments: argparse.Namespace) -> int:
    """Plan and, unless only the plan is wanted, carry it out; 3 if a dry run finds something to do."""
    settings = settings_of(arguments)
    way = next((way for way in (Way.REPLACE, Way.ADOPT, Way.REMOVE) if getattr(arguments, way)), Way.RENDER)
    with agent.opened(settings) as place:
        if arguments.dry_run:
            configured = propose(place, way)
            place.job.check(configured.proposal.plan)
            _tell(arguments, place, configured)
            return PENDING if configured.proposal.plan else OK
        with place.store.locked(settings.apply.lock_timeout):
            place.job.recover()
            configured = propose(place, way)
            agreed(configured.proposal, arguments.plan)
            outcome = place.job.apply(configured.proposal.plan, watcher())
    return _told(arguments, configured, outcome)


def _tell(arguments: argparse.Namespace, place: agent.Workplace, configured: Configured) -> None:
    if arguments.output == "json":
        show.emit(show.plan_document(configured.proposal, configured.warnings))
        return
    show.warn(configured.warnings)
    print("\n".join(show.plan_lines(configured.proposal, place.node.read, with_diffs=True)))


def _told(arguments: argparse.Namespace, configured: Configured, outcome: Outcome) -> int:
    if arguments.output == "json":
        document = show.plan_document(configured.proposal, configured.warnings)
        show.emit(document | {"result": str(outcome.result), "why": outcome.why})
    else:
        show.warn(configured.warnings)
        if outcome.result is Result.UNDONE:
            print(f"nodeagent: {outcome.why}; everything is as it was before", file=sys.stderr)
        else:
            print(f"vip: {show.counted(len(configured.proposal.plan.changes), 'change')} applied")
    return ERROR if outcome.result is Result.UNDONE else OK
