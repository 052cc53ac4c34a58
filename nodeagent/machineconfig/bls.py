"""Boot Loader Specification entries (type #1), and the files beside them that hold kernel arguments. Pure.

Invariants: only the values of `options` lines, of `kernelopts` and of the command line for future kernels change; all
other bytes come out as they went in. All entries are edited, rescue ones too, as `grubby --update-kernel=ALL` does.

An entry of the RHEL family may say `$kernelopts`, which GRUB takes from its environment block: the arguments of such an
entry are added there. `$tuned_params` and other variables belong to others.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import replace

from nodeagent.machineconfig import kernelargs
from nodeagent.machineconfig.applied import Kernel
from nodeagent.machineconfig.kernelargs import Edit, Wanted

ENTRIES = "/boot/loader/entries"
COMMAND_LINE = "/etc/kernel/cmdline"
ENVIRONMENT = "/boot/grub2/grubenv"

_KERNELOPTS = "$kernelopts"
_SIGNATURE = b"# GRUB Environment Block\n"
_OPTIONS = re.compile(r"^([ \t]*options)(?![^ \t\r\n])(.*)$", re.MULTILINE)
_ASSIGNMENT = re.compile(r"^(kernelopts=)(.*)$", re.MULTILINE)
_QUOTED = re.compile(r'"[^"]*"')
# GRUB reads the options of an entry as its own script, systemd-boot takes them as they are.
_SPECIAL = re.compile(r"[{}|&;<>]|^#")


def detect(present: Collection[str]) -> bool:
    """Whether a node that has the paths `present` boots by entries."""
    return bool(entries(present))


def entries(present: Collection[str]) -> tuple[str, ...]:
    """Paths of the entries among `present`, sorted."""
    prefix = f"{ENTRIES}/"
    return tuple(sorted(path for path in present if path.startswith(prefix) and path.endswith(".conf")))


def refused(wanted: Wanted) -> tuple[str, ...]:
    """The arguments that boot loaders read differently from one another in an entry, so that none can be had."""
    return tuple(each for each in (*wanted.present, *wanted.absent) if "$" in each or _special(each))


def _special(argument: str) -> bool:
    return _SPECIAL.search(_QUOTED.sub("", argument)) is not None


def uses_environment(entry: bytes) -> bool:
    """Whether the entry takes arguments from GRUB's environment block."""
    return _KERNELOPTS in arguments(entry)


def arguments(entry: bytes, environment: bytes = b"") -> tuple[str, ...]:
    """The arguments of an entry, `$kernelopts` replaced by what the environment block holds if one is given."""
    options = kernelargs.arguments(" ".join(value for _, value in _OPTIONS.findall(_text(entry))))
    return tuple(_expanded(options, environment)) if environment else options


def _expanded(options: tuple[str, ...], environment: bytes) -> Iterator[str]:
    for option in options:
        yield from kernelopts(environment) if option == _KERNELOPTS else (option,)


def edit_entry(entry: bytes, wanted: Wanted, before: Kernel) -> bytes:
    """The entry with its `options` lines edited; what is added goes to the last one, or to a new one at the end."""
    text = _text(entry)
    last = Edit.of(arguments(entry), wanted, before)
    drop = replace(last, append=())
    if uses_environment(entry):
        last = drop
    starts = [found.start() for found in _OPTIONS.finditer(text)]
    if starts:
        edited = _OPTIONS.sub(lambda line: _edited(line, last if line.start() == starts[-1] else drop), text)
        return _bytes(edited)
    return _bytes(f"{_ended(text)}options {' '.join(last.append)}\n") if last.append else entry


def _ended(text: str) -> str:
    return text if not text or text.endswith("\n") else text + "\n"


def _edited(line: re.Match[str], edit: Edit) -> str:
    key, value = line.groups()
    return f"{key}{edit.apply(value or ' ')}" if value or edit.append else line[0]


def kernelopts(block: bytes) -> tuple[str, ...]:
    """The arguments that GRUB's environment block holds; ValueError if it is none or holds none."""
    return kernelargs.arguments(_assignment(block)[2])


def edit_environment(block: bytes, wanted: Wanted, before: Kernel) -> bytes:
    """GRUB's environment block with the value of `kernelopts` edited; its size stays (GRUB writes it in place).

    ValueError if it is no such block, has no `kernelopts`, or if the arguments do not fit.
    """
    found = _assignment(block)
    value = kernelargs.edit(found[2], wanted, before)
    if value == found[2]:
        return block
    text = found.string
    body = _bytes(text[: found.start(2)] + value + text[found.end(2) :])
    if (excess := len(body) - len(block)) > 0:
        raise ValueError(f"is {excess} bytes too small for the kernel arguments")
    return body.ljust(len(block), b"#")


def _assignment(block: bytes) -> re.Match[str]:
    if not block.startswith(_SIGNATURE):
        raise ValueError("is no environment block of GRUB: its first line is not the signature")
    found = _ASSIGNMENT.search(_text(block.rstrip(b"#")))
    if found is None:
        raise ValueError("sets no kernelopts, which boot entries refer to")
    return found


def edit_command_line(text: bytes, wanted: Wanted, before: Kernel) -> bytes:
    """The command line of kernels still to be installed (kernel-install(8)): white space separates, no comments."""
    return _bytes(kernelargs.edit(_text(text), wanted, before))


def _text(data: bytes) -> str:
    return data.decode(errors="surrogateescape")


def _bytes(text: str) -> bytes:
    return text.encode(errors="surrogateescape")
