"""Applies the scenario's plan to an overlay whose layers lie on two file systems: inode numbers change on first touch.

    unshare --mount --propagation private python -m tests.crash.layered apply|undo DIRECTORY

Prints, as JSON, how it ended and whether each of the node's paths is as expected.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from nodeagent.changes.files import FileChange, Inverse
from nodeagent.host.files import FileEffects
from nodeagent.host.store import Store
from nodeagent.host.tree import Tree
from tests.crash import scenario
from tests.crash.snapshot import Item, snapshot


def _mount(directory: Path) -> Path:
    lower, upper, root = directory / "lower", directory / "upper", directory / "root"
    for path in (lower, upper, root):
        path.mkdir()
    scenario.build(lower)
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(upper)], check=True)
    (upper / "data").mkdir()
    (upper / "work").mkdir()
    layers = f"lowerdir={lower},upperdir={upper}/data,workdir={upper}/work"
    subprocess.run(["mount", "-t", "overlay", "overlay", "-o", layers, str(root)], check=True)
    return root


def _contents(root: Path) -> dict[str, Item]:
    """The tree; a layered file system breaks hard links up, and kept originals are nobody's loss."""
    seen = snapshot(root).items()
    return {
        path: Item(item.kind, item.mode, item.uid, item.gid, item.value, item.xattrs)
        for path, item in seen
        if not path.startswith(scenario.ORIGINALS + "/")
    }


def apply(tree: Tree, root: Path, journal: int) -> dict[str, Any]:
    """Carry the plan out, as the agent does."""
    result = scenario.executor(tree, journal).execute(scenario.plan(tree), scenario.TRANSACTION).result
    replaced, gone = root / "etc/app/replaced.conf", root / "etc/app/gone.conf"
    return {"result": str(result), "as expected": replaced.read_bytes() == b"new\n" and not gone.exists()}


def undo(tree: Tree, root: Path, _: int) -> dict[str, Any]:
    """Put the plan in place, and take it back in what knows only the journal."""
    before = _contents(root)
    effects = FileEffects(tree, scenario.ORIGINALS)
    changes = [change for change in scenario.plan(tree).reversible if isinstance(change, FileChange)]
    inverses = [Inverse.from_facts(facts).facts() for facts in effects.inverses(changes, scenario.TRANSACTION)]
    effects.stage(changes, inverses)
    effects.commit(changes, inverses)
    changed = _contents(root) != before
    FileEffects(tree, scenario.ORIGINALS).undo(inverses)
    return {"result": "undone", "as expected": changed and _contents(root) == before}


def main(action: str, directory: Path) -> dict[str, Any]:
    root = _mount(directory)
    with Tree(str(root)) as tree:
        return {"apply": apply, "undo": undo}[action](tree, root, Store(tree, scenario.STATE).prepare())


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(sys.argv[1], Path(sys.argv[2]))))
