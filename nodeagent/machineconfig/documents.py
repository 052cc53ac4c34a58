"""From bytes to JSON values: YAML 1.2 and JSON documents, as people and machines write them.

A value holds only dict, list, str, int, float, bool and None, whatever the input; nothing is guessed into dates, and
yes, no, on and off stay words. Hostile input costs no more than its size: nesting, aliases and sizes have limits, and a
key that stands twice is an error, since which one counts depends on who reads it.
"""

from __future__ import annotations

import json
from typing import Any, Final

SIZE_LIMIT: Final = 32 << 20  # bytes of one source
INTEGER_DIGITS: Final = 40


class Unreadable(Exception):
    """A text is no document; says why and where, without quoting more than a key."""


def parse(data: bytes, *, strict_json: bool = False) -> list[Any]:
    """The values of all documents in `data`; Unreadable says why there are none.

    JSON is tried first where the text looks like it; with `strict_json` nothing else is.
    """
    if len(data) > SIZE_LIMIT:
        raise Unreadable(f"is larger than {SIZE_LIMIT >> 20} MiB")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise Unreadable(f"line {line} is not UTF-8 (byte {data[error.start]:#04x})") from error
    if strict_json or text.lstrip()[:1] == "{":
        try:
            return [_parse_json(text)]
        except _NotJSON as error:
            if strict_json:
                raise Unreadable(f"is no JSON: {error}") from error
    from nodeagent.machineconfig.yamldocuments import parse_yaml  # noqa: PLC0415 - not needed where all is JSON

    return parse_yaml(text)


class _NotJSON(Exception):
    pass


def _parse_json(text: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_object, parse_constant=_constant, parse_int=_integer)
    except json.JSONDecodeError as error:
        raise _NotJSON(f"line {error.lineno}, column {error.colno}: {error.msg}") from error
    except RecursionError as error:
        raise Unreadable("is nested too deeply") from error


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise Unreadable(f"key {twice!r} stands twice in one object; remove one of them")
    return value


def _constant(name: str) -> float:
    raise _NotJSON(f"{name} is no JSON")


def _integer(digits: str) -> int:
    if len(digits) > INTEGER_DIGITS:  # Python refuses to convert very long ones, with an error of its own
        raise Unreadable(f"holds a number of more than {INTEGER_DIGITS} digits")
    return int(digits)
