"""systemd unit files: sections of options, in order (systemd.syntax(7)).

Refuses no text that Ignition's parser accepts. Continued lines are joined as systemd does it: with a space, comments
between them skipped.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

_LONG_LINE: Final = re.compile(rb"[^\r\n]{2048}")
_BEFORE_SECTION: Final = re.compile(r"[^\[#;]*")
_SPACE: Final = re.compile(r"\s*")
_COMMENT: Final = re.compile(r"(?:[^\n]*\\ ?\n)*[^\n]*(?:\n|\Z)")
_LINE: Final = re.compile(r"([^\n]*)(?:\n|\Z)")
_OPTION_NAME: Final = re.compile(r"([^=\r\n]*)=")


@dataclass(frozen=True, slots=True)
class UnitFile:
    """A parsed unit file: (section, options) in the order of the text, an option being (key, value)."""

    sections: tuple[tuple[str, tuple[tuple[str, str], ...]], ...]

    def has_section(self, name: str) -> bool:
        return any(section == name for section, _ in self.sections)

    def values(self, section: str, key: str) -> tuple[str, ...]:
        """Every value of a key that may be given several times; an empty one resets those before it."""
        values: list[str] = []
        for name, options in self.sections:
            for option, value in options if name == section else ():
                if option == key:
                    values = [*values, value] if value else []
        return tuple(values)


def check_lines(text: str) -> None:
    """ValueError if a line has 2048 bytes or more: Ignition refuses those, and old systemd cut them off.

    As there, the first byte of the text does not count.
    """
    if _LONG_LINE.search(text.encode(), 1):
        raise ValueError("a line is longer than 2047 bytes; break it with a backslash at its end")


def parse(text: str) -> UnitFile:
    """The sections and options of a unit file's text; ValueError says what is wrong, without quoting the text."""
    return UnitFile(tuple((name, tuple(options)) for name, options in _Parser(text).sections()))


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._position = 0

    def sections(self) -> list[tuple[str, list[tuple[str, str]]]]:
        """All sections; what stands before the first one is skipped."""
        sections: list[tuple[str, list[tuple[str, str]]]] = []
        self._take(_BEFORE_SECTION)
        while self._position < len(self._text):
            first = self._text[self._position]
            if first == "[":
                sections.append((self._section_name(), []))
            elif first in "#;":
                self._take(_COMMENT)
            else:
                sections[-1][1].append(self._option())
            self._take(_SPACE if sections else _BEFORE_SECTION)
        return sections

    def _take(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        match = pattern.match(self._text, self._position)
        if match:
            self._position = match.end()
        return match

    def _section_name(self) -> str:
        end = self._text.find("]", self._position)
        if end < 0:
            raise ValueError(f"line {self._line()}: a section's name has no closing bracket")
        name = self._text[self._position + 1 : end]
        self._position = end + 1
        line = self._line()
        if self._rest_of_line().strip():
            raise ValueError(f"line {line}: there is text after a section's name")
        return name

    def _option(self) -> tuple[str, str]:
        name = self._take(_OPTION_NAME)
        if name is None:
            raise ValueError(f"line {self._line()}: neither a section, an option (Key=value) nor a comment")
        return name[1].strip(), self._value()

    def _value(self) -> str:
        line = self._rest_of_line()
        parts = [line]
        while line.endswith("\\") and self._position < len(self._text):
            line = self._continuation()
            parts.append(line)
        return " ".join(part.removesuffix("\\") for part in parts).strip()

    def _continuation(self) -> str:
        """The next line that is no comment."""
        line = self._rest_of_line()
        while line.lstrip().startswith(("#", ";")):
            line = self._rest_of_line()
        return line

    def _rest_of_line(self) -> str:
        match = self._take(_LINE)
        return match[1] if match else ""

    def _line(self) -> int:
        return self._text.count("\n", 0, self._position) + 1
