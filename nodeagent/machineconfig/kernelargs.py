"""Kernel arguments: what is wanted on a command line, and the edit that gets it there. Pure.

Invariants: editing twice is editing once; arguments that the agent neither wants nor put there keep their order and
their spelling; an argument that stood there before the agent came is never taken away with the agent's own.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Self

from nodeagent.errors import Problem, Rejected
from nodeagent.machineconfig.applied import Kernel

_SPACE = " \t\n\r\f\v"
# Double quotes keep white space together and have no escape, as in the kernel's own parser (lib/cmdline.c, next_arg).
_ARGUMENT = re.compile(r'(?:[^\s"]|"[^"]*(?:"|\Z))+', re.ASCII)
_SPACED = re.compile(rf"\s*({_ARGUMENT.pattern})", re.ASCII)
_UNPRINTABLE = re.compile(r"[^\t\x20-\x7e]")
_REWRITTEN = re.compile(r"['\\]")


def fault(entry: str) -> str:
    """Why `entry` cannot be on a kernel command line, "" if it can."""
    if _UNPRINTABLE.search(entry):
        return "holds a character that is no printable ASCII"
    if _REWRITTEN.search(entry):
        return "holds a single quote or a backslash, which GRUB does not hand on unchanged"
    if entry.count('"') % 2:
        return "has a double quote without its partner"
    if "--" in arguments(entry):
        return "holds --, after which the kernel hands all arguments to init"
    return "" if arguments(entry) else "is empty"


def arguments(text: str) -> tuple[str, ...]:
    """The arguments of a command line; a missing last quote is taken as there, as the kernel does."""
    return tuple(_ARGUMENT.findall(text))


def split(entries: Iterable[str]) -> tuple[str, ...]:
    """The arguments of all entries, in order, each once. ValueError names what is wrong with the first bad entry."""
    found: dict[str, None] = {}
    for entry in entries:
        if why := fault(entry):
            raise ValueError(f"the kernel argument {why}")
        found.update(dict.fromkeys(arguments(entry)))
    return tuple(found)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Arguments that must be on the command line, in the order in which they are added, and those that must not."""

    present: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        named: str,
        kernel_arguments: Sequence[str],
        should_exist: Sequence[str] = (),
        should_not_exist: Sequence[str] = (),
    ) -> Self:
        """From a MachineConfig's list and Ignition's two (spec 3.4, kernelArguments); arguments match exactly.

        Rejected with every problem; `named` is the object that the problems blame.
        """
        lists = (
            ("$.spec.kernelArguments", kernel_arguments),
            ("$.spec.config.kernelArguments.shouldExist", should_exist),
            ("$.spec.config.kernelArguments.shouldNotExist", should_not_exist),
        )
        problems = [problem for path, entries in lists for problem in _faults(named, path, entries)]
        if problems:
            raise Rejected(problems)
        present, absent = split([*kernel_arguments, *should_exist]), split(should_not_exist)
        if both := [argument for argument in present if argument in absent]:
            raise Rejected(Problem(named, lists[2][0], f"{each} is also wanted", "remove one of them") for each in both)
        return cls(present, absent)

    def __bool__(self) -> bool:
        return bool(self.present or self.absent)


def _faults(named: str, path: str, entries: Sequence[str]) -> Iterator[Problem]:
    for index, entry in enumerate(entries):
        if why := fault(entry):
            yield Problem(named, f"{path}[{index}]", why, "correct the argument, or remove it")


@dataclass(frozen=True, slots=True)
class Edit:
    """What has to happen to one command line: arguments to drop wherever they stand, and arguments to append."""

    drop: frozenset[str] = frozenset()
    append: tuple[str, ...] = ()

    @classmethod
    def of(cls, line: Collection[str], wanted: Wanted, before: Kernel) -> Self:
        """The edit of a command line that holds the arguments `line`, to which the agent had done `before`.

        What was added and is wanted no more goes; what was removed and is unwanted no more comes back.
        """
        drop = {*wanted.absent, *before.added} - {*wanted.present}
        back = [argument for argument in before.removed if argument not in drop]
        append = dict.fromkeys(argument for argument in (*back, *wanted.present) if argument not in line)
        return cls(frozenset(drop), tuple(append))

    def apply(self, text: str) -> str:
        """The command line `text`, edited; all that is not concerned stays as it is, white space included."""
        body = text.strip(_SPACE)
        start = len(text) - len(text.lstrip(_SPACE))
        kept = _SPACED.sub(lambda found: "" if found[1] in self.drop else found[0], body).lstrip(_SPACE)
        return text[:start] + " ".join(filter(None, (kept, *self.append))) + text[start + len(body) :]


def edit(text: str, wanted: Wanted, before: Kernel) -> str:
    """The command line `text` with every wanted argument and no unwanted one; see `Edit`."""
    return Edit.of(arguments(text), wanted, before).apply(text)


def claim(lines: Iterable[Iterable[str]], wanted: Wanted, before: Kernel) -> Kernel:
    """What the agent answers for once all of a node's command lines are edited, from their arguments before that.

    An argument is the agent's own if one of the lines first lacked it, or first had it and must not; else it is
    somebody's. What stood there first is what stands there now without what the agent has done `before`.
    """
    originals = [{*line} - {*before.added} | {*before.removed} for line in lines]
    return Kernel(
        tuple(each for each in wanted.present if any(each not in original for original in originals)),
        tuple(each for each in wanted.absent if any(each in original for original in originals)),
        wanted.present,
        wanted.absent,
    )


def deviations(line: Iterable[str], wanted: Wanted) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The wanted arguments that a command line lacks and the unwanted ones that it has; quotes make no difference."""
    there = set(map(_plain, line))
    missing = tuple(argument for argument in wanted.present if _plain(argument) not in there)
    return missing, tuple(argument for argument in wanted.absent if _plain(argument) in there)


def _plain(argument: str) -> str:
    """The argument as the kernel's subsystems get it."""
    return argument.replace('"', "")
