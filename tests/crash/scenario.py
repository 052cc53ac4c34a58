"""A small node and a plan for it that has one change of every kind, and of every way in which it is taken back.

Runs in the driver, which is started hundreds of times: it imports only what it needs.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import TypedDict

from nodeagent.changes.files import (
    FileChange,
    KeepOriginal,
    MakeDirectory,
    MakeLink,
    RemovePath,
    SetMetadata,
    WriteFile,
)
from nodeagent.engine.executor import Executor
from nodeagent.engine.journal import Journal
from nodeagent.engine.plan import Plan
from nodeagent.host.effects import LocalEffects
from nodeagent.host.observe import Observer
from nodeagent.host.store import Store
from nodeagent.host.systemd import Systemd
from nodeagent.host.tree import Tree

TRANSACTION = "1"
STATE = "/state"
ORIGINALS = f"{STATE}/originals"
EMPTIED = ("/etc/app/gone.d",)  # directories that the plan removes
JOURNAL = f"{STATE}/journal.{TRANSACTION}"

ACL_NAME = "system.posix_acl_access"
_UID, _GID = os.geteuid(), os.getegid()


class _Owner(TypedDict):
    uid: int
    gid: int


def acl(mode: int) -> tuple[tuple[str, bytes], ...]:
    """An access ACL that gives user 1234 read access beside `mode` (acl(5); linux/posix_acl_xattr.h, version 2)."""
    nobody = 0xFFFFFFFF
    entries = [
        (0x01, mode >> 6 & 7, nobody),
        (0x02, 4, 1234),
        (0x04, mode >> 3 & 7, nobody),
        (0x10, mode >> 3 & 7, nobody),
        (0x20, mode & 7, nobody),
    ]
    return ((ACL_NAME, struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)),)


def build(root: Path) -> None:
    """The node before the plan."""
    app = root / "etc" / "app"
    (app / "gone.d").mkdir(parents=True)
    for name, data in (("replaced.conf", b"old\n"), ("shared.conf", b"one\n"), ("gone.conf", b"gone\n")):
        (app / name).write_bytes(data)
    (app / "mode.conf").write_bytes(b"mode\n")
    (app / "mode.conf").chmod(0o640)
    os.setxattr(app / "mode.conf", *acl(0o640)[0])
    os.link(app / "shared.conf", app / "shared.link")
    (app / "gone.d" / "10-gone.conf").write_bytes(b"gone too\n")
    (app / "current").symlink_to("replaced.conf")
    with Tree(str(root)) as tree:
        store = Store(tree, STATE)
        store.prepare()
        store.write("applied.json", b'{"generation": 1}')
        store.close()


def plan(tree: Tree) -> Plan:
    """What is to be done to the node that `build` makes."""
    changes = _changes(Observer(tree))
    records = [change for change in changes if change.path.startswith(STATE)]
    return Plan.of([change for change in changes if change not in records], records=records)


def _changes(observer: Observer) -> list[FileChange]:
    etc = "/etc/app"
    replaced, shared = observer.state(f"{etc}/replaced.conf"), observer.state(f"{etc}/shared.conf")
    applied = observer.state(f"{STATE}/applied.json")
    owner = _Owner(uid=_UID, gid=_GID)
    return [
        KeepOriginal(path=f"{etc}/replaced.conf", before=replaced),
        WriteFile(path=f"{etc}/replaced.conf", before=replaced, data=b"new\n", mode=0o644, xattrs=acl(0o644), **owner),
        WriteFile(path=f"{etc}/shared.conf", before=shared, data=b"two\n", mode=0o600, **owner),
        MakeDirectory(path=f"{etc}/new.d", mode=0o750, **owner),
        MakeDirectory(path=f"{etc}/empty.d", mode=0o2775, **owner),
        WriteFile(path=f"{etc}/new.d/10-new.conf", data=b"brand new\n", mode=0o4755, **owner),
        SetMetadata(path=f"{etc}/mode.conf", before=observer.state(f"{etc}/mode.conf"), mode=0o600, **owner),
        MakeLink(path=f"{etc}/current", before=observer.state(f"{etc}/current"), target="new.d/10-new.conf", **owner),
        MakeLink(path=f"{etc}/fresh", target="/etc/app/current", **owner),
        MakeLink(
            path=f"{etc}/also.link", target=f"{etc}/shared.link", hard=True, linked=observer.state(f"{etc}/shared.link")
        ),
        RemovePath(path=f"{etc}/gone.conf", before=observer.state(f"{etc}/gone.conf")),
        RemovePath(path=f"{etc}/gone.d/10-gone.conf", before=observer.state(f"{etc}/gone.d/10-gone.conf")),
        RemovePath(path=f"{etc}/gone.d", before=observer.state(f"{etc}/gone.d")),
        WriteFile(path=f"{STATE}/applied.json", before=applied, data=b'{"generation": 2}', mode=0o600, **owner),
        WriteFile(path=f"{STATE}/generations/2.json", data=b"{}", mode=0o600, **owner),
    ]


def executor(tree: Tree, journal: int) -> Executor:
    """The engine on the node below `tree`, as the agent puts it together; `journal` is the state directory."""
    return Executor(Journal(journal), LocalEffects(tree, ORIGINALS, Systemd(1.0)), "boot-1")
