"""Boot Loader Specification entries, type 1: small text files whose `options` are the kernel's command line. Pure.

An entry keeps its other lines byte for byte; several `options` lines count as one and become one when they are edited.
An entry whose options name `$kernelopts` takes that part from GRUB's environment block (RHEL 8), which is edited too.
Source: uapi-group.org Boot Loader Specification, "Type #1 Boot Loader Entry Keys"; GRUB manual, "Environment block".
"""

from __future__ import annotations

from collections.abc import Callable

from nodeagent.machineconfig.kernelargs import split

DIRECTORY = "/boot/loader/entries"
FUTURE = "/etc/kernel/cmdline"  # what kernel-install(8) gives to the entries of kernels to come
ENVIRONMENTS = ("/boot/grub2/grubenv", "/boot/grub/grubenv")
INHERITED = "$kernelopts"

_BLOCK = 1024  # bytes of an environment block, always
_OPTION = b"kernelopts="

Words = tuple[str, ...]
Edit = Callable[[Words], Words]


def options(entry: bytes) -> Words:
    """The words of all options lines of an entry."""
    return tuple(word for line in entry.splitlines() if _is_options(line) for word in _words(line))


def edit_entry(entry: bytes, edit: Edit) -> bytes:
    """The entry with its options edited; the same bytes if the edit changes none."""
    before = options(entry)
    after = edit(before)
    if after == before:
        return entry
    lines = entry.splitlines(keepends=True)
    if lines and not lines[-1].endswith(b"\n"):
        lines[-1] += b"\n"
    places = [index for index, line in enumerate(lines) if _is_options(line)]
    at = places[0] if places else len(lines)
    kept = [line for index, line in enumerate(lines) if index not in places]
    kept.insert(at, b"options " + " ".join(after).encode() + b"\n")
    return b"".join(kept)


def _is_options(line: bytes) -> bool:
    return line.split(maxsplit=1)[:1] == [b"options"]


def _words(line: bytes) -> Words:
    return split(line.decode(errors="surrogateescape"))[1:]


def edit_cmdline(text: bytes, edit: Edit) -> bytes:
    """/etc/kernel/cmdline with its words edited; the same bytes if the edit changes none."""
    before = split(text.decode(errors="surrogateescape"))
    after = edit(before)
    return text if after == before else " ".join(after).encode(errors="surrogateescape") + b"\n"


def inherited(block: bytes) -> Words:
    """The words that an environment block holds for `$kernelopts`."""
    line = next((line for line in block.splitlines() if line.startswith(_OPTION)), b"")
    return split(line.removeprefix(_OPTION).decode(errors="surrogateescape"))


def edit_environment(block: bytes, edit: Edit) -> bytes:
    """The environment block with `kernelopts` edited; ValueError if it would not fit."""
    before = inherited(block)
    after = edit(before)
    if after == before:
        return block
    text = b"\n".join(
        _OPTION + " ".join(after).encode(errors="surrogateescape") if line.startswith(_OPTION) else line
        for line in block.rstrip(b"#").splitlines()
    )
    if len(text) + 1 > _BLOCK:
        raise ValueError(f"GRUB's environment block has no room for the kernel arguments ({_BLOCK} bytes)")
    return (text + b"\n").ljust(_BLOCK, b"#")
