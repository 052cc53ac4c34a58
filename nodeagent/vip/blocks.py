"""keepalived.conf as statements: a line of words, and the block in braces that may follow it.

Invariant: reading is total. What cannot be read becomes a Problem with its file and line, and the rest is read on, as
keepalived itself does; includes are followed a bounded number of levels deep.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

from nodeagent.errors import Problem
from nodeagent.vip.words import Reader, Token, Unreadable, joined, tokens

_INCLUDES = frozenset({"include", "includer", "includem", "includew", "includeb", "includea"})
_MAX_DEPTH = 16  # files that include files
_MAX_FILES = 256
_SEQUENCES = ("~SEQ", "~LST")


class Sources(Protocol):
    """The files that a configuration is made of. Paths are absolute."""

    def read(self, path: str) -> str:
        """The text of a file; OSError if it cannot be read."""
        ...

    def matches(self, pattern: str) -> tuple[str, ...]:
        """The paths that a glob names; the pattern itself where it holds no wildcards."""
        ...


@dataclass(frozen=True)
class Where:
    """A line of a file."""

    path: str
    line: int

    def __str__(self) -> str:
        return f"{self.path}:{self.line}"


@dataclass
class Statement:
    """Words of one line with the block that follows them, in which each statement is one again."""

    words: tuple[str, ...]
    where: Where
    body: list[Statement] = field(default_factory=list)

    @property
    def keyword(self) -> str:
        return self.words[0]

    @property
    def value(self) -> str:
        """The word after the keyword; "" if there is none."""
        return self.words[1] if len(self.words) > 1 else ""

    def all(self, *keywords: str) -> Iterator[Statement]:
        """The statements of the block that begin with one of `keywords`."""
        return (each for each in self.body if each.keyword in keywords)

    def last(self, keyword: str) -> Statement | None:
        """The statement that counts where a keyword may stand once: keepalived takes the last one."""
        found = list(self.all(keyword))
        return found[-1] if found else None


@dataclass(frozen=True)
class Document:
    """All statements of a configuration, the files that it was read from, and what is wrong with it."""

    root: Statement
    files: tuple[str, ...]
    problems: tuple[Problem, ...]


def parse(path: str, sources: Sources, config_id: str) -> Document:
    """Read the configuration at `path` with all that it includes."""
    parser = _Parser(sources, config_id)
    parser.file(path, 0)
    return parser.document()


class _Parser:
    def __init__(self, sources: Sources, config_id: str) -> None:
        self._sources = sources
        self._reader = Reader(config_id)
        self._root = Statement(("",), Where("", 0))
        self._open = [self._root]
        self._files: list[str] = []
        self._problems: list[Problem] = []

    def document(self) -> Document:
        if len(self._open) > 1:
            last = self._open[-1]
            self._complain(last.where, f"the block of {last.keyword} is not closed", "add the missing '}'")
        return Document(self._root, tuple(self._files), tuple(self._problems))

    def file(self, path: str, depth: int) -> None:
        try:
            text = self._sources.read(path)
        except OSError as error:
            self._problems.append(Problem(path, "", f"cannot be read: {error.strerror or type(error).__name__}"))
            return
        self._files.append(path)
        for number, logical in joined(text):
            where = Where(path, number)
            if not self._included(logical, where, depth):
                for line in self._reader.lines(logical):
                    self._line(line, where)

    def _included(self, logical: str, where: Where, depth: int) -> bool:
        words = logical.split()
        if len(words) < 2 or words[0] not in _INCLUDES:
            return False
        pattern = words[1].strip("\"'")
        if not pattern.startswith("/"):
            pattern = f"{where.path.rpartition('/')[0]}/{pattern}"
        for path in self._matches(pattern, where):
            if depth >= _MAX_DEPTH or len(self._files) >= _MAX_FILES:
                self._complain(where, f"{path} is one include too many", "look for files that include each other")
                break
            self.file(path, depth + 1)
        return True

    def _matches(self, pattern: str, where: Where) -> tuple[str, ...]:
        try:
            return self._sources.matches(pattern)
        except OSError as error:
            self._complain(where, f"{pattern} cannot be looked up: {error.strerror}")
            return ()

    def _line(self, line: str, where: Where) -> None:
        if line.lstrip().startswith(_SEQUENCES):
            self._complain(where, "a sequence (~SEQ, ~LST) is not followed", "what it makes is not looked at here")
            return
        try:
            found = tokens(line)
        except Unreadable as error:
            self._complain(where, str(error))
            return
        self._statements(found, where)

    def _statements(self, found: tuple[Token, ...], where: Where) -> None:
        words: list[str] = []
        for token in found:
            if not token.brace:
                words.append(token.text)
                continue
            self._add(words, where)
            words = []
            self._enter(where) if token.text == "{" else self._leave(where)
        self._add(words, where)

    def _add(self, words: list[str], where: Where) -> None:
        if words:
            self._open[-1].body.append(Statement(tuple(words), where))

    def _enter(self, where: Where) -> None:
        """A block belongs to the statement before it, on this line or on an earlier one."""
        body = self._open[-1].body
        if not body:
            self._complain(where, "a '{' has no keyword before it")
            body.append(Statement(("",), where))
        self._open.append(body[-1])

    def _leave(self, where: Where) -> None:
        if len(self._open) == 1:
            self._complain(where, "a '}' closes nothing", "remove it, or add the '{' that is missing")
        else:
            self._open.pop()

    def _complain(self, where: Where, message: str, advice: str = "") -> None:
        self._problems.append(Problem(where.path, f"line {where.line}", message, advice))
