"""Where settings come from: flag before environment before file before default.

Invariant: either every value is known and in range, or Rejected names all problems at once, each with the
source, the name in that source, and what to write instead.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any

from nodeagent.errors import Problem, Rejected
from nodeagent.settings.kinds import Kind, SettingError, quoted
from nodeagent.settings.model import FIELDS, SECTIONS, Settings, build

DEFAULT_FILE = "/etc/nodeagent/nodeagent.toml"
CONFIG_VARIABLE = "NODEAGENT_CONFIG"

_PREFIX = "NODEAGENT_"
_MAX_FILE_BYTES = 1 << 20
# Kubernetes puts these into every container beside a Service whose name begins with "nodeagent".
_SERVICE_LINK = r"NODEAGENT_(\w+_)?(SERVICE_(HOST|PORT(_\w+)?)|PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)"


@dataclass(frozen=True)
class _Given:
    """One value as given: `name` is what the source calls the field `key`, `origin` is for `config show`."""

    source: str
    name: str
    key: str
    origin: str
    raw: Any
    read: Callable[[Kind[Any], Any], Any]


def load(file: str | None, environ: Mapping[str, str], flags: Mapping[str, str]) -> Settings:
    """Read all settings.

    `file` is the path of the TOML file; None means $NODEAGENT_CONFIG, else DEFAULT_FILE, which may be
    missing. `flags` holds text by key, as `flags.given` returns it. Raises Rejected with every problem found.
    """
    problems: list[Problem] = []
    values: dict[str, Any] = {}
    origins = dict.fromkeys(FIELDS, "default")
    from_file, from_environment = _from_file(file, environ, problems), _from_environment(environ, problems)
    for given in chain(from_file, from_environment, _from_flags(flags)):
        _take(given, values, problems)
        origins[given.key] = given.origin
    settings = build(values, origins)
    problems = problems or list(_conflicts(settings))  # between values that are right by themselves
    if problems:
        raise Rejected(problems)
    return settings


def _take(given: _Given, values: dict[str, Any], problems: list[Problem]) -> None:
    field = FIELDS[given.key]
    try:
        values[given.key] = given.read(field.kind, given.raw)
    except SettingError as error:
        problems.append(Problem(given.source, given.name, str(error), f"write: {field.kind.form}"))


def _from_flags(flags: Mapping[str, str]) -> Iterator[_Given]:
    for key, text in flags.items():
        flag = FIELDS[key].flag_for(text)
        yield _Given("command line", flag, key, f"flag {flag}", text, _parse)


def _from_environment(environ: Mapping[str, str], problems: list[Problem]) -> Iterator[_Given]:
    known = {field.variable: key for key, field in FIELDS.items()}
    for name, text in environ.items():
        if name in known:
            yield _Given("environment", name, known[name], f"environment {name}", text, _parse)
        elif name.startswith(_PREFIX) and name != CONFIG_VARIABLE and not re.fullmatch(_SERVICE_LINK, name):
            problems.append(_unknown("environment", name, known))


def _from_file(file: str | None, environ: Mapping[str, str], problems: list[Problem]) -> Iterator[_Given]:
    named = file or environ.get(CONFIG_VARIABLE)
    path = named or DEFAULT_FILE
    try:
        data = _content(path)
    except FileNotFoundError:
        if named:
            problems.append(
                Problem(path, "", "the settings file is missing", "create it or name another with --config")
            )
        return
    except OSError as error:
        problems.append(Problem(path, "", f"the settings file cannot be read: {error.strerror}"))
        return
    for key, value in _entries(path, _document(path, data, problems), problems):
        yield _Given(path, key, key, path, value, _native)


def _parse(kind: Kind[Any], text: Any) -> Any:
    return kind.parse(text)


def _native(kind: Kind[Any], value: Any) -> Any:
    return kind.native(value)


def _content(path: str) -> bytes:
    """The file's bytes; OSError for what is no regular file (a FIFO would block) or is too large.

    Links are followed: a mounted ConfigMap consists of them.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        state = os.fstat(descriptor)
        if not stat.S_ISREG(state.st_mode):
            raise OSError(0, "it is not a regular file", path)
        data = file.read(_MAX_FILE_BYTES + 1)
    if len(data) > _MAX_FILE_BYTES:
        raise OSError(0, "it is larger than 1 MiB", path)
    return data


def _document(path: str, data: bytes, problems: list[Problem]) -> Mapping[str, Any]:
    import tomllib  # noqa: PLC0415 - not needed where there is no file

    try:
        return tomllib.loads(data.decode())
    except UnicodeDecodeError as error:
        problems.append(Problem(path, "", f"byte {error.start} is not UTF-8", "save the file as UTF-8"))
    except tomllib.TOMLDecodeError as error:
        problems.append(Problem(path, "", f"not valid TOML: {error}"))
    except RecursionError:
        problems.append(Problem(path, "", "not valid TOML: nested too deeply"))
    return {}


def _entries(path: str, document: Mapping[str, Any], problems: list[Problem]) -> Iterator[tuple[str, Any]]:
    """Known keys with their values, tables flattened; what is unknown becomes a problem."""
    for name, value in document.items():
        if name not in SECTIONS:
            inner = {name: value}
            prefix = ""
        elif isinstance(value, Mapping):
            inner = dict(value)
            prefix = name + "."
        else:
            advice = f"write [{name}] and below it the settings of {name}"
            problems.append(Problem(path, name, f"{quoted(value)} is not a table", advice))
            continue
        for key, entry in inner.items():
            # a quoted key that holds a dot, as "drift.debounce" at the top, is not the same as a table
            if prefix + key in FIELDS and "." not in key:
                yield prefix + key, entry
            else:
                problems.append(_unknown(path, prefix + key, FIELDS))


def _unknown(source: str, name: str, known: Iterable[str]) -> Problem:
    import difflib  # noqa: PLC0415 - only needed when something is wrong

    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    advice = f"did you mean {near[0]}?" if near else "`nodeagent config docs` lists all settings"
    return Problem(source, quoted(name)[1:-1], "there is no such setting", advice)


def _conflicts(settings: Settings) -> Iterator[Problem]:
    metrics, health = settings.metrics.address, settings.health.address
    if metrics is not None and metrics == health and metrics.port:
        message = f"{metrics} is also health.address ({settings.origins['health.address']})"
        origin = settings.origins["metrics.address"]
        yield Problem(origin, "metrics.address", message, "give each its own port, or leave one empty")
