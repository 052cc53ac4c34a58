"""Attempts a plan on a file system that cannot take it. Runs in a mount namespace of its own, which ends with it.

    unshare --mount --propagation private python -m tests.crash.mounted CASE DIRECTORY

DIRECTORY holds `image`, an ext4 file system that is mounted at `root/etc`, below the root that the plan is for.
Prints what came of it, as JSON.
"""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from nodeagent.changes.files import FileChange, MakeLink, RemovePath, SetMetadata, WriteFile
from nodeagent.engine.plan import Plan
from nodeagent.errors import NodeAgentError, Rejected
from nodeagent.host.observe import Observer
from nodeagent.host.store import Store
from nodeagent.host.tree import Tree
from tests.crash import scenario
from tests.crash.snapshot import snapshot

TARGET = "/etc/app/target.conf"
Prepare = Callable[[Path], None]
Changes = Callable[[Observer], list[FileChange]]


def _call(*command: str) -> None:
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)


def _write(size: int = 4, path: str = TARGET) -> Changes:
    return lambda observer: [WriteFile(path=path, before=observer.state(path), data=b"x" * size)]


def _fill_bytes(etc: Path) -> None:
    """Leave less than a mebibyte."""
    try:
        with (etc / "ballast").open("wb", buffering=0) as file:
            while file.write(bytes(1 << 16)):
                pass
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise


def _fill_inodes(etc: Path) -> None:
    try:
        for number in range(1 << 20):
            (etc / f"ballast-{number}").touch()
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise


def _bind(etc: Path) -> None:
    _call("mount", "--bind", str(etc / "app/other.conf"), str(etc / "app/target.conf"))


def _bind_read_only(etc: Path) -> None:
    _bind(etc)
    _call("mount", "-o", "remount,bind,ro", str(etc / "app/target.conf"))


def _bind_directory(etc: Path) -> None:
    (etc / "app/sub").mkdir()
    _call("mount", "--bind", str(etc / "app/sub"), str(etc / "app/sub"))


def _link_to_app(etc: Path) -> None:
    (etc / "linked").symlink_to("/etc/app")
    _bind(etc)


def _remove(path: str) -> Changes:
    return lambda observer: [RemovePath(path=path, before=observer.state(path))]


def _chmod(path: str) -> Changes:
    return lambda observer: [SetMetadata(path=path, before=observer.state(path), mode=0o600, uid=0, gid=0)]


def _hard_link(path: str) -> Changes:
    return lambda observer: [MakeLink(path=path, target=TARGET, hard=True, linked=observer.state(TARGET))]


def _chattr(flag: str, name: str) -> Prepare:
    return lambda etc: _call("chattr", flag, str(etc / name))


def _nothing(_: Path) -> None:
    """The file system is as it should be."""


_CASES: dict[str, tuple[Prepare, Changes]] = {
    "full": (_fill_bytes, _write()),
    "too-large": (_nothing, _write(64 << 20)),
    "no-inodes": (_fill_inodes, _write(path="/etc/app/new.conf")),
    "read-only": (lambda etc: _call("mount", "-o", "remount,ro", str(etc)), _write()),
    "immutable": (_chattr("+i", "app/target.conf"), _write()),
    "immutable-mode": (_chattr("+i", "app/target.conf"), _chmod(TARGET)),
    "immutable-removed": (_chattr("+i", "app/target.conf"), _remove(TARGET)),
    "immutable-linked": (_chattr("+i", "app/target.conf"), _hard_link("/etc/app/hard.conf")),
    "append-only": (_chattr("+a", "app/target.conf"), _write()),
    "immutable-directory": (_chattr("+i", "app"), _write(path="/etc/app/new.conf")),
    "immutable-directory-mode": (_chattr("+i", "app"), _chmod("/etc/app")),
    "bind": (_bind, _write()),
    "bind-removed": (_bind, _remove(TARGET)),
    "bind-through-link": (_link_to_app, _write(path="/etc/linked/target.conf")),
    "bind-read-only": (_bind_read_only, _chmod(TARGET)),
    "bind-directory": (_bind_directory, _remove("/etc/app/sub")),
    "other-file-system": (_nothing, _hard_link("/state/hard.conf")),
    "proc": (lambda etc: _call("mount", "-t", "proc", "proc", str(etc)), _write(path="/etc/sys/vm/swappiness")),
}


def attempt(case: str, directory: Path) -> dict[str, Any]:
    """Try the plan of `case`: the kind of error, its problems by path, and whether the node is as it was."""
    root = directory / "root"
    etc = root / "etc"
    etc.mkdir(parents=True)
    _call("mount", "-o", "loop", str(directory / "image"), str(etc))
    (etc / "app").mkdir()
    for name in ("target.conf", "other.conf"):
        (etc / "app" / name).write_bytes(name.encode())
    prepare, changes = _CASES[case]
    with Tree(str(root)) as tree:
        journal = Store(tree, scenario.STATE).prepare()
        prepare(etc)
        seen = root / "state" if case == "proc" else root
        before = snapshot(seen)
        answer: dict[str, Any] = {"error": "", "problems": []}
        try:
            scenario.executor(tree, journal).execute(Plan.of(changes(Observer(tree))), scenario.TRANSACTION)
        except NodeAgentError as error:
            problems = error.problems if isinstance(error, Rejected) else ()
            answer = {"error": type(error).__name__, "problems": [[each.path, str(each)] for each in problems]}
        return answer | {"unchanged": snapshot(seen) == before}


if __name__ == "__main__":
    os.umask(0o022)
    sys.stdout.write(json.dumps(attempt(sys.argv[1], Path(sys.argv[2]))))
