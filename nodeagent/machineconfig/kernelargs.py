"""Kernel arguments as words. Pure.

Invariants: editing twice is editing once; the order of words that are not ours stays; what was added goes and what was
removed comes back when nobody asks for it any more. A word is compared whole, as in Ignition 3.4.0 ("kernelArguments").
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

_WORD = re.compile(r'(?:[^\s"]|"[^"]*")+')
_FORBIDDEN = re.compile(r"[^ -~]|[\\$`';|&<>{}]")  # what a boot loader's script would not take literally


@dataclass(frozen=True, slots=True)
class Wanted:
    """Words that must be, and words that must not be, on the kernel's command line."""

    present: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.present or self.absent)


def split(text: str) -> tuple[str, ...]:
    """The words of a command line; white space between double quotes does not separate (kernel, lib/cmdline.c)."""
    return tuple(_WORD.findall(text))


def wanted(entries: Iterable[str], should_exist: Iterable[str], should_not_exist: Iterable[str]) -> Wanted:
    """What MachineConfig's and Ignition's lists ask for together; ValueError names a word that cannot be had."""
    present = _words((*entries, *should_exist))
    absent = _words(should_not_exist)
    both = sorted(set(present) & set(absent))
    if both:
        raise ValueError(f"{both[0]!r} is asked for and ruled out at once; remove one of them")
    return Wanted(present, absent)


def _words(entries: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(word for entry in entries for word in _checked(entry)))


def _checked(entry: str) -> tuple[str, ...]:
    found = _FORBIDDEN.search(entry)
    if found is not None:
        raise ValueError(f"{entry!r} holds {found.group()!r}, which no boot loader takes literally")
    if entry.count('"') % 2:
        raise ValueError(f"{entry!r} has a double quote that is not closed")
    words = split(entry)
    comment = next((word for word in words if word.startswith("#")), None)
    if comment is not None:
        raise ValueError(f"{comment!r} would start a comment in a boot loader's configuration")
    return words


def edit(
    words: Sequence[str], wants: Wanted, added: Iterable[str] = (), removed: Iterable[str] = ()
) -> tuple[str, ...]:
    """`words` with what is wanted. `added` and `removed` are what an earlier edit did: it is taken back first."""
    gone = {*wants.absent, *added} - set(wants.present)
    kept = [word for word in words if word not in gone]
    back = [word for word in removed if word not in wants.absent and word not in kept]
    missing = [word for word in wants.present if word not in kept and word not in back]
    return (*kept, *back, *missing)
