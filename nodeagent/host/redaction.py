"""Command lines and other text as they may be shown: printable, without the values of what names a secret.

Invariant: what follows a word that says password, secret, token or key never comes out, be it attached by =
or : or the next argument, inside a script or by itself. Hiding too much is harmless; a secret without such a
word cannot be told from other text.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

MAX_LENGTH = 256  # characters
_HIDDEN = "***"

_SENSITIVE = r"(?:passw(?:or)?d|passphrase|secret|token|credentials?|(?<![A-Za-z])(?:pass|pwd|auth)(?![A-Za-z])|key)"
_NAME = re.compile(_SENSITIVE, re.IGNORECASE)
_REST = r"[\w.-]{0,40}"  # of a name; bounded, so that no command line makes the search slow
_VALUE = r"""(?:"(?:\\.|[^"\\])*"?|'[^']*'?|[^\s;&|"']+)+"""
_ASSIGNED = re.compile(rf"({_SENSITIVE}{_REST}[\"']?\s*[=:]\s*){_VALUE}", re.IGNORECASE)
_OPTION = re.compile(rf"--?{_REST}{_SENSITIVE}{_REST}", re.IGNORECASE)
_OPTION_IN_TEXT = re.compile(rf"((?<!\S)--?{_REST}{_SENSITIVE}{_REST}\s+){_VALUE}", re.IGNORECASE)
_SCHEME = re.compile(r"\b((?:bearer|basic|digest)\s+)[\w.~+/=-]+", re.IGNORECASE)
_USERINFO = re.compile(r"(://[^/\s:@]*:)[^/\s@]+(?=@)")
_AUTHORIZATION = re.compile(r"(authorization[\"']?\s*[=:]\s*)(?!\s*(?:bearer|basic|digest)\b)\S+", re.IGNORECASE)

# What is a secret by its form, or tells of one: PEM, password hashes (crypt(5)), data URLs, SHA-256 digests, which
# confirm a guess.
_BY_FORM = re.compile(
    r"-----BEGIN [^-]*-----.*?(?:-----END [^-]*-----|\Z)"
    r"|\$[0-9a-z]{1,8}\$[^\s\"'$]*\$[^\s\"']+"
    r"|(?<=data:)[^\s\"']*,[^\s\"']+"
    r"|\b[0-9a-f]{64}\b",
    re.DOTALL,
)

# Short options that carry a secret: -pSECRET for the MySQL family, -u user:SECRET for curl.
_PASSWORD_OPTIONS = {
    "mysql": "-p",
    "mysqladmin": "-p",
    "mysqldump": "-p",
    "mariadb": "-p",
    "sshpass": "-p",
    "curl": "-u",
}


def command_line(arguments: Sequence[str]) -> str:
    """The arguments joined by spaces, secrets hidden, at most 256 characters."""
    shown: list[str] = []
    short = _PASSWORD_OPTIONS.get(arguments[0].rpartition("/")[2]) if arguments else None
    hide_next = False
    for argument in arguments:
        shown.append(_HIDDEN if hide_next else _argument(argument, short))
        hide_next = not hide_next and (argument == short or _OPTION.fullmatch(argument) is not None)
    text = printable(" ".join(shown))
    return text if len(text) <= MAX_LENGTH else text[: MAX_LENGTH - 1] + "…"


def _argument(argument: str, short: str | None) -> str:
    if short and argument.startswith(short) and argument != short:
        return short + _HIDDEN
    for pattern in (_SCHEME, _AUTHORIZATION, _ASSIGNED, _OPTION_IN_TEXT, _USERINFO):
        argument = pattern.sub(rf"\g<1>{_HIDDEN}", argument)
    return argument


def text(words: str) -> str:
    """A message or a line of a log, whole, with secrets hidden; what holds several lines becomes one."""
    return printable(_argument(_BY_FORM.sub(_HIDDEN, words), None))


def field(name: str, words: str) -> str:
    """The text of a field called `name`: hidden where that names a secret, unless it says where the secret is."""
    return _HIDDEN if words and not words.startswith("/") and _NAME.search(name) else text(words)


def printable(text: str) -> str:
    """Without control characters and line breaks, which could forge lines of a log or steer a terminal."""
    return "".join(character if character.isprintable() else "�" for character in text)
