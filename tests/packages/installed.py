"""The agent on a machine as a package has brought it: its command, its service, its files.

Invariant: the package manager does everything to the installation; nothing of the checkout is used.
"""

from __future__ import annotations

import subprocess

from tests.node.agent import Agent
from tests.node.machine import Machine
from tests.packages.build import Release

_PATIENCE = 120.0  # seconds for a package manager
_INSTALL = {"deb": ("dpkg", "--install"), "rpm": ("rpm", "--upgrade", "--nodeps")}  # Debian meets no rpm's needs
_REMOVE = {"deb": ("dpkg", "--remove"), "rpm": ("rpm", "--erase")}
_LIST = ("find", "/etc", "/usr", "/var/lib", "-xdev", "-name", "*nodeagent*", "-prune")


class Installed(Agent):
    """The agent of one machine, from a package of the kind `deb` or `rpm`."""

    def __init__(self, machine: Machine, kind: str) -> None:
        super().__init__(machine)
        self.kind = kind

    def __call__(self, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        done = self.machine.run("/usr/bin/nodeagent", *arguments, check=False, deadline=120.0, PYTHONPATH="/nowhere")
        assert done.returncode == code, f"{arguments} -> {done.returncode}: {done.stdout}{done.stderr}"
        return done

    def install(self, release: Release) -> str:
        """Install or upgrade: what was said."""
        package = release.packages[self.kind]
        self.machine.copy(package, f"/root/{package.name}")
        done = self.machine.run(*_INSTALL[self.kind], f"/root/{package.name}", deadline=_PATIENCE)
        return done.stdout + done.stderr

    def remove(self) -> None:
        self.machine.run(*_REMOVE[self.kind], "nodeagent", deadline=_PATIENCE)

    def traces(self) -> set[str]:
        """The outermost paths on the machine's disk that have our name in them."""
        return set(self.machine.run(*_LIST, deadline=_PATIENCE).stdout.split())
