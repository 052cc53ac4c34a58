"""Kernel arguments, through the configuration of the boot loader that the node has."""

from __future__ import annotations

from nodeagent.machineconfig.applied import Applied, Kernel
from nodeagent.machineconfig.drift import Finding
from nodeagent.machineconfig.node import Node
from nodeagent.machineconfig.resolve.context import Context


def resolve(context: Context) -> tuple[Kernel, tuple[str, ...]]:
    """Declare the boot loader's files; returns the arguments that are ours, and the command that writes the menu."""
    return context.applied.kernel, ()


def misconfigured(_node: Node, _applied: Applied) -> list[Finding]:
    """Findings about the boot loader's configuration."""
    return []
