"""Nothing to do: what it costs to find that everything is as it was applied."""

from __future__ import annotations

from collections.abc import Callable

from bench import inprocess
from bench.measure import Cost, contest
from bench.node import Node, build
from bench.peers import Missing
from bench.peers.aide import CONTENT, STAT, Aide
from bench.peers.ansible import Ansible, archive
from bench.report import COSTS, Section, Target, cost_rows
from bench.scale import Scale
from bench.workload import DIRECTORY, Workload

_FINGERPRINT, _CONTENT = "nodeagent verify (fingerprints)", "nodeagent verify --content"
_AIDE_STAT, _AIDE_CONTENT = "AIDE, stat only", "AIDE, sha256"
_SWEEP, _LOOK = "the daemon's sweep of fingerprints (in process)", "the daemon's look at contents (in process)"
_UNARCHIVE, _APPLY = "Ansible unarchive", "nodeagent apply"

_Contestants = dict[str, Callable[[], Cost]]


def bench(base: str, scale: Scale) -> list[Section]:
    """The check of many files against AIDE, the second apply of some against Ansible."""
    return [_check(f"{base}/many", scale), _again(f"{base}/again", scale)]


def _check(base: str, scale: Scale) -> Section:
    node = build(base, Workload(scale.many, 0))
    node.apply()
    contestants = _verifying(node) | {
        _SWEEP: lambda: inprocess.cost("sweep", node),
        _LOOK: lambda: inprocess.cost("look", node),
    }
    missing: list[str] = []
    try:
        contestants[_AIDE_STAT] = Aide(f"{base}/stat", node.root + DIRECTORY, STAT).check
        contestants[_AIDE_CONTENT] = Aide(f"{base}/content", node.root + DIRECTORY, CONTENT).check
    except Missing as reason:
        missing.append(str(reason))
    costs = contest(scale.rounds, contestants)
    return Section(
        f"Nothing has changed: {scale.many} files",
        "All of them are as they were applied, and warm in the page cache. A fingerprint is device, inode, size, "
        "mtime, ctime, mode and owner. The daemon sweeps all fingerprints each minute and looks at "
        "all contents each hour.",
        COSTS,
        cost_rows(costs),
        [] if missing else _targets(costs),
        missing,
    )


def _verifying(node: Node) -> _Contestants:
    return {
        _FINGERPRINT: lambda: node.agent("verify"),
        _CONTENT: lambda: node.agent("verify", "--content"),
    }


def _targets(costs: dict[str, Cost]) -> list[Target]:
    pairs = [(_SWEEP, _AIDE_STAT, 0.1), (_FINGERPRINT, _AIDE_CONTENT, 0.1), (_CONTENT, _AIDE_CONTENT, 0.25)]
    return [
        Target(f"CPU of {ours} against {theirs}", costs[ours].cpu / costs[theirs].cpu, limit, " times")
        for ours, theirs, limit in pairs
    ]


def _again(base: str, scale: Scale) -> Section:
    workload = Workload(scale.files, scale.units)
    node = build(base, workload)
    node.apply()
    contestants = _verifying(node) | {_APPLY: node.apply}
    missing: list[str] = []
    try:
        target = f"{base}/tree"
        workload.write_tree(target)
        ansible = Ansible(archive(target, f"{base}/tree.tar"))
        contestants[_UNARCHIVE] = lambda: ansible.unarchive(target)
    except Missing as reason:
        missing.append(str(reason))
    costs = contest(scale.rounds, contestants)
    return Section(
        f"Again, with nothing to do: {scale.files} files, {scale.units} units",
        "`apply` reads the sources again and plans; `verify` looks at what was applied.",
        COSTS,
        cost_rows(costs),
        missing=missing,
    )
