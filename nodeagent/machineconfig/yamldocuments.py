"""YAML 1.2, read and written as values of JSON.

Integers may be octal here (0644 of YAML 1.1 and 0o644 of 1.2, as kubectl reads them). What is written is read as the
same value by every reader, of YAML 1.1 or 1.2.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import yaml

from nodeagent.machineconfig.jsondocuments import INTEGER_DIGITS, Unreadable

ALIAS_LIMIT: Final = 1 << 20  # characters and values that the aliases of one source may expand to
NODE_LIMIT: Final = 1 << 18  # values in the YAML of one source
DEPTH_LIMIT: Final = 100
_QUOTED: Final = 40  # characters of a tag or an alias

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_Dumper: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)

_WORDS: Final = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_NUMBER: Final = re.compile(r"[-+.0-9]")
_NUMBERS: Final[tuple[tuple[re.Pattern[str], Callable[[str], float]], ...]] = (
    (re.compile(r"0o?[0-7]+"), lambda text: int(text.removeprefix("0o"), 8)),
    (re.compile(r"[-+]?(?:0|[1-9][0-9]*)"), int),
    (re.compile(r"0x[0-9a-fA-F]+"), lambda text: int(text, 16)),
    (re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?"), float),
    (re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"), lambda text: float(text.replace(".", ""))),
)

_LAID_OUT: Final = str.maketrans("", "", "\n\t")
_TAGS: Final = {
    "tag:yaml.org,2002:str": str,
    "tag:yaml.org,2002:map": dict,
    "tag:yaml.org,2002:seq": list,
    "!": str,
}


def dump_yaml(value: Any) -> str:
    """A JSON value as YAML that every reader takes for the same value; keys keep their order."""
    return str(yaml.dump(value, Dumper=_TextDumper, sort_keys=False, allow_unicode=True, width=1 << 20))


class _TextDumper(_Dumper):  # type: ignore[misc] # chosen at run time: libyaml's if PyYAML was built with it
    """Quotes every string that a reader of YAML 1.1 or 1.2 would take for something else; writes no aliases."""

    def ignore_aliases(self, _data: Any) -> bool:
        return True

    def represent_string(self, text: str) -> Any:
        return self.represent_scalar("tag:yaml.org,2002:str", text, style=_style(text))


def _style(text: str) -> str | None:
    if not text.translate(_LAID_OUT).isprintable():
        return '"'  # escapes what readers may take for a line break, or drop
    if "\n" in text:
        return "|"
    return None if isinstance(_plain(text), str) else "'"


_TextDumper.add_representer(str, _TextDumper.represent_string)


def parse_yaml(text: str) -> list[Any]:
    """The values of all documents in `text`; Unreadable says why there are none."""
    try:
        return list(_Composer(text).documents())
    except yaml.YAMLError as error:
        raise Unreadable(f"is no YAML: {_explain(error)}") from error


def _explain(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or getattr(error, "reason", None) or "cannot be read"
    return f"line {mark.line + 1}, column {mark.column + 1}: {problem}" if mark else str(problem)


@dataclass(slots=True)
class _Collection:
    """A list or object under construction; `size` counts the characters and values below it, aliases expanded."""

    value: Any
    anchor: str | None
    key: str | None = None
    size: int = 1


@dataclass
class _Composer:
    """Builds values from events without recursion."""

    text: str
    anchors: dict[str, tuple[Any, int]] = field(default_factory=dict)
    stack: list[_Collection] = field(default_factory=list)
    expanded: int = 0
    nodes: int = 0

    def documents(self) -> Iterator[Any]:
        """The value of each document in turn; documents that hold nothing are left out."""
        for event in yaml.parse(self.text, Loader=_Loader):
            if isinstance(event, yaml.DocumentStartEvent):
                self.anchors.clear()
                self.stack.append(_Collection([], None))
            elif isinstance(event, yaml.DocumentEndEvent):
                (value,) = self.stack.pop().value
                if value is not None:
                    yield value
            else:
                self._take(event)

    def _take(self, event: yaml.Event) -> None:
        match event:
            case yaml.ScalarEvent():
                self._add(_scalar(event), len(event.value) + 1, event.anchor, event)
            case yaml.AliasEvent():
                self._add(*self._resolve(event), None, event)
            case yaml.MappingStartEvent() | yaml.SequenceStartEvent():
                self._open(event)
            case yaml.MappingEndEvent() | yaml.SequenceEndEvent():
                done = self.stack.pop()
                self._add(done.value, done.size, done.anchor, event)

    def _open(self, event: yaml.MappingStartEvent | yaml.SequenceStartEvent) -> None:
        if len(self.stack) > DEPTH_LIMIT:
            raise Unreadable(f"{_line(event)} is nested more than {DEPTH_LIMIT} levels deep")
        value: Any = {} if isinstance(event, yaml.MappingStartEvent) else []
        if event.tag is not None and _TAGS.get(event.tag) is not type(value):
            raise Unreadable(f"{_line(event)} has tag {_clipped(event.tag)!r}, which means nothing here; remove it")
        self.stack.append(_Collection(value, event.anchor))

    def _resolve(self, event: yaml.AliasEvent) -> tuple[Any, int]:
        if event.anchor not in self.anchors:
            raise Unreadable(f"{_line(event)} uses alias *{_clipped(event.anchor)}, which is not defined before it")
        value, size = self.anchors[event.anchor]
        self.expanded += size
        if self.expanded > ALIAS_LIMIT:
            raise Unreadable(f"{_line(event)} makes the aliases expand to more than {ALIAS_LIMIT >> 20} MiB")
        return value, size

    def _add(self, value: Any, size: int, anchor: str | None, event: yaml.Event) -> None:
        self.nodes += 1
        if self.nodes > NODE_LIMIT:
            raise Unreadable(f"{_line(event)} exceeds {NODE_LIMIT} values; split the source, or write it as JSON")
        if anchor is not None:
            self.anchors[anchor] = (value, size)
        parent = self.stack[-1]
        parent.size += size
        if isinstance(parent.value, list):
            parent.value.append(value)
        elif parent.key is None:
            parent.key = self._key(value, parent, event)
        else:
            parent.value[parent.key] = value
            parent.key = None

    def _key(self, value: Any, parent: _Collection, event: yaml.Event) -> str:
        if not isinstance(value, str):
            raise Unreadable(f"{_line(event)} has a key that is no string; put it in quotes")
        if value == "<<" and isinstance(event, yaml.ScalarEvent) and event.implicit[0]:
            raise Unreadable(f"{_line(event)} has a merge key (<<), which YAML 1.2 has not; write the keys out")
        if value in parent.value:
            raise Unreadable(f"{_line(event)}: key {value!r} stands twice in one object; remove one of them")
        return value


def _line(event: Any) -> str:
    return f"line {event.start_mark.line + 1}"


def _clipped(word: str | None) -> str:
    """Enough of a word to find it by: what should be a value may be a secret."""
    return word if word and len(word) <= _QUOTED else f"{(word or '')[:_QUOTED]}…"


def _scalar(event: yaml.ScalarEvent) -> Any:
    if event.tag is not None:
        if _TAGS.get(event.tag) is not str:
            raise Unreadable(f"{_line(event)} has tag {_clipped(event.tag)!r}, which means nothing here; remove it")
        return event.value
    return _plain(event.value) if event.implicit[0] else event.value


def _plain(text: str) -> Any:
    """The value of an unquoted scalar (YAML 1.2 core schema, and octal as in 1.1)."""
    if text in _WORDS:
        return _WORDS[text]
    if not _NUMBER.match(text) or len(text) > INTEGER_DIGITS:
        return text
    for pattern, number in _NUMBERS:
        if pattern.fullmatch(text):
            return number(text)
    return text
