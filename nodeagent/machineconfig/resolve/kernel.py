"""Kernel arguments, through the configuration of the boot loader that the node has.

With GRUB as Debian configures it a drop-in of our own changes the command line, and the menu is written again; with
Boot Loader Specification entries the options of each entry are edited. Any other boot loader is rejected.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from nodeagent.errors import Rejected
from nodeagent.machineconfig import bls, grub, kernelargs
from nodeagent.machineconfig.applied import Applied, Kernel, Subject
from nodeagent.machineconfig.bootloader import Loader, choose
from nodeagent.machineconfig.desired import File
from nodeagent.machineconfig.drift import Finding, Kind
from nodeagent.machineconfig.kernelargs import Wanted
from nodeagent.machineconfig.node import Node
from nodeagent.machineconfig.resolve.context import Context
from nodeagent.observed.files import FileType

_LIMIT = 1 << 20  # bytes of a boot loader's configuration file
_MENU_LIMIT = 16 << 20  # bytes of a boot menu

Command = tuple[str, ...]
_Edit = Callable[[bytes, Wanted, Kernel], bytes]


def resolve(context: Context) -> tuple[Kernel, Command]:
    """Declare the boot loader's files; returns the arguments that are ours, and the command that writes the menu."""
    before = context.applied.kernel
    try:
        wanted = _wanted(context)
    except Rejected as error:
        context.problems += error.problems
        return before, ()
    if not (wanted or before.added or before.removed):
        return Kernel(), ()
    present = _present(context.node)
    try:
        loader = choose(present)
    except ValueError as error:
        context.problem("kernel:", "kernelArguments", str(error), "leave kernel arguments out for this node")
        return before, ()
    if loader is Loader.GRUB_DEBIAN:
        return _grub(context, wanted), grub.regenerate(present)
    return _bls(context, wanted), ()


def _wanted(context: Context) -> Wanted:
    named = f"MachineConfig {' + '.join(_sources(context)) or context.rendered.name}"
    ignition = context.rendered.config.kernel_arguments
    return Wanted.of(named, context.rendered.kernel_arguments, ignition.should_exist, ignition.should_not_exist)


def _sources(context: Context) -> tuple[str, ...]:
    """Every MachineConfig that has a say in kernel arguments."""
    keys = sorted(key for key in context.rendered.provenance if key.startswith("karg:"))
    return tuple(dict.fromkeys(name for key in keys for name in context.sources(key)))


def _present(node: Node) -> frozenset[str]:
    """The files that tell which boot loader a node has."""
    entries = [f"{bls.ENTRIES}/{name}" for name in node.entries(bls.ENTRIES)]
    states = node.states([grub.DEFAULTS, grub.UPDATE, grub.MKCONFIG, grub.MENU, *entries])
    return frozenset(path for path, state in states.items() if state.type is FileType.FILE)


# -- GRUB -------------------------------------------------------------------------------------------------------------


def _grub(context: Context, wanted: Wanted) -> Kernel:
    if wanted:
        uid, gid = context.node.owner
        data, sources = grub.dropin(wanted), _sources(context)
        file = File(subject=Subject.KERNEL, sources=sources, data=data, mode=0o644, uid=uid, gid=gid)
        context.declare(grub.DROPIN, file, "kernel:")
    return Kernel(wanted.present, wanted.absent)


def stale(node: Node, kernel: Kernel) -> bool:
    """Whether GRUB's menu starts a kernel without what `kernel` says, and so has to be written again."""
    wanted = Wanted(kernel.added, kernel.removed)
    return any(kernelargs.deviations(line, wanted) != ((), ()) for line in _menu(node))


def _menu(node: Node) -> tuple[tuple[str, ...], ...]:
    return grub.configured(node.read(grub.MENU, _MENU_LIMIT) or b"")


# -- Boot Loader Specification ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Place:
    """A file that holds kernel arguments, what it holds, and how it is edited."""

    path: str
    data: bytes
    arguments: tuple[str, ...]
    edit: _Edit


def _places(node: Node) -> Iterator[_Place]:
    """Every file that gives arguments to a kernel, or will give them to the next one that is installed.

    ValueError if entries refer to an environment block that is none.
    """
    entries = {path: node.read(path, _LIMIT) or b"" for path in bls.entries(_present(node))}
    for path, data in entries.items():
        if not bls.uses_environment(data):
            yield _Place(path, data, bls.arguments(data), bls.edit_entry)
    if any(map(bls.uses_environment, entries.values())):
        block = node.read(bls.ENVIRONMENT, _LIMIT) or b""
        yield _Place(bls.ENVIRONMENT, block, bls.kernelopts(block), bls.edit_environment)
    future = node.read(bls.COMMAND_LINE, _LIMIT)
    if future is not None:
        text = future.decode(errors="surrogateescape")
        yield _Place(bls.COMMAND_LINE, future, kernelargs.arguments(text), bls.edit_command_line)


def _bls(context: Context, wanted: Wanted) -> Kernel:
    before = context.applied.kernel
    for argument in bls.refused(wanted):
        message = f"{argument!r} holds what boot loaders do not read alike in an entry"
        context.problem("kernel:", "kernelArguments", message, "leave it out")
    try:
        places = tuple(_places(context.node))
        edited = [(place.path, place.edit(place.data, wanted, before)) for place in places]
    except ValueError as error:
        context.problem("kernel:", "kernelArguments", f"{bls.ENVIRONMENT} {error}", "repair it with grub2-editenv")
        return before
    for path, data in edited:
        context.declare(
            path, File(subject=Subject.KERNEL, sources=_sources(context), data=data, shared=True), "kernel:"
        )
    return kernelargs.claim((place.arguments for place in places), wanted, before)


# -- drift ------------------------------------------------------------------------------------------------------------


def boot_files(node: Node, applied: Applied) -> tuple[str, ...]:
    """Files whose change may undo the kernel arguments that were applied."""
    return tuple(path for path, _ in _command_lines(node, applied))


def misconfigured(node: Node, applied: Applied) -> list[Finding]:
    """Where the boot loader would not give the kernel what was applied; one finding a file."""
    wanted = Wanted(applied.kernel.added, applied.kernel.removed)
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
    """Each file with the command lines that it holds; nothing while no kernel argument is ours."""
    if not (applied.kernel.added or applied.kernel.removed):
        return
    if grub.DROPIN in applied.entries:
        yield grub.MENU, _menu(node)
        return
    try:
        yield from ((place.path, (place.arguments,)) for place in _places(node))
    except ValueError:
        yield bls.ENVIRONMENT, ()
