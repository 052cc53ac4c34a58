"""`render`, `plan`, `apply`, `verify`: MachineConfigs on this node or below another root."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Collection
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeAlias

from nodeagent import agent
from nodeagent.agent import Workplace
from nodeagent.cli import show
from nodeagent.cli.codes import ERROR, OK, PENDING
from nodeagent.cli.drift import explainer
from nodeagent.cli.progress import watcher
from nodeagent.engine.executor import Outcome, Result
from nodeagent.errors import Broken, Problem, Rejected
from nodeagent.machineconfig import baseline, inspection
from nodeagent.machineconfig.drift import Drift, Finding, Ledger, response
from nodeagent.machineconfig.following import LEDGER
from nodeagent.machineconfig.job import Intent
from nodeagent.settings import Settings, load
from nodeagent.settings.flags import add_flags, given

if TYPE_CHECKING:
    from nodeagent.machineconfig.proposal import Proposal

_NODE_SETTINGS = ("root", "state_dir", "pool", "user", "source", "apply.lock_timeout", "apply.unit_timeout")

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"  # noqa: SLF001 - it has no public name


def register(commands: Commands) -> None:
    """Add the commands."""
    render = commands.add_parser("render", help="merge MachineConfigs and print the rendered one")
    _sources(render, required=True)
    render.add_argument("-o", "--output", choices=("yaml", "json"), default="yaml", help="form of the output")
    render.add_argument(
        "--provenance",
        action="store_true",
        help="print instead which MachineConfigs each path, unit and key comes from",
    )
    add_flags(render, "pool")
    render.set_defaults(run=render_command)

    plan = commands.add_parser("plan", help="show what applying would change, and change nothing")
    _sources(plan)
    _output(plan)
    plan.add_argument("--no-diff", action="store_true", help="leave out the diffs of file contents")
    add_flags(plan, *_NODE_SETTINGS)
    plan.set_defaults(run=plan_command)

    apply = commands.add_parser("apply", help="bring the node to what the MachineConfigs declare")
    _sources(apply)
    _output(apply)
    apply.add_argument(
        "--plan", metavar="FINGERPRINT", help="apply only if the plan is still the one with this fingerprint"
    )
    apply.add_argument(
        "--force",
        action="store_true",
        help="also what was rolled back from, or is already as declared; no reboot",
    )
    add_flags(apply, *_NODE_SETTINGS, "reboot.allow")
    apply.set_defaults(run=apply_command)

    verify = commands.add_parser("verify", help="compare the node with what was applied, or with MachineConfigs")
    _sources(verify)
    _output(verify)
    verify.add_argument(
        "--content", action="store_true", help="read every file, also where its fingerprint is the same"
    )
    add_flags(verify, *_NODE_SETTINGS, "drift.policy")
    verify.set_defaults(run=verify_command)


def _sources(parser: argparse.ArgumentParser, *, required: bool = False) -> None:
    help_text = "file, directory or - (standard input) of MachineConfigs"
    parser.add_argument("source", metavar="SOURCE", nargs="+" if required else "*", help=help_text)


def _output(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-o", "--output", choices=("human", "json"), default="human", help="form of the output")


def settings_of(arguments: argparse.Namespace) -> Settings:
    """The settings that the flags, the environment and the file give."""
    return load(arguments.config, os.environ, given(arguments))


def _intent(arguments: argparse.Namespace, settings: Settings) -> tuple[Intent, tuple[Problem, ...]]:
    """What the sources on the command line, or else the configured ones, ask for; and the warnings."""
    paths = arguments.source or agent.default_source(settings)
    if not paths:
        advice = "name a SOURCE, or put MachineConfigs there"
        raise Rejected([Problem(settings.source, "", "there is no such file or directory", advice)])
    intent, found = agent.intent(paths, settings.pool)
    return intent, (*found.warnings, *intent.rendered.warnings)


def render_command(arguments: argparse.Namespace) -> int:
    """Print the rendered MachineConfig of a pool."""
    settings = settings_of(arguments)
    intent, warnings = _intent(arguments, settings)
    show.warn(warnings)
    document = intent.rendered.document()
    if arguments.provenance:
        document = {key: list(names) for key, names in sorted(intent.rendered.provenance.items())}
    if arguments.output == "json":
        print(json.dumps(document, indent=2))
    else:
        from nodeagent.machineconfig.yamldocuments import dump_yaml  # noqa: PLC0415 - only this output needs it

        print(dump_yaml(document), end="")
    return OK


def plan_command(arguments: argparse.Namespace) -> int:
    """Show the plan; 3 if there is something to do."""
    settings = settings_of(arguments)
    intent, warnings = _intent(arguments, settings)
    with agent.opened(settings) as place:
        proposal = place.job.propose(intent)
        place.job.check(proposal.plan)
        if arguments.output == "json":
            show.emit(show.plan_document(proposal, warnings))
        else:
            show.warn(warnings)
            for line in show.plan_lines(proposal, place.node.read, with_diffs=not arguments.no_diff):
                print(line)
    return PENDING if proposal.plan else OK


def apply_command(arguments: argparse.Namespace) -> int:
    """Apply, and say what happened."""
    settings = settings_of(arguments)
    intent, warnings = _intent(arguments, settings)
    show.warn(warnings)
    return apply_intent(arguments, settings, replace(intent, force=arguments.force))


def apply_intent(arguments: argparse.Namespace, settings: Settings, intent: Intent) -> int:
    """Apply `intent` under the lock, then reboot if that is needed and allowed."""
    with agent.opened(settings) as place, place.store.locked(settings.apply.lock_timeout):
        for outcome in place.job.recover():
            print(f"an interrupted change was {outcome.result}{_because(outcome)}", file=sys.stderr)
        wait = intent.force or not settings.reboot.allow
        proposal = place.job.propose(replace(intent, wait=wait))
        agreed(proposal, getattr(arguments, "plan", None))
        outcome = place.job.apply(proposal.plan, watcher())
        if outcome.result is Result.APPLIED:
            baseline.refresh(place.node, place.store, place.job.applied())
        _tell(arguments.output, proposal, outcome)
        if outcome.result is Result.UNDONE:
            return ERROR
        if outcome.final is not None and not wait:
            place.systemd.reboot()
    return OK


def agreed(proposal: Proposal, fingerprint: str | None) -> None:
    """Rejected unless the plan is the one that was agreed to."""
    actual = proposal.plan.fingerprint
    if fingerprint is not None and fingerprint != actual:
        advice = "look at the new plan, then apply that one"
        message = f"the plan has changed: it now has fingerprint {actual}"
        raise Rejected([Problem("plan", fingerprint, message, advice)])


def _because(outcome: Outcome) -> str:
    return f" ({outcome.why})" if outcome.why else ""


def _tell(output: str, proposal: Proposal, outcome: Outcome) -> None:
    if output == "json":
        document: dict[str, Any] = show.plan_document(proposal, ())
        document |= {
            "result": str(outcome.result),
            "why": outcome.why,
            "rebootNeeded": outcome.final is not None,
        }
        show.emit(document)
    elif outcome.result is Result.UNDONE:
        print(f"nodeagent: {outcome.why}; everything is as it was before", file=sys.stderr)
    elif not proposal.plan:
        print(f"{proposal.applied.config}: nothing to do")
    else:
        print(
            f"{proposal.applied.config}: {show.counted(len(proposal.plan.changes), 'change')} applied{_reboot(outcome)}"
        )


def _reboot(outcome: Outcome) -> str:
    return f"; {outcome.final.describe()} is pending" if outcome.final is not None else ""


def verify_command(arguments: argparse.Namespace) -> int:
    """Compare; 3 if there is drift or something to apply."""
    settings = settings_of(arguments)
    if arguments.source:
        arguments.no_diff = False
        return plan_command(arguments)
    with agent.opened(settings) as place:
        drifts = _drifts(place, content=arguments.content)
        if arguments.output == "json":
            show.emit({"drift": [drift.facts() for drift in drifts]})
        elif drifts:
            print("\n".join(show.drift_lines(drifts, explainer(place))))
        else:
            print("the node is as it was applied")
    return PENDING if drifts else OK


def _drifts(place: Workplace, *, content: bool) -> tuple[Drift, ...]:
    """All drift now; who caused it is known where the daemon has recorded it."""
    applied = place.job.applied()
    if applied.generation == 0:
        raise Broken("nothing was applied to this node yet: run `nodeagent apply` first, or name a SOURCE")
    if content:
        paths: Collection[str] = inspection.paths(applied)
    else:
        paths = baseline.suspicious(place.node, applied, baseline.load(place.store))
    findings = inspection.look_at_paths(place.node, applied, paths)
    findings += inspection.look_at_rest(place.node, applied) + inspection.look_at_units(place.node, applied)
    recorded = Ledger.decode(place.store.read(LEDGER) or b"[]")
    followed = {(each.finding.path, each.finding.kind): each for each in recorded.drifts}
    return tuple(followed.get((found.path, found.kind)) or _new(found, place.settings) for found in sorted(findings))


def _new(found: Finding, settings: Settings) -> Drift:
    reason = "the daemon has not recorded it: it was not running, or has not looked yet"
    return Drift(found, response(found.path, settings.drift.policy), 0.0, unknown=reason)
