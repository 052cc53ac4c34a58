"""JSON, read strictly: no key twice, no constants that JSON has not, no numbers of any length."""

from __future__ import annotations

import json
from typing import Any, Final

INTEGER_DIGITS: Final = 40


class Unreadable(Exception):
    """A text is no document; says why and where, without quoting more than a key."""


class NotJSON(Exception):
    """A text is not JSON at all, but may be something else."""


def parse_json(text: str) -> Any:
    """The value of a text; NotJSON says where it is none, Unreadable why it is none that we take."""
    try:
        return json.loads(text, object_pairs_hook=_object, parse_constant=_constant, parse_int=_integer)
    except json.JSONDecodeError as error:
        raise NotJSON(f"line {error.lineno}, column {error.colno}: {error.msg}") from error
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
    raise NotJSON(f"{name} is no JSON")


def _integer(digits: str) -> int:
    if len(digits) > INTEGER_DIGITS:  # Python refuses to convert very long ones, with an error of its own
        raise Unreadable(f"holds a number of more than {INTEGER_DIGITS} digits")
    return int(digits)
