"""Kernel arguments, through the configuration of the boot loader that the node has.

With GRUB as Debian configures it a drop-in of our own changes the command line, and the menu is written again; with
Boot Loader Specification entries the options of each entry are edited. Any other boot loader is rejected.
"""

from __future__ import annotations

from nodeagent.errors import Problem, Rejected
from nodeagent.machineconfig import bls, grub, kernelargs
from nodeagent.machineconfig.applied import Kernel, Subject
from nodeagent.machineconfig.bootconfig import places, present
from nodeagent.machineconfig.bootloader import Loader, choose
from nodeagent.machineconfig.desired import File
from nodeagent.machineconfig.kernelargs import Wanted
from nodeagent.machineconfig.resolve.context import Context

Command = tuple[str, ...]

_LEAVE_OUT = "leave kernel arguments out for this node"
_BRING_BACK = "put back the one that holds the arguments set earlier, so that they can be taken out of it"


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
    files = present(context.node)
    try:
        loader = choose(files)
    except ValueError as error:
        _problem(context, str(error), _LEAVE_OUT if wanted else _BRING_BACK)
        return before, ()
    if loader is Loader.GRUB_DEBIAN:
        return _grub(context, wanted), grub.regenerate(files)
    return _bls(context, wanted), ()


def _wanted(context: Context) -> Wanted:
    ignition = context.rendered.config.kernel_arguments
    return Wanted.of(
        _blamed(context), context.rendered.kernel_arguments, ignition.should_exist, ignition.should_not_exist
    )


def _sources(context: Context) -> tuple[str, ...]:
    """Every MachineConfig that has a say in kernel arguments."""
    keys = sorted(key for key in context.rendered.provenance if key.startswith("karg:"))
    return tuple(dict.fromkeys(name for key in keys for name in context.sources(key)))


def _blamed(context: Context) -> str:
    return f"MachineConfig {' + '.join(_sources(context)) or context.rendered.name}"


def _problem(context: Context, message: str, advice: str) -> None:
    context.problems.append(Problem(_blamed(context), "$.spec.kernelArguments", message, advice))


# -- GRUB -------------------------------------------------------------------------------------------------------------


def _grub(context: Context, wanted: Wanted) -> Kernel:
    if wanted:
        uid, gid = context.node.owner
        data, sources = grub.dropin(wanted), _sources(context)
        file = File(subject=Subject.KERNEL, sources=sources, data=data, mode=0o644, uid=uid, gid=gid)
        context.declare(grub.DROPIN, file, "kernel:")
    return Kernel(wanted.present, wanted.absent, wanted.present, wanted.absent)


# -- Boot Loader Specification ----------------------------------------------------------------------------------------


def _bls(context: Context, wanted: Wanted) -> Kernel:
    before = context.applied.kernel
    for argument in bls.refused(wanted):
        message = f"{argument!r} holds what boot loaders do not read alike in an entry"
        _problem(context, message, "leave it out")
    try:
        standing = tuple(places(context.node))
        edited = [(place.path, place.edit(place.data, wanted, before)) for place in standing]
    except ValueError as error:
        advice = "repair it with grub2-editenv, or give fewer arguments"
        _problem(context, f"{bls.ENVIRONMENT} {error}", advice)
        return before
    except OSError as error:
        message = f"{error.filename} cannot be read: {error.strerror}"
        _problem(context, message, "put a regular file there; links are not followed")
        return before
    for path, data in edited:
        context.declare(
            path, File(subject=Subject.KERNEL, sources=_sources(context), data=data, shared=True), "kernel:"
        )
    return kernelargs.claim((place.arguments for place in standing), wanted, before)
