"""Whether a running node can have a valid config: what cannot be applied is found before anything is touched.

Files, directories, links, units, kernel arguments and one user's SSH keys and password can change on a running node.
Other users, groups, disks, RAID arrays, LUKS volumes and file systems cannot: they may stand in a config only if they
stand in the current one as they are. Contents have to come with the config, or over https with a hash to check.
"""

from __future__ import annotations

import posixpath
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

from nodeagent.errors import Problem
from nodeagent.machineconfig.ignition import codec
from nodeagent.machineconfig.ignition.findings import Findings, Place
from nodeagent.machineconfig.ignition.model import Config, Directory, File, Link, Node, Resource, User
from nodeagent.machineconfig.ignition.resource import scheme_of
from nodeagent.machineconfig.ignition.storage import KERNEL_TREES, nodes
from nodeagent.machineconfig.provenance import Provenance, attribute

_NAME_LIMIT: Final = 255  # bytes, NAME_MAX
_PATH_LIMIT: Final = 4095  # bytes, PATH_MAX - 1
_PERMISSIONS: Final = 0o777
_VOLATILE: Final = "/run"
_NOTHING: Final = Config()
_FIXED: Final = (
    ("passwd", "groups", "group"),
    ("storage", "disks", "disk"),
    ("storage", "raid", "raid"),
    ("storage", "luks", "luks"),
    ("storage", "filesystems", "filesystem"),
)


def inapplicable(
    config: Config,
    *,
    object: str,  # noqa: A002 - Problem's own word for what to open
    user: str,
    current: Config = _NOTHING,
    owned: Mapping[str, str] = MappingProxyType({}),
    provenance: Provenance | None = None,
) -> tuple[Problem, ...]:
    """Every reason why a node that has `current` cannot have `config`.

    `user` is the one whose SSH keys and password are managed, `owned` tells by path which other job writes it.
    Problems name the MachineConfigs that `provenance` tells their part came from, and else `object`.
    """
    findings = Findings()
    for node, place in nodes(config.storage, findings):
        _node(node, place)
        if owner := owned.get(node.path):
            advice = "leave it out here, or turn that job off"
            place.problem(".path", f"{node.path!r} belongs to {owner}: two owners would undo each other", advice)
    if config.passwd.users != current.passwd.users:
        _users(config.passwd.users, user, findings)
    for section, entries, kind in _FIXED:
        declared, before = (getattr(getattr(one, section), entries) for one in (config, current))
        _unchanged(kind, declared, before, findings.at(f".{section}.{entries}"))
    problems, _ = attribute(findings.found, config, provenance or {}, otherwise=object, objects={})
    return problems


# -- files, directories and links -------------------------------------------------------------------------------------


def _node(node: Node, place: Place) -> None:
    _path(node.path, place)
    match node:
        case File():
            _mode(node.mode, place)
            _contents(node.contents, place.at(".contents"))
            for index, part in enumerate(node.append):
                _contents(part, place.at(f".append[{index}]"))
        case Directory():
            _mode(node.mode, place)
        case Link() if node.hard:
            _hard_link(node.target or "", place)


def _path(path: str, place: Place) -> None:
    longest = max(len(name.encode()) for name in path.split("/"))
    if longest > _NAME_LIMIT or len(path.encode()) > _PATH_LIMIT:
        message = f"is longer than Linux allows ({_NAME_LIMIT} bytes a name, {_PATH_LIMIT} a path)"
        place.problem(".path", message, "shorten it")
    if path == _VOLATILE or path.startswith(f"{_VOLATILE}/"):
        place.problem(".path", f"{path!r} is empty again after each boot", "use tmpfiles.d(5), or a path that stays")


def _mode(mode: int | None, place: Place) -> None:
    if mode is not None and mode > _PERMISSIONS:
        message = f"{mode} is octal {mode:05o}: setuid, setgid and sticky bits are not set on a running node"
        place.problem(".mode", message, "use at most 511 (octal 0777)")


def _contents(resource: Resource, place: Place) -> None:
    if not resource.source:
        return
    scheme = scheme_of(resource.source)
    if scheme == "data":
        return
    if scheme != "https":
        advice = "write the contents as a data URL, or serve them over https with verification.hash"
        place.problem(".source", f"contents are not fetched by {scheme} on a running node", advice)
    elif not resource.verification.hash:
        advice = "add verification.hash: sha256-<hex>"
        place.problem(".verification.hash", "is missing; an https source is only used with a hash", advice)


def _hard_link(target: str, place: Place) -> None:
    if not target.startswith("/") or posixpath.normpath(target) != target:
        place.problem(".target", f"{target!r} is no absolute path in its simplest form", "write /etc/…")
    elif target.startswith(tuple(f"{tree}/" for tree in KERNEL_TREES)):
        place.problem(".target", f"{target!r} lies in a tree that belongs to the kernel", "link to a regular file")


# -- users ------------------------------------------------------------------------------------------------------------


def _users(users: Sequence[User], managed: str, findings: Findings) -> None:
    for index, user in enumerate(users):
        place = findings.at(f".passwd.users[{index}]", f"user:{user.name}")
        _user(user, managed, place)


def _user(user: User, managed: str, place: Place) -> None:
    if user.name != managed:
        message = f"user {user.name!r} is not managed on this node, only {managed!r} is"
        place.problem(".name", message, f"write name: {managed}, or configure the node with another user")
    elif not user.ssh_authorized_keys and user.password_hash is None:
        place.problem("", "declares neither SSH keys nor a password hash", "add some, or remove the user")
    bare = User(user.name, user.ssh_authorized_keys, user.password_hash)
    if user != bare:
        fields = codec.encode(user).keys() - codec.encode(bare).keys()
        message = "only sshAuthorizedKeys and passwordHash can change on a running node"
        place.problem("", message, f"remove {', '.join(sorted(fields))}")


# -- what cannot change -----------------------------------------------------------------------------------------------


def _unchanged(kind: str, declared: Sequence[Any], before: Sequence[Any], place: Place) -> None:
    for index, entry in enumerate(declared):
        if entry not in before:
            message = f"{kind} {entry.key!r} cannot be made or changed on a running node"
            place.at(f"[{index}]", f"{kind}:{entry.key}").problem("", message, "remove it, or provision the node anew")
    kept = {entry.key for entry in declared}
    for entry in before:
        if entry.key not in kept:
            message = f"{kind} {entry.key!r} of the current config cannot be taken away on a running node"
            place.problem("", message, "declare it as it was")
