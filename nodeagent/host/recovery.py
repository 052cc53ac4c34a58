"""Recovery that needs neither a pod nor a Python of the node: a copy of what it runs from, and the unit that starts it.

Invariant: the unit on the node names a copy that is complete and was seen to start. Other copies are removed only once
it does, and the unit is replaced whole.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

import nodeagent
from nodeagent.errors import Broken, Transient
from nodeagent.host.barrier import Barrier
from nodeagent.host.observe import Observer
from nodeagent.host.replicas import Replicas, contents_of
from nodeagent.host.store import Store
from nodeagent.host.systemd import Systemd
from nodeagent.host.tree import Tree, split

NAME = "nodeagent-recover.service"
COPIES = "recover"  # the directory of the copies, in the state directory

_UNIT = f"/etc/systemd/system/{NAME}"
_LINK = f"/etc/systemd/system/basic.target.wants/{NAME}"
_TARGET = f"../{NAME}"
_UNIT_LIMIT = 1 << 16  # bytes

_HOST = "/host"  # where the copy sees the node
_MOUNT_POINTS = (_HOST, "/proc", "/sys", "/dev", "/run")
_LARGEST = 128 << 20  # bytes of one copy
_DEADLINE = 60.0  # seconds that a process may take to start and to tell what it needs
_PLAIN = re.compile(r"[A-Za-z0-9/._+-]+")  # a path that means itself everywhere in a unit

_MAKER = "# Written by nodeagent in its pod, which replaces it when its image changes.\n"
_TEMPLATE = (
    _MAKER
    + """\
[Unit]
Description=Finishes or takes back what an interrupted nodeagent has left
Documentation=man:nodeagent(8)
DefaultDependencies=no
RequiresMountsFor={state}
ConditionPathExistsGlob={state}/journal.*
After=local-fs.target
Before=basic.target kubelet.service shutdown.target
Conflicts=shutdown.target

[Service]
Type=oneshot
RootDirectory={copy}
MountAPIVFS=yes
BindPaths=/:{host}
Environment={environment}
ExecStart={command} --root {host} --state-dir {state}
TimeoutStartSec=6min
UMask=0077

