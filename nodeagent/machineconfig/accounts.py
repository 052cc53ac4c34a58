"""The account files of a node as bytes: passwd(5), group(5), shadow(5) and authorized_keys (sshd(8)). Pure.

Invariants: a line that the agent did not write comes out byte for byte as it went in; editing twice is editing once; no
error and no repr carries a key or a password hash.
"""

from __future__ import annotations

import base64
import hashlib
import itertools
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

_LAST_CHANGE = 2  # field of shadow(5), in days since the epoch
_HASH = re.compile(r"[!-9;-~]*")  # printable ASCII without the colon; locked accounts have marks that crypt(5) has not


@dataclass(frozen=True, slots=True)
class Account:
    """A user of passwd(5)."""

    name: str
    uid: int
    gid: int
    home: str
    shell: str


@dataclass(frozen=True, slots=True)
class ForeignLine:
    """A line of authorized_keys that the agent did not write; `fingerprint` is as `ssh-keygen -l` prints it."""

    line_number: int
    fingerprint: str
    comment: str


def find_user(passwd: bytes, name: str) -> Account | None:
    """The user called `name`; None if there is none, or if its line is malformed."""
    for fields in _table(passwd, name, 7):
        if fields[2].isdigit() and fields[3].isdigit() and fields[5].startswith(b"/"):
            home, shell = (fields[index].decode(errors="surrogateescape") for index in (5, 6))
            return Account(name, int(fields[2]), int(fields[3]), home, shell)
    return None


def find_group(group: bytes, name: str) -> int | None:
    """The id of the group called `name`; None if there is none."""
    return next((int(fields[2]) for fields in _table(group, name, 4) if fields[2].isdigit()), None)


def password_of(shadow: bytes, name: str) -> str | None:
    """The password field of a user, None if the user has no line."""
    return next((fields[1].decode(errors="surrogateescape") for fields in _table(shadow, name, 9)), None)


def edit_password(shadow: bytes, name: str, hashed: str, today: int) -> bytes:
    """The table with `hashed` as the user's password field, changed `today` (days since the epoch).

    ValueError if the user has no line, or if `hashed` is nothing that crypt(5) could have made.
    """
    if not _HASH.fullmatch(hashed):
        raise ValueError("the password hash holds characters that no crypt(5) hash has")
    field, user = hashed.encode("ascii"), name.encode()
    lines = _lines(shadow)
    for index, line in enumerate(lines):
        fields = line.split(b":")
        if fields[0] == user and len(fields) == 9:
            if fields[1] == field:
                return shadow
            fields[1], fields[_LAST_CHANGE] = field, str(today).encode()
            lines[index] = b":".join(fields)
            return b"".join(lines)
    raise ValueError(f"there is no line for {name!r} in the shadow file")


def digest(field: str) -> str:
    """SHA-256 of a password field, in hex, to compare it without keeping it."""
    return hashlib.sha256(field.encode()).hexdigest()


def _table(text: bytes, name: str, width: int) -> Iterator[list[bytes]]:
    """Fields of the lines that belong to `name`."""
    user = name.encode()
    for line in text.split(b"\n"):
        fields = line.split(b":")
        if fields[0] == user and len(fields) == width:
            yield fields


def _lines(text: bytes) -> list[bytes]:
    """Lines with their ends. Only a newline ends one, as for libc and sshd: a carriage return is part of it."""
    return re.findall(rb"[^\n]*\n|[^\n]+", text)


def merge_keys(existing: bytes, ours_before: Iterable[str], wanted: Iterable[str]) -> bytes:
    """authorized_keys with every wanted key, without those of `ours_before` that are wanted no more.

    A key goes only as the exact line that the agent wrote, and is there in whatever white space stands around it.
    """
    keep = [key.strip().encode() for key in wanted]
    ours = {key.strip().encode() for key in ours_before}.difference(keep)
    lines = [line for line in _lines(existing) if line.removesuffix(b"\n") not in ours]
    present = {line.strip() for line in lines}
    missing = [key for key in keep if key not in present]
    if missing and lines and not lines[-1].endswith(b"\n"):
        lines[-1] += b"\n"
    return b"".join(lines) + b"".join(key + b"\n" for key in dict.fromkeys(missing))


def missing_keys(existing: bytes, wanted: Iterable[str]) -> tuple[str, ...]:
    """The wanted keys that no line holds."""
    present = {line.strip() for line in _lines(existing)}
    return tuple(key for key in wanted if key.strip().encode() not in present)


def foreign_lines(existing: bytes, wanted: Iterable[str]) -> tuple[ForeignLine, ...]:
    """Lines with a key that is not among the wanted ones; comments and empty lines do not count."""
    ours = {key.strip().encode() for key in wanted}
    lines = ((number, line.strip()) for number, line in enumerate(_lines(existing), 1))
    return tuple(
        ForeignLine(number, *_described(line.decode(errors="replace")))
        for number, line in lines
        if line and not line.startswith(b"#") and line not in ours
    )


def fingerprint(key: str) -> str:
    """SHA256 fingerprint of an authorized_keys line, as `ssh-keygen -l` prints it."""
    return _described(key)[0]


def _described(line: str) -> tuple[str, str]:
    """Fingerprint and comment of a line; options in front of the key are passed over, whatever they quote."""
    words = line.split()
    for index, (kind, blob) in enumerate(itertools.pairwise(words)):
        if found := _fingerprint(kind, blob):
            return found, "".join(c for c in " ".join(words[index + 2 :]) if c.isprintable())
    return "not a key", ""


def _fingerprint(kind: str, blob: str) -> str:
    """Fingerprint of a public key (RFC 4253, section 6.6), "" if `blob` is none of that kind."""
    try:
        raw = base64.b64decode(blob, validate=True)
    except ValueError:
        return ""
    name = kind.encode()
    if not raw.startswith(len(name).to_bytes(4) + name):
        return ""
    return "SHA256:" + base64.b64encode(hashlib.sha256(raw).digest()).decode().rstrip("=")
