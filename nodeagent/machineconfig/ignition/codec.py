"""Between JSON values and the dataclasses that describe them; the same code for every class.

Decoding never raises on JSON values: it yields the most that can be made of them, with a finding for each wrong type
and each unknown key, and without ever taking one type for another (True is no integer, 420.0 is no integer, "0644" is
no integer), as Go's encoding/json does for Ignition. Encoding leaves out what is not set and keeps what is set on
purpose: an empty string and false. Decoding what was encoded yields an equal value.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from difflib import get_close_matches
from functools import cache
from types import UnionType
from typing import Any, Final, TypeVar, get_args, get_origin, get_type_hints

from nodeagent.errors import Problem
from nodeagent.machineconfig.ignition.findings import Findings, Place
from nodeagent.machineconfig.ignition.model import Config

T = TypeVar("T")

_INTEGERS = range(-(1 << 63), 1 << 63)  # Ignition's integers are 64 bits wide
_OCTAL = re.compile(r"0o?[0-7]{1,5}")
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_WORDS: Final[Mapping[type, str]] = {
    dict: "an object",
    list: "a list",
    str: "a string",
    bool: "a boolean",
    int: "an integer",
    float: "a fractional number",
    type(None): "null",
}


class _Wrong:
    """Stands for a value of the wrong type, which was reported."""


_WRONG: Final = _Wrong()

_Read = Callable[[object, Place], object]


@dataclass(frozen=True)
class Decoded:
    """A decoded config with what was found on the way; `config` is None if the document is no object at all."""

    config: Config | None
    problems: tuple[Problem, ...]
    warnings: tuple[Problem, ...]


def decode(document: object, *, object: str, at: str) -> Decoded:  # noqa: A002 - Problem's own word
    """The Ignition config in `document`, which stands at JSON path `at` of `object`."""
    findings = Findings()
    config = read(Config, document, findings.at(""))
    return Decoded(config, *findings.split(object, at))


def read(cls: type[T], document: object, place: Place) -> T | None:
    """An instance of dataclass `cls` made of a JSON object; None, and a finding, if it is none."""
    value = _read_object(cls, document, place)
    return value if isinstance(value, cls) else None


def encode(value: object) -> Any:
    """The JSON form of a dataclass instance, without what is not set."""
    if isinstance(value, tuple):
        return [encode(entry) for entry in value]
    if not is_dataclass(value) or isinstance(value, type):
        return value
    plans = _plans(type(value))
    pairs = ((plan.key, getattr(value, plan.name), plan) for plan in plans.values())
    return {key: encode(part) for key, part, plan in pairs if part != plan.default}


@dataclass(frozen=True, slots=True)
class _Plan:
    """How one key is read. `required` keys have no way to say that they are not set."""

    name: str
    key: str
    read: _Read
    default: object
    required: bool


@cache
def _plans(cls: type) -> dict[str, _Plan]:
    hints = get_type_hints(cls)
    plans = {}
    for field in fields(cls):
        key = json_key(field)
        default = field.default if field.default is not MISSING else None
        required = hints[field.name] is str
        plans[key] = _Plan(field.name, key, _reader(hints[field.name]), default, required)
    return plans


def json_key(field: Field[Any]) -> str:
    """The JSON name of a dataclass's field: its own in camel case, unless the metadata has another."""
    if "key" in field.metadata:
        return str(field.metadata["key"])
    first, *others = field.name.split("_")
    return first + "".join(word.capitalize() for word in others)


def _reader(hint: Any) -> _Read:
    if isinstance(hint, UnionType):
        (inner,) = (part for part in get_args(hint) if part is not type(None))
        return _reader(inner)
    if get_origin(hint) is tuple:
        entry = get_args(hint)[0]
        read_entry = _reader(entry)
        return lambda value, place: _read_list(read_entry, entry(), value, place)
    if isinstance(hint, type) and is_dataclass(hint):
        cls: type = hint
        return lambda value, place: _read_object(cls, value, place)
    return {str: _read_string, int: _read_integer, bool: _read_boolean}[hint]


def _read_object(cls: type, value: object, place: Place) -> object:
    if not isinstance(value, dict):
        return _mismatch("an object", value, place)
    plans = _plans(cls)
    values: dict[str, Any] = {}
    for key, part in value.items():
        plan = plans.get(key)
        if plan is None:
            _unknown(cls, key, value, place)
        elif part is not None:
            read_part = plan.read(part, place.at(f".{key}"))
            if read_part is not _WRONG:
                values[plan.name] = read_part
    return cls(**values)


def _read_list(read_entry: _Read, blank: object, value: object, place: Place) -> object:
    """A wrong entry becomes a blank one, so that those after it keep their places."""
    if not isinstance(value, list):
        return _mismatch("a list", value, place)
    entries = (read_entry(entry, place.at(f"[{index}]")) for index, entry in enumerate(value))
    return tuple(blank if entry is _WRONG else entry for entry in entries)


def _read_string(value: object, place: Place) -> object:
    if not isinstance(value, str):
        scalar = isinstance(value, (bool, int, float))
        return _mismatch("a string", value, place, "put it in quotes" if scalar else "")
    try:
        value.isascii() or value.encode()
    except UnicodeEncodeError:
        place.problem("", "holds half of a surrogate pair, which is no text", "mend its \\u escapes")
        return _WRONG
    return value


def _read_integer(value: object, place: Place) -> object:
    if not isinstance(value, int) or isinstance(value, bool):
        return _mismatch("an integer", value, place, _integer_advice(value))
    if value not in _INTEGERS:
        place.problem("", "is too large for a 64-bit integer")
        return _WRONG
    return value


def _integer_advice(value: object) -> str:
    if isinstance(value, str) and _OCTAL.fullmatch(value):
        decimal = int(value.removeprefix("0o"), 8)
        return f"write {decimal} (octal {decimal:04o}); YAML also takes {decimal:#o} without quotes"
    return "write it without quotes" if isinstance(value, str) else ""


def _read_boolean(value: object, place: Place) -> object:
    if not isinstance(value, bool):
        return _mismatch("a boolean", value, place, "write true or false, without quotes")
    return value


def _mismatch(expected: str, value: object, place: Place, advice: str = "") -> _Wrong:
    place.problem("", f"expected {expected}, found {_WORDS.get(type(value), 'something else')}", advice)
    return _WRONG


def member(key: str) -> str:
    """One step of a JSON path: .key, or ['key'] where the key is no plain name."""
    return f".{key}" if _IDENTIFIER.fullmatch(key) else f"[{key!r}]"


def _unknown(cls: type, key: str, siblings: Mapping[str, object], place: Place) -> None:
    """Unknown keys are ignored by Ignition; one that stands where a required key is missing is a mistake."""
    plans = _plans(cls)
    path = member(key)
    meant = nearest(key, plans, getattr(cls, "mistakes", {}))
    if meant and plans[meant].required and meant not in siblings:
        place.problem(path, f"unknown key {key!r}, and {meant!r} is missing; did you mean {meant!r}?")
    else:
        place.warn(path, f"unknown key {key!r} is ignored" + (f"; did you mean {meant!r}?" if meant else ""))


def nearest(key: str, known: Iterable[str], mistakes: Mapping[str, str]) -> str:
    """The key that was probably meant by `key`, or "" if there is none."""
    if key in mistakes and mistakes[key] in known:
        return mistakes[key]
    folded = {name.casefold(): name for name in known}
    matches = get_close_matches(key[:64].casefold(), folded, n=1, cutoff=0.7)
    return folded[matches[0]] if matches else ""
