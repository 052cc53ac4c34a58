"""Validity of files, directories and links, which share one space of paths.

Stricter than Ignition where its reference would let a root process do harm: the root directory, paths with NUL or
newline, everything under /proc, /sys and /dev, a file in the place of another node's parent, ids that chown(2) reads
as "leave it".
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Container, Iterator, Mapping
from typing import Final

from nodeagent.changes.units import UNIT_DIRECTORY
from nodeagent.machineconfig.ignition import resource
from nodeagent.machineconfig.ignition.findings import Findings, Place
from nodeagent.machineconfig.ignition.model import Config, Directory, File, Link, Node, Owner, Resource, Storage

KERNEL_TREES: Final = ("/proc", "/sys", "/dev")

_LINE_BREAK: Final = re.compile(r"[\n\0]")
_IDS: Final = range(0xFFFF_FFFF)  # 0xFFFFFFFF is chown(2)'s "leave it"


def validate(config: Config, findings: Findings, told: Container[Resource] = ()) -> None:
    """Find what is wrong with each node, and with nodes that get in the way of one another; contents `told` aside."""
    storage = config.storage
    units = _unit_paths(config)
    occupied = _occupied(storage)
    for node, place in nodes(storage, findings):
        _node(node, place)
        if isinstance(node, File):
            _contents(node, place, told)
        _conflicts(node, place, occupied, units)
    _hard_links(storage, findings)


def nodes(storage: Storage, findings: Findings) -> Iterator[tuple[Node, Place]]:
    """Every directory, file and link, with the place to report it at."""
    for name, kind, entries in (
        ("directories", "directory", storage.directories),
        ("files", "file", storage.files),
        ("links", "link", storage.links),
    ):
        for index, node in enumerate(entries):
            yield node, findings.at(f".storage.{name}[{index}]", f"{kind}:{node.path}")


def _node(node: Node, place: Place) -> None:
    path(node.path, place.at(".path"))
    _kernel_tree(node.path, place)
    _owner(node.user, place.at(".user"))
    _owner(node.group, place.at(".group"))
    match node:
        case File():
            _mode(node.mode, place)
            _file(node, place)
        case Directory():
            _mode(node.mode, place)
        case Link():
            _link(node, place)


def path(value: str, place: Place) -> None:
    """Find what is wrong with a path that has to be absolute and clean, without naming another directory twice."""
    if not value:
        place.problem("", "is missing", "give an absolute path")
    elif not value.startswith("/"):
        place.problem("", f"{value!r} is not absolute", "start it with /")
    elif _clean(value) != value:
        place.problem("", f"{value!r} is not in its simplest form", f"write {_clean(value)!r}")
    elif _LINE_BREAK.search(value):
        place.problem("", f"{value!r} holds a newline or NUL", "choose another name")


def _clean(value: str) -> str:
    # POSIX lets two leading slashes mean something else, and normpath keeps them; Go's path.Clean does not.
    return posixpath.normpath("/" + value.lstrip("/"))


def _kernel_tree(value: str, place: Place) -> None:
    if value == "/":
        place.problem(".path", "the root directory cannot be managed", "name a path below it")
    for tree in KERNEL_TREES:
        if value == tree or value.startswith(tree + "/"):
            message = f"{value!r} lies in {tree}, which belongs to the kernel"
            place.problem(".path", message, "use sysctl.d, tmpfiles.d, udev rules or kernelArguments instead")


def _mode(mode: int | None, place: Place) -> None:
    if mode is None:
        return
    if not 0 <= mode <= 0o7777:
        advice = "write 420 for 0644; in YAML 0644 and 0o644 are octal"
        place.problem(".mode", f"{mode} is not between 0 and {0o7777} (octal 07777)", advice)
    elif mode & 0o7000:
        message = f"{mode} is octal {mode:05o}: setuid, setgid and sticky bits are not set by Ignition 3.4.0"
        place.warn(".mode", message, _decimal_advice(mode))


def _decimal_advice(mode: int) -> str:
    digits = str(mode)
    meant = set(digits) <= set("01234567") and len(digits) == 3
    return f"if octal {digits} was meant, write {int(digits, 8)}" if meant else ""


def _owner(owner: Owner, place: Place) -> None:
    if owner.id is not None and owner.name:
        place.problem("", "has both an id and a name", "keep one of them")
    if owner.id is not None and owner.id not in _IDS:
        place.problem(".id", f"{owner.id} is no user or group id", f"use a number from 0 to {_IDS[-1]}")


def _file(file: File, place: Place) -> None:
    if file.overwrite and file.contents.source is None:
        message = "overwrite is true and there is no source to overwrite with"
        advice = "give contents.source, or set overwrite: false (a rendered config has true where a file is silent)"
        place.problem(".overwrite", message, advice)


def _contents(file: File, place: Place, told: Container[Resource]) -> None:
    if file.contents not in told:
        resource.validate(file.contents, place.at(".contents"))
    for index, part in enumerate(file.append):
        if part not in told:
            resource.validate(part, place.at(f".append[{index}]"))


def _link(link: Link, place: Place) -> None:
    if not link.target:
        place.problem(".target", "is missing", "name what the link points at")
    elif _LINE_BREAK.search(link.target):
        place.problem(".target", f"{link.target!r} holds a newline or NUL", "choose another name")
    for name, owner in (("user", link.user), ("group", link.group)) if link.hard else ():
        if owner != Owner():
            place.warn(f".{name}", "is ignored: a hard link has the owner of its file")


def _occupied(storage: Storage) -> dict[str, str]:
    """Paths below which nothing can be: "link" or "file" by path."""
    files = {file.path: "file" for file in storage.files}
    return files | {link.path: "link" for link in storage.links}


def _conflicts(node: Node, place: Place, occupied: Mapping[str, str], units: Mapping[str, str]) -> None:
    for parent in _parents(node.path):
        if parent in occupied:
            kind = occupied[parent]
            message = f"{node.path!r} lies below {parent!r}, which is a {kind} in this config"
            advice = f"remove one of them, or make {parent!r} a directory"
            place.problem(".path", message, advice, [f"{kind}:{parent}"])
    if node.path in units:
        part = units[node.path]
        place.problem(".path", f"{node.path!r} is also written by {part}", "declare it once", [part])


def _parents(value: str) -> Iterator[str]:
    end = value.rfind("/")
    while end > 0:
        yield value[:end]
        end = value.rfind("/", 0, end)


def _unit_paths(config: Config) -> dict[str, str]:
    """Paths that units and dropins with contents take, with the part of the config that each belongs to."""
    paths = {}
    for unit in config.systemd.units:
        if unit.contents:
            paths[f"{UNIT_DIRECTORY}/{unit.name}"] = f"unit:{unit.name}"
        for dropin in unit.dropins:
            if dropin.contents:
                paths[f"{UNIT_DIRECTORY}/{unit.name}.d/{dropin.name}"] = f"dropin:{unit.name}/{dropin.name}"
    return paths


def _hard_links(storage: Storage, findings: Findings) -> None:
    directories = {directory.path for directory in storage.directories}
    for node, place in nodes(storage, findings):
        if isinstance(node, Link) and node.hard and node.target:
            target = posixpath.normpath(posixpath.join(node.path, node.target))
            if target in directories:
                message = f"{target!r} is a directory in this config, and those have no hard links"
                place.problem(".target", message, "make it a symbolic link", [f"directory:{target}"])
