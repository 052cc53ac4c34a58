"""Kernel arguments, through the configuration of the boot loader that the node has.

With GRUB as Debian configures it a drop-in of our own changes the command line, and the menu is written again; with
Boot Loader Specification entries the options of each entry are edited. Any other boot loader is rejected.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from nodeagent.machineconfig import bls, grub
from nodeagent.machineconfig.applied import Applied, Kernel, Subject
from nodeagent.machineconfig.desired import File
from nodeagent.machineconfig.drift import Finding, Kind
from nodeagent.machineconfig.kernelargs import Wanted, edit, wanted
from nodeagent.machineconfig.node import Node
from nodeagent.machineconfig.resolve.context import Context
from nodeagent.observed.files import FileType

_LIMIT = 1 << 20  # bytes of a boot loader's configuration file
_MENU_LIMIT = 16 << 20
_WRITERS = (("/usr/sbin/update-grub",), ("/usr/sbin/grub-mkconfig", "-o", grub.MENU))

Command = tuple[str, ...]


def resolve(context: Context) -> tuple[Kernel, Command]:
    """Declare the boot loader's files; returns the arguments that are ours, and the command that writes the menu."""
    ignition = context.rendered.config.kernel_arguments
    before = context.applied.kernel
    try:
        wants = wanted(context.rendered.kernel_arguments, ignition.should_exist, ignition.should_not_exist)
    except ValueError as error:
        context.problem("kernel:", "kernelArguments", str(error))
        return before, ()
    if not (wants or before.added or before.removed):
        return Kernel(), ()
    command = _menu_writer(context.node)
    if command:
        return _grub(context, wants), command
    if _entries(context.node):
        return _bls(context, wants), ()
    message = f"kernel arguments need GRUB as Debian configures it ({grub.DEFAULTS} and {_WRITERS[0][0]})"
    message += f" or Boot Loader Specification entries ({bls.DIRECTORY}/*.conf), and this node has neither"
    context.problem("kernel:", "kernelArguments", message, "leave them out for this node")
    return before, ()


def _sources(context: Context) -> tuple[str, ...]:
    """Every MachineConfig that has a say in kernel arguments."""
    keys = sorted(key for key in context.rendered.provenance if key.startswith("karg:"))
    return tuple(dict.fromkeys(name for key in keys for name in context.sources(key)))


# -- GRUB -------------------------------------------------------------------------------------------------------------


def _menu_writer(node: Node) -> Command:
    """The command that writes GRUB's menu; () on a node that does not have GRUB as Debian configures it."""
    states = node.states([grub.DEFAULTS, *(command[0] for command in _WRITERS)])
    if states[grub.DEFAULTS].type is not FileType.FILE:
        return ()
    return next((command for command in _WRITERS if states[command[0]].type is FileType.FILE), ())


def _grub(context: Context, wants: Wanted) -> Kernel:
    if wants:
        uid, gid = context.node.owner
        data, sources = grub.dropin(wants), _sources(context)
        file = File(subject=Subject.KERNEL, sources=sources, data=data, mode=0o644, uid=uid, gid=gid)
        context.declare(grub.DROPIN, file, "kernel:")
    return Kernel(wants.present, wants.absent)


# -- Boot Loader Specification ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Place:
    """A file that holds kernel arguments: how to read its words, and how to edit them."""

    path: str
    data: bytes
    words: tuple[str, ...]
    edited: Callable[[bytes, bls.Edit], bytes]


def _entries(node: Node) -> list[str]:
    return [f"{bls.DIRECTORY}/{name}" for name in node.entries(bls.DIRECTORY) if name.endswith(".conf")]


def _places(node: Node) -> Iterator[_Place]:
    """Every file that gives arguments to a kernel, or will give them to the next one that is installed."""
    inherits = False
    for path in _entries(node):
        data = node.read(path, _LIMIT) or b""
        words = bls.options(data)
        inherits = inherits or bls.INHERITED in words
        if bls.INHERITED not in words:
            yield _Place(path, data, words, bls.edit_entry)
    for path in bls.ENVIRONMENTS if inherits else ():
        block = node.read(path, _LIMIT)
        if block is not None:
            yield _Place(path, block, bls.inherited(block), bls.edit_environment)
    future = node.read(bls.FUTURE, _LIMIT)
    if future is not None:
        yield _Place(bls.FUTURE, future, tuple(future.decode(errors="replace").split()), bls.edit_cmdline)


def _bls(context: Context, wants: Wanted) -> Kernel:
    before = context.applied.kernel
    places = list(_places(context.node))
    for place in places:
        try:
            data = place.edited(place.data, lambda words: edit(words, wants, before.added, before.removed))
        except ValueError as error:
            context.problem("kernel:", "kernelArguments", f"{place.path}: {error}")
            continue
        file = File(subject=Subject.KERNEL, sources=_sources(context), data=data, shared=True)
        context.declare(place.path, file, "kernel:")
    # What stood there before us is not ours to take away, and what was not there is not ours to bring back.
    added = (word for word in wants.present if word in before.added or any(word not in each.words for each in places))
    removed = (word for word in wants.absent if word in before.removed or any(word in each.words for each in places))
    return Kernel(tuple(added), tuple(removed))


# -- drift ------------------------------------------------------------------------------------------------------------


def boot_files(node: Node, applied: Applied) -> tuple[str, ...]:
    """Files whose change may undo the kernel arguments that were applied."""
    if not (applied.kernel.added or applied.kernel.removed):
        return ()
    return (grub.MENU,) if grub.DROPIN in applied.entries else tuple(place.path for place in _places(node))


def misconfigured(node: Node, applied: Applied) -> list[Finding]:
    """Where the boot loader would not give the kernel what was applied."""
    kernel = applied.kernel
    if not (kernel.added or kernel.removed):
        return []
    if grub.DROPIN in applied.entries:
        menu = node.read(grub.MENU, _MENU_LIMIT) or b""
        lines = [(grub.MENU, words) for words in grub.lines(menu)]
    else:
        lines = [(place.path, place.words) for place in _places(node)]
    found = {path: finding for path, words in lines if (finding := _differs(path, words, kernel)) is not None}
    return list(found.values())


def _differs(path: str, words: tuple[str, ...], kernel: Kernel) -> Finding | None:
    missing = [f"without {word}" for word in kernel.added if word not in words]
    left = [f"with {word}" for word in kernel.removed if word in words]
    if not (missing or left):
        return None
    expected = [f"with {word}" for word in kernel.added] + [f"without {word}" for word in kernel.removed]
    return Finding(path, Kind.KERNEL_ARGUMENTS, ", ".join(expected), ", ".join(missing + left))
