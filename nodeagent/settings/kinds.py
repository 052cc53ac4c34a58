"""Kinds of setting: how a value is read from text or from TOML, checked, and written again.

Invariants: `parse` and `native` return a value that is in range or raise SettingError with a sentence that
says what is wrong; `parse(show(value)) == value`, so what `config show` prints can be set again.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

V = TypeVar("V")
Number = TypeVar("Number", int, float)


class SettingError(ValueError):
    """A value that a setting cannot have; the text says what was found and what is wrong with it."""


class Kind(Protocol[V]):
    """How values of one kind are read and written; `form` tells a person what to write.

    `native` takes a value as TOML gives it, `parse` takes the text of an environment variable or a flag;
    `show` is text that `parse` takes, `plain` a JSON value that `native` takes.
    """

    @property
    def form(self) -> str: ...

    def parse(self, text: str) -> V: ...

    def native(self, value: object) -> V: ...

    def show(self, value: V) -> str: ...

    def plain(self, value: V) -> Any: ...


def quoted(value: object) -> str:
    """A value for a message: bounded, and without control characters."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def string(value: object) -> str:
    """`value` itself; SettingError if it is no string."""
    if not isinstance(value, str):
        raise SettingError(f"{quoted(value)} is not a string")
    return value


def bounded(value: Number, low: Number, high: Number, show: Callable[[Number], str]) -> Number:
    """`value` itself; SettingError if it is not within `low` and `high`, both included."""
    if not low <= value <= high:
        raise SettingError(f"{show(value)} is outside {show(low)} to {show(high)}")
    return value


@dataclass(frozen=True)
class Text:
    """Text that `check` accepts; `check` raises SettingError with what is wrong."""

    form: str
    check: Callable[[str], None]

    def parse(self, text: str) -> str:
        self.check(text)
        return text

    def native(self, value: object) -> str:
        return self.parse(string(value))

    def show(self, value: str) -> str:
        return value

    plain = show


def matching(form: str, pattern: str) -> Text:
    """Text that matches `pattern` from end to end."""

    def check(text: str) -> None:
        if not re.fullmatch(pattern, text):
            raise SettingError(f"{quoted(text)} is not a {form}")

    return Text(form, check)


def one_of(*words: str) -> Text:
    """One of a few words."""

    def check(text: str) -> None:
        if text not in words:
            raise SettingError(f"{quoted(text)} is none of the choices")

    return Text(" | ".join(words), check)


def _clean_absolute(path: str) -> None:
    if not path.startswith("/"):
        raise SettingError(f"{quoted(path)} is not an absolute path")
    if not path.isprintable():
        raise SettingError(f"{quoted(path)} holds characters that cannot be printed")
    if os.path.normpath(path) != path:
        raise SettingError(f"{quoted(path)} is not clean: no '.', '..', '//' or '/' at the end")


ABSOLUTE_PATH = Text("absolute path", _clean_absolute)


@dataclass(frozen=True)
class HostPath:
    """A path outside any target root; relative to the working directory only as text, never in a file."""

    optional: bool = False

    @property
    def form(self) -> str:
        return "path, absolute where it stands in a file" + ("; or empty" if self.optional else "")

    def parse(self, text: str) -> str:
        if text:
            return self.native(os.path.abspath(text))
        return self.native(text)

    def native(self, value: object) -> str:
        if value == "":
            if self.optional:
                return ""
            raise SettingError("the path is empty")
        return ABSOLUTE_PATH.native(value)

    def show(self, value: str) -> str:
        return value

    plain = show


class Switch:
    """On or off."""

    form = "true | false"

    def parse(self, text: str) -> bool:
        if text not in ("true", "false"):
            raise SettingError(f"{quoted(text)} is neither true nor false")
        return text == "true"

    def native(self, value: object) -> bool:
        if not isinstance(value, bool):
            raise SettingError(f"{quoted(value)} is neither true nor false")
        return value

    def show(self, value: bool) -> str:
        return "true" if value else "false"

    def plain(self, value: bool) -> bool:
        return value
