"""Whether the file systems that the agent writes to are there, can be written, and have room."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from nodeagent.doctor.check import Check, Finding, failure, judged, warning
from nodeagent.observed.vitals import FileSystem, Renames, Root

MOUNTS: Final = "mounts"
RENAME: Final = "rename"
DISK: Final = "disk"

VITAL: Final = ("/etc", "/var/lib")  # and the state directory
SELDOM: Final = ("/boot", "/home", "/opt", "/usr/local")  # written only where a MachineConfig asks for it

# File systems whose drivers take both flags (fs/*/namei.c of Linux 5.10 and later), and those that refuse one.
_TAKE = frozenset({"ext3", "ext4", "xfs", "btrfs", "f2fs", "tmpfs", "ramfs", "overlay", "ubifs", "gfs2", "bcachefs"})
_REFUSE = frozenset({"nfs", "nfs4", "cifs", "smb3", "ceph", "9p", "exfat"})
_LEAST: Final = 16 << 20  # bytes without which no batch of any size fits beside what it replaces
_FEWEST: Final = 100  # inodes, likewise
_PERCENT: Final = 5  # free bytes and inodes below which it is told in time

_REMOUNT: Final = "remount it read-write"


def mounts(root: Root, found: Iterable[FileSystem], *, state_dir: str, in_cluster: bool) -> Check:
    """Whether the node's root is the right one, and its file systems can be written."""
    systems = {each.path: each for each in found}
    findings = [*_root(root, in_cluster), *_read_only(systems, state_dir), *_copies(root, systems[state_dir])]
    what = "the root of the running system" if root.live else "no running system: only files are looked at"
    return judged(MOUNTS, findings, f"{root.path} is {what}; nothing that is written to is mounted read-only")


def _root(root: Root, in_cluster: bool) -> Iterator[Finding]:
    if in_cluster and not root.live:
        message = f"{root.path} is not the root of the running system, so neither units nor writers are seen"
        yield failure(message, "mount the node's / there, and share its processes (hostPID)")
    elif not root.follows:
        message = f"{root.path} does not show what the node mounts later"
        yield warning(message, "mount it with mountPropagation: HostToContainer")


def _read_only(systems: dict[str, FileSystem], state_dir: str) -> Iterator[Finding]:
    vital = {*VITAL, state_dir}
    for path, found in systems.items():
        if not found.read_only:
            continue
        if path in vital:
            yield failure(f"{path} is on a read-only file system ({found.type}), so nothing can be applied", _REMOUNT)
        elif found.present:
            yield warning(f"{path} is on a read-only file system ({found.type}): files there are rejected", _REMOUNT)


def _copies(root: Root, state: FileSystem) -> Iterator[Finding]:
    """What recovery before the kubelet runs from lies in the state directory of a node with an agent in a container."""
    if root.live and root.path != "/" and not state.runs_programs:
        message = f"{state.path} is mounted noexec, so the copy for recovery at boot cannot run"
        yield failure(message, "remount it with exec, or move state_dir")


def rename(probed: Renames | None, found: Sequence[FileSystem], *, state_dir: str) -> Check:
    """Whether files can be exchanged in one step. `probed` was tried in the state directory; None if that is missing.

    Nothing is tried elsewhere, since a check leaves the node alone: the same file system does the same, and of others
    the type tells.
    """
    state = next(each for each in found if each.path == state_dir)
    findings = [] if probed is None else list(_refused(probed, state))
    others = [each for each in found if probed is None or each.device != state.device]
    findings += [finding for each in others for finding in _by_type(each)]
    types = ", ".join(sorted({each.type for each in found}))
    how = "by a probe in the state directory, or by type" if probed is not None else "by type"
    return judged(RENAME, findings, f"files are exchanged in one step (renameat2) on {types}; known {how}")


def _refused(probed: Renames, state: FileSystem) -> Iterator[Finding]:
    for flag, why in (("RENAME_NOREPLACE", probed.noreplace), ("RENAME_EXCHANGE", probed.exchange)):
        if why:
            message = f"{state.path} ({state.type}) does not take {flag}: {why}"
            yield failure(message, "have it on a file system such as ext4 or XFS")


def _by_type(found: FileSystem) -> Iterator[Finding]:
    if found.type in _REFUSE:
        message = f"{found.path} is on {found.type}, which cannot exchange files in one step"
        yield failure(message, "have it on a file system such as ext4 or XFS")
    elif found.type not in _TAKE:
        message = f"{found.path} is on {found.type or 'something unknown'}, which may not exchange files in one step"
        yield warning(message, "apply a small change there first; one that is refused leaves everything as it was")


def disk(found: Iterable[FileSystem]) -> Check:
    """Whether there is room; several paths on one file system count once."""
    systems = {each.device: each for each in reversed(list(found)) if each.size}
    told = [each for _, each in sorted((each.path, each) for each in systems.values())]
    room = ", ".join(f"{each.path} {_percent(each.free, each.size)} %" for each in told)
    return judged(DISK, [finding for each in told for finding in _scarce(each)], f"free: {room}")


def _scarce(found: FileSystem) -> Iterator[Finding]:
    for what, free, total, least in (
        ("bytes", found.free, found.size, _LEAST),
        ("inodes", found.inodes_free, found.inodes, _FEWEST),
    ):
        message = f"{found.path} has {free} of {total} {what} free ({_percent(free, total)} %)"
        if total and free < least:
            yield failure(message, "free some space")
        elif free * 100 < total * _PERCENT:
            yield warning(message, "free some space before it runs out")


def _percent(part: int, whole: int) -> int:
    return part * 100 // whole if whole else 100
