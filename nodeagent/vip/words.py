"""Logical lines of a keepalived.conf, and the words in them.

Invariant: what comes out is what keepalived's own reader would see: comments gone, lines that end in a backslash
joined, lines for other nodes left out, parameters replaced, quotes taken off, braces apart from words
(keepalived.conf(5), "Quoted strings", "Conditional configuration", "Parameter substitution").
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_TOKEN = re.compile(
    r"""
    (?P<space>[ \t\r\f\v]+)
  | (?P<comment>[\#!].*)
  | (?P<brace>[{}])
  | (?P<word>(?: "(?:\\.|[^"\\])*" | '(?:\\.|[^'\\])*' | \$\{\w+\} | [^\s{}"'\#!] )+)
  | (?P<stray>.)
    """,
    re.VERBOSE,
)
_QUOTED = re.compile(r""""((?:\\.|[^"\\])*)"|'((?:\\.|[^'\\])*)'""")
_ESCAPE = re.compile(r"\\(.)")
_ESCAPED = {"a": "\a", "b": "\b", "E": "\x1b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_DEFINITION = re.compile(r"\s*\$(\w+)=(.*)", re.DOTALL)
_PARAMETER = re.compile(r"\$(?:\{(\w+)\}|(\w+))")
_CONDITION = re.compile(r"\s*@(\^?)(\S+)(?:\s+(.*))?", re.DOTALL)
_DEPTH = 16  # parameters in the values of parameters


@dataclass(frozen=True)
class Token:
    """A word without its quotes, or a brace."""

    text: str
    brace: bool = False


class Unreadable(ValueError):
    """A line that cannot be split into words; the text says why."""


def tokens(line: str) -> tuple[Token, ...]:
    """The words and braces of one line; Unreadable for a quote that does not end."""
    found = []
    for match in _TOKEN.finditer(line):
        if match.lastgroup == "stray":
            raise Unreadable(f"a quote ({match[0]}) is not closed on its line")
        if match.lastgroup in ("word", "brace"):
            found.append(Token(_unquoted(match[0]), match.lastgroup == "brace"))
    return tuple(found)


def _unquoted(word: str) -> str:
    return _QUOTED.sub(lambda match: _ESCAPE.sub(_character, match[1] or match[2] or ""), word)


def _character(match: re.Match[str]) -> str:
    return _ESCAPED.get(match[1], match[1])


def joined(text: str) -> Iterator[tuple[int, str]]:
    """Lines by the number they begin at, with those that end in a backslash joined by a newline."""
    first, held = 1, ""
    for number, line in enumerate(text.splitlines(), start=1):
        if not held:
            first = number
        if line.endswith("\\"):
            held += line[:-1] + "\n"
            continue
        yield first, held + line
        held = ""
    if held:
        yield first, held


class Reader:
    """Follows conditions and parameters down a file and those that it includes, as keepalived does.

    `config_id` is what lines that begin with '@' are compared with: keepalived's -i, else the host name.
    """

    def __init__(self, config_id: str) -> None:
        self._config_id = config_id
        self._parameters = {"_HASH": "#", "_BANG": "!"}

    def lines(self, logical: str) -> Iterator[str]:
        """The plain lines that a logical line stands for: none for a definition or for a line of another node."""
        text = self._selected(logical)
        definition = _DEFINITION.match(text)
        if definition is not None:
            self._parameters[definition[1]] = definition[2].lstrip("\n").strip()
        elif "$" in text:
            for line in self._replaced(text).splitlines():
                yield self._selected(line)
        else:
            yield from text.splitlines()

    def _selected(self, line: str) -> str:
        condition = _CONDITION.fullmatch(line)
        if condition is None:
            return line
        return (condition[3] or "") if (condition[2] == self._config_id) != bool(condition[1]) else ""

    def _replaced(self, text: str) -> str:
        for _ in range(_DEPTH):
            after = _PARAMETER.sub(self._value, text)
            if after == text:
                return after
            text = after
        return text

    def _value(self, match: re.Match[str]) -> str:
        """A name that nobody defined stays as it is."""
        return self._parameters.get(match[1] or match[2], match[0])