[Install]
WantedBy=basic.target
"""
)


@dataclass(frozen=True)
class Installed:
    """The copy (a path in the node's tree) that the unit runs, its size in bytes, and whether anything was written."""

    copy: str
    size: int
    changed: bool


def install(tree: Tree, store: Store, systemd: Systemd) -> Installed:
    """Have the node below `tree` recover at boot by itself; the caller holds the daemon's lock.

    Raises Broken if the copy is too large, does not start or cannot be named in a unit; OSError if it cannot be
    written; Transient or Broken if systemd does not read its units again.
    """
    contents = contents_of(_ask(()))
    if contents.size > _LARGEST:
        raise Broken(f"recovery would need {contents.size >> 20} MiB on the node, and may have {_LARGEST >> 20} MiB")
    replicas, digest = Replicas(tree, f"{store.path}/{COPIES}"), contents.digest()
    copy = replicas.path(digest)
    text = unit(copy, store.path)
    store.prepare()
    made = replicas.make(digest, contents, _MOUNT_POINTS, _try)
    placed = _place(tree, text)
    if placed:
        systemd.daemon_reload()
    replicas.keep_only(digest)
    return Installed(copy, contents.size, made or placed)


def left(tree: Tree, store: Store) -> tuple[str, ...]:
    """Paths of what `install` has left below `tree`: the unit and its link, if they are its own, and the copies."""
    observer = Observer(tree)
    ours = []
    if _is_ours(observer):
        ours = [_UNIT, *([_LINK] if observer.state(_LINK).target == _TARGET else ())]
    copies = f"{store.path}/{COPIES}"
    return (*ours, *([copies] if observer.stat(copies) is not None else ()))


def remove(tree: Tree, store: Store, systemd: Systemd) -> None:
    """Remove what `left` tells, the unit before the copy that it runs; the caller holds the daemon's lock."""
    for path in left(tree, store):
        directory, name = split(path)
        if path == f"{store.path}/{COPIES}":
            shutil.rmtree(name, dir_fd=tree.directory(directory))
        else:
            os.unlink(name, dir_fd=tree.directory(directory))
    if tree.live() and systemd.running():
        systemd.daemon_reload()


def _is_ours(observer: Observer) -> bool:
    try:
        return (observer.read(_UNIT, _UNIT_LIMIT) or b"").startswith(_MAKER.encode())
    except OSError:  # a link, or something else of that name
        return False


def unit(copy: str, state: str) -> str:
    """The text of the unit that runs `copy` for the state directory `state`; Broken if a path needs quoting there."""
    command, environment = _command(), _environment()
    odd = [path for path in (copy, state, *command, *environment.values()) if not _PLAIN.fullmatch(path)]
    if odd:
        named = ", ".join(map(repr, odd))
        raise Broken(f"{named}: cannot be written into {NAME}: use paths of letters, digits and / . _ + - only")
    assignments = " ".join(f"{name}={value}" for name, value in environment.items())
    return _TEMPLATE.format(copy=copy, state=state, host=_HOST, command=" ".join(command), environment=assignments)


def _command() -> tuple[str, ...]:
    return sys.executable, "-P", "-m", "nodeagent", "recover"


def _environment() -> dict[str, str]:
    """Finds our package wherever it was started from, and leaves the copy as it is."""
    where = os.path.dirname(os.path.dirname(os.path.abspath(nodeagent.__file__)))
    return {"PYTHONPATH": where, "PYTHONDONTWRITEBYTECODE": "1", "LC_ALL": "C.UTF-8"}


def _try(copy: str) -> None:
    """Have recovery load in the copy all that it needs; Broken if it does not."""
    _ask(("chroot", copy))


def _ask(before: Sequence[str]) -> tuple[str, ...]:
    """The files that recovery needs, told by a process that has loaded them; it is started by the command `before`."""
    try:
        ended = subprocess.run(  # noqa: S603 - our own interpreter and package, no shell
            [*before, *_command(), "--needs"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_DEADLINE,
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", **_environment()},
            check=False,
            cwd="/",
        )
    except subprocess.TimeoutExpired as error:
        raise Transient(f"recovery did not tell within {_DEADLINE:g} s what it needs") from error
    if ended.returncode != 0:
        last = ended.stderr.decode(errors="replace").strip().rpartition("\n")[2] or f"status {ended.returncode}"
        where = f"its copy {before[-1]}, where programs must be allowed to run" if before else "this image"
        raise Broken(f"recovery does not start from {where}: {last}")
    return tuple(json.loads(ended.stdout))


def _place(tree: Tree, text: str) -> bool:
    """Put the unit and the link that enables it in place; False if both are as they should be."""
    observer = Observer(tree)
    written = _reads(observer, text)
    linked = observer.state(_LINK).target == _TARGET
    barrier = Barrier(tree)
    if not written:
        _write(tree, text)
        barrier.note(_UNIT)
    if not linked:
        _link(tree)
        barrier.note(_LINK)
        barrier.note(split(_LINK)[0])
    barrier.settle()
    return not (written and linked)


def _reads(observer: Observer, text: str) -> bool:
    try:
        return observer.read(_UNIT, _UNIT_LIMIT) == text.encode()
    except OSError:  # a link, or something else of that name that is not ours: it is replaced
        return False


def _write(tree: Tree, text: str) -> None:
    """Write the unit beside its place and rename it: nobody ever sees half of it."""
    directory, name = split(_UNIT)
    parent, staged = tree.directory(directory), f".{name}.new"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with suppress(FileNotFoundError):
        os.unlink(staged, dir_fd=parent)
    with os.fdopen(os.open(staged, flags, 0o644, dir_fd=parent), "wb") as file:
        file.write(text.encode())
        os.fchmod(file.fileno(), 0o644)
        file.flush()
        os.fsync(file.fileno())
    os.rename(staged, name, src_dir_fd=parent, dst_dir_fd=parent)


def _link(tree: Tree) -> None:
    directory, name = split(_LINK)
    parent, below = split(directory)
    with suppress(FileExistsError):
        os.mkdir(below, 0o755, dir_fd=tree.directory(parent))
    with suppress(FileNotFoundError):
        os.unlink(name, dir_fd=tree.directory(directory))
    os.symlink(_TARGET, name, dir_fd=tree.directory(directory))
