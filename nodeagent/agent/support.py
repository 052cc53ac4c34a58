"""What helps others to find out what is wrong with a node, without what they must not see.

Invariant: nothing is in it that holds contents of files, keys or originals: each part is made of what commands show
anyway, all text goes through redaction, and each part is bounded. A part that cannot be had is missing with its reason,
and keeps no other away.
"""

from __future__ import annotations

import datetime
import json
import os
import platform
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from typing import Any, Final

from nodeagent import __version__
from nodeagent.agent.doctor import diagnosis
from nodeagent.agent.workplace import Workplace, opened
from nodeagent.doctor.check import document as checks_document
from nodeagent.engine.journal import Journal
from nodeagent.errors import Broken, NodeAgentError
from nodeagent.host import journald
from nodeagent.host.redaction import field, text
from nodeagent.machineconfig.history import Generation
from nodeagent.settings import Settings
from nodeagent.settings.reference import document as settings_document
from nodeagent.telemetry.status import read_status

LARGEST: Final = 2 << 20  # bytes of a part; there are seven, and a list of them

_UNITS: Final = ("nodeagent.service", "nodeagent-recover.service", "nodeagent-coordinator@*.service")
_SYSTEM: Final = "/usr/lib/os-release"  # to which /etc/os-release leads (os-release(5))
_LINES: Final = 2000
_DEADLINE: Final = 10.0  # seconds that journalctl may take
_CHANGES: Final = 200  # of one generation
_RECORDS: Final = 1000  # of one journal
_LIBRARIES: Final = (
    "cryptography",
    "kubernetes",
    "ovs",
    "prometheus-client",
    "pyinotify",
    "pystemd",
    "PyYAML",
    "urllib3",
)
_UNSEEN: Final = frozenset({"xattrs", "digest", "contents"})  # of a journal's records: these confirm or hold contents


@dataclass(frozen=True)
class Part:
    """One file of the bundle; `problem` says what keeps it from being there, or being whole."""

    name: str
    data: bytes = b""
    problem: str = ""


def parts(settings: Settings, now: datetime.datetime) -> tuple[Part, ...]:
    """All parts, and last the list of them; those that could not be had are empty."""
    with opened(settings) as place:
        makers: Mapping[str, Callable[[], bytes]] = {
            "versions.json": lambda: _json(_versions(place)),
            "settings.json": lambda: _json(settings_document(settings)),
            "doctor.json": lambda: _json(checks_document(settings.node_name, diagnosis(settings))),
            "status.json": partial(_status, settings),
            "history.json": lambda: _json([_generation(each) for each in place.job.generations()]),
            "journal.json": lambda: _json(dict(_journals(place))),
            "log.txt": partial(_log, place),
        }
        made = [_part(name, make) for name, make in makers.items()]
    listed = {each.name: {"bytes": len(each.data), "problem": text(each.problem)} for each in made}
    manifest = {"node": settings.node_name, "made": now.isoformat(), "parts": listed}
    return (*made, Part("manifest.json", _json(manifest)))


def _part(name: str, make: Callable[[], bytes]) -> Part:
    try:
        data = make()
    except NodeAgentError as error:
        return Part(name, problem=str(error))
    except OSError as error:
        return Part(name, problem=f"{error.filename or name}: {error.strerror or error}")
    if len(data) > LARGEST:
        return Part(name, data[:LARGEST], f"cut to {LARGEST} bytes of {len(data)}")
    return Part(name, data)


def _json(document: Any) -> bytes:
    return json.dumps(_redacted(document), indent=1).encode() + b"\n"


def _redacted(value: Any) -> Any:
    """The same JSON value with secrets hidden in each of its strings; names of fields stay."""
    match value:
        case str():
            return text(value)
        case Mapping():
            return {
                name: field(name, each) if isinstance(each, str) else _redacted(each) for name, each in value.items()
            }
        case list() | tuple():
            return [_redacted(each) for each in value]
        case _:
            return value


def _versions(place: Workplace) -> dict[str, Any]:
    system = platform.uname()
    return {
        "nodeagent": __version__,
        "python": platform.python_version(),
        "libraries": dict(_libraries()),
        "kernel": {"release": system.release, "version": system.version, "machine": system.machine},
        "boot": place.node.boot,
        "root": place.settings.root,
        "system": (place.node.read(_SYSTEM, 1 << 16) or b"").decode(errors="replace").splitlines(),
    }


def _libraries() -> Iterator[tuple[str, str]]:
    for name in _LIBRARIES:
        try:
            yield name, metadata.version(name)
        except metadata.PackageNotFoundError:
            yield name, "not installed"


def _status(settings: Settings) -> bytes:
    document = read_status(settings.run_dir)
    if document is None:
        raise Broken("there is no status file: no daemon has run since the boot")
    return _json(document)


def _generation(generation: Generation) -> dict[str, Any]:
    """What `nodeagent history` tells of it."""
    when = datetime.datetime.fromtimestamp(generation.when, datetime.UTC)
    return {
        "generation": generation.number,
        "config": generation.config,
        "cause": generation.cause,
        "when": when.isoformat(),
        "plan": generation.plan,
        "changes": generation.changes[:_CHANGES],
    }


def _journals(place: Workplace) -> Iterator[tuple[str, Any]]:
    """The records of each open transaction; nothing is opened for writing that is not there."""
    try:
        directory = os.open(".", os.O_RDONLY | os.O_CLOEXEC, dir_fd=place.tree.directory(place.store.path))
    except FileNotFoundError:
        return
    try:
        for opened_one in Journal(directory).unfinished():
            with opened_one:
                yield opened_one.name, [_seen(each) for each in opened_one.records()[:_RECORDS]]
    finally:
        os.close(directory)


def _seen(value: Any) -> Any:
    """A record without what holds or confirms contents."""
    match value:
        case Mapping():
            return {key: _seen(each) for key, each in value.items() if key not in _UNSEEN}
        case list():
            return [_seen(each) for each in value]
        case _:
            return value


def _log(place: Workplace) -> bytes:
    if not place.node.running:
        raise Broken(f"{place.settings.root} is not the root of a running system with systemd, so nothing logs there")
    found = journald.lines(_UNITS, _LINES, LARGEST // 2, _DEADLINE)
    return "".join(f"{text(line)}\n" for line in found).encode()
