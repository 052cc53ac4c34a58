"""The boot loader's configuration as it stands on a node: which files hold kernel arguments, and which they hold."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from nodeagent.machineconfig import bls, grub, kernelargs
from nodeagent.machineconfig.applied import Applied, Kernel
from nodeagent.machineconfig.drift import Finding, Kind
from nodeagent.machineconfig.kernelargs import Wanted
from nodeagent.machineconfig.node import Node
from nodeagent.observed.files import FileType

_LIMIT = 1 << 20  # bytes of a boot loader's configuration file
_MENU_LIMIT = 16 << 20  # bytes of a boot menu

_Edit = Callable[[bytes, Wanted, Kernel], bytes]


def present(node: Node) -> frozenset[str]:
    """The files that tell which boot loader a node has."""
    entries = [f"{bls.ENTRIES}/{name}" for name in node.entries(bls.ENTRIES)]
    states = node.states([grub.DEFAULTS, grub.UPDATE, grub.MKCONFIG, grub.MENU, *entries])
    return frozenset(path for path, state in states.items() if state.type is FileType.FILE)


def stale(node: Node, kernel: Kernel) -> bool:
    """Whether GRUB's menu starts a kernel without what `kernel` says, and so has to be written again."""
    wanted = Wanted(kernel.present, kernel.absent)
    return any(kernelargs.deviations(line, wanted) != ((), ()) for line in _menu(node))


def _menu(node: Node) -> tuple[tuple[str, ...], ...]:
    return grub.configured(node.read(grub.MENU, _MENU_LIMIT) or b"")


@dataclass(frozen=True)
class Place:
    """A file that holds kernel arguments, what it holds, and how it is edited."""

    path: str
    data: bytes
    arguments: tuple[str, ...]
    edit: _Edit


def places(node: Node) -> Iterator[Place]:
    """Every file that gives arguments to a kernel, or will give them to the next one that is installed.

    ValueError if entries refer to an environment block that is none.
    """
    entries = {path: node.read(path, _LIMIT) or b"" for path in bls.entries(present(node))}
    for path, data in entries.items():
        if not bls.uses_environment(data):
            yield Place(path, data, bls.arguments(data), bls.edit_entry)
    if any(map(bls.uses_environment, entries.values())):
        block = node.read(bls.ENVIRONMENT, _LIMIT) or b""
        yield Place(bls.ENVIRONMENT, block, bls.kernelopts(block), bls.edit_environment)
    future = node.read(bls.COMMAND_LINE, _LIMIT)
    if future is not None:
        text = future.decode(errors="surrogateescape")
        yield Place(bls.COMMAND_LINE, future, kernelargs.arguments(text), bls.edit_command_line)


def boot_files(node: Node, applied: Applied) -> tuple[str, ...]:
    """Files whose change may undo the kernel arguments that were applied."""
    return tuple(path for path, _ in _command_lines(node, applied))


def misconfigured(node: Node, applied: Applied) -> list[Finding]:
    """Where the boot loader would not give the kernel what was applied; one finding a file."""
    wanted = Wanted(applied.kernel.present, applied.kernel.absent)
    found = {}
    for path, lines in _command_lines(node, applied):
        for line in lines or ((),):
            missing, left = kernelargs.deviations(line, wanted)
            if missing or left:
                actual = [f"without {each}" for each in missing] + [f"with {each}" for each in left]
                found[path] = Finding(path, Kind.KERNEL_ARGUMENTS, _shown(wanted), ", ".join(actual))
    return list(found.values())


def _shown(wanted: Wanted) -> str:
    return ", ".join([*(f"with {each}" for each in wanted.present), *(f"without {each}" for each in wanted.absent)])


def _command_lines(node: Node, applied: Applied) -> Iterator[tuple[str, tuple[tuple[str, ...], ...]]]:
    """Each file with the command lines that it holds; nothing while no kernel argument is wanted."""
    if not (applied.kernel.present or applied.kernel.absent):
        return
    if grub.DROPIN in applied.entries:
        yield grub.MENU, _menu(node)
        return
    try:
        yield from ((place.path, (place.arguments,)) for place in places(node))
    except ValueError:
        yield bls.ENVIRONMENT, ()
    except OSError as error:
        yield str(error.filename), ()
