"""Plans, drift and warnings as people and programs read them."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from nodeagent.changes.files import (
    FileChange,
    KeepOriginal,
    MakeDirectory,
    MakeLink,
    RemovePath,
    SetMetadata,
    WriteFile,
)
from nodeagent.cli import diff
from nodeagent.engine.plan import Change
from nodeagent.errors import Problem
from nodeagent.machineconfig.drift import Drift
from nodeagent.observed.files import FileType

if TYPE_CHECKING:  # what is printed is known already: there is nothing to import
    from nodeagent.machineconfig.disruption import Action
    from nodeagent.machineconfig.proposal import Proposal

_COLOURS = {"+": "32", "-": "31", "~": "33", "!": "35"}


def emit(document: Mapping[str, Any]) -> None:
    """Print a JSON document for programs."""
    print(json.dumps(document, indent=2, sort_keys=False))


def warn(problems: Iterable[Problem]) -> None:
    """Print warnings to standard error."""
    for problem in problems:
        print(f"warning: {problem}", file=sys.stderr)


def paint(text: str, mark: str) -> str:
    """`text` in the colour of `mark` where the terminal wants colours (NO_COLOR, no-color.org)."""
    colour = _COLOURS.get(mark)
    if colour is None or not sys.stdout.isatty() or os.environ.get("NO_COLOR"):
        return text
    return f"\x1b[{colour}m{text}\x1b[0m"


def plan_document(proposal: Proposal, warnings: Iterable[Problem]) -> dict[str, Any]:
    """A plan for programs."""
    return {
        "config": proposal.applied.config,
        "generation": proposal.applied.generation,
        "fingerprint": proposal.plan.fingerprint,
        "changes": [_step(change, proposal) for change in proposal.plan.steps],
        "actions": [_action(action) for action in proposal.actions],
        "warnings": [vars(problem) for problem in warnings],
    }


def _step(change: Change, proposal: Proposal) -> dict[str, Any]:
    predicted = proposal.predicted.get(change)
    actions = {} if predicted is None else {"actions": [_action(action) for action in predicted]}
    return {"describe": change.describe(), **change.facts(), **actions}


def _action(action: Action) -> dict[str, str]:
    return {"type": str(action.type), **({"service": action.service} if action.service else {})}


def plan_lines(proposal: Proposal, read: diff.Read, *, with_diffs: bool) -> Iterator[str]:
    """A plan for people."""
    plan = proposal.plan
    if not plan:
        yield f"{proposal.applied.config}: nothing to do"
        return
    yield f"{proposal.applied.config}: {counted(len(plan.steps), 'change')}"
    for change in plan.steps:
        yield from _change_lines(change, proposal, read, with_diffs)
    if proposal.actions:
        yield f"actions by the disruption policy: {', '.join(map(action_words, proposal.actions))}"
    yield f"fingerprint {plan.fingerprint}"


def _change_lines(change: Change, proposal: Proposal, read: diff.Read, with_diffs: bool) -> Iterator[str]:
    mark = _mark(change)
    line = f"  {mark} {change.describe()}{_particulars(change)}"
    sources = getattr(change, "sources", ())
    if sources:
        line += f"  [{' + '.join(sources)}]"
    predicted = [action_words(action) for action in proposal.predicted.get(change, ())]
    if predicted:
        line += f"  -> {', '.join(predicted)}"
    yield paint(line, mark)
    if with_diffs and isinstance(change, WriteFile):
        yield from (paint(f"      {text}", text[:1]) for text in diff.lines(change, read))


def counted(number: int, noun: str) -> str:
    """`1 change`, `2 changes`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def action_words(action: Action) -> str:
    return f"{action.type} {action.service}" if action.service else str(action.type)


def _mark(change: Change) -> str:
    match change:
        case RemovePath():
            return "-"
        case WriteFile() | MakeLink() | MakeDirectory():
            return "+" if change.before.type is FileType.ABSENT else "~"
        case SetMetadata():
            return "~"
        case KeepOriginal():
            return "="
        case _:
            return "!"


def _particulars(change: Change | FileChange) -> str:
    match change:
        case WriteFile():
            old = f"{change.before.size} -> " if change.before.type is FileType.FILE else ""
            return f" ({change.mode:04o}, {change.uid}:{change.gid}, {old}{len(change.data)} bytes)"
        case MakeDirectory() | SetMetadata():
            return f" ({change.mode:04o}, {change.uid}:{change.gid})"
        case MakeLink():
            return f" -> {change.target}"
        case _:
            return ""


def drift_lines(drifts: Iterable[Drift], explained: Callable[[Drift], Iterable[str]]) -> Iterator[str]:
    """Drift for people; `explained` adds lines such as a diff."""
    for drift in drifts:
        found = drift.finding
        yield paint(f"  ! {found.path}: {found.kind} ({drift.response})", "!")
        yield f"      expected {found.expected}, found {found.actual}"
        if found.sources:
            yield f"      declared by {' + '.join(found.sources)}"
        yield f"      changed by {drift.who()}"
        yield from (paint(f"      {line}", line[:1]) for line in explained(drift))
