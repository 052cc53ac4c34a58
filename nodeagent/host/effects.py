"""Carries out every kind of change: files beside their targets, units through systemd, the boot loader's tools."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from typing import Any, cast

from nodeagent.changes import certs, units
from nodeagent.changes.boot import RegenerateBootMenu
from nodeagent.changes.files import FileChange
from nodeagent.engine.plan import Change
from nodeagent.errors import Broken, Transient
from nodeagent.host import preflight
from nodeagent.host.files import FileEffects
from nodeagent.host.systemd import Systemd
from nodeagent.host.tree import Tree


class LocalEffects:
    """The effects of all changes on the node below `tree`.

    `deadline` bounds a boot loader tool and `patience` a component that starts anew, in seconds. What is reversible is
    a change to files; what goes forward is one to units or the boot menu, or waits for a component.
    """

    def __init__(
        self, tree: Tree, originals: str, systemd: Systemd, patience: float = 180.0, deadline: float = 300.0
    ) -> None:
        self._files = FileEffects(tree, originals)
        self._root = tree
        self._originals = originals
        self._systemd = systemd
        self._patience = patience
        self._deadline = deadline

    def check(self, changes: Sequence[Change]) -> None:
        """Rejected, with every problem, if the node cannot take the batch."""
        preflight.check(self._root, _files(changes), self._originals)

    def inverses(self, changes: Sequence[Change], transaction: str) -> Sequence[Mapping[str, Any]]:
        return self._files.inverses(_files(changes), transaction)

    def stage(self, changes: Sequence[Change], inverses: Sequence[Mapping[str, Any]]) -> None:
        self._files.stage(_files(changes), inverses)

    def commit(self, changes: Sequence[Change], inverses: Sequence[Mapping[str, Any]]) -> None:
        self._files.commit(_files(changes), inverses)

    def undo(self, inverses: Sequence[Mapping[str, Any]]) -> None:
        self._files.undo(inverses)

    def discard(self, inverses: Sequence[Mapping[str, Any]]) -> None:
        self._files.discard(inverses)

    def settle(self) -> None:
        self._files.settle()

    def perform(self, changes: Sequence[Change]) -> None:
        """Make forward changes: the boot menu, then those of units in one go, then what is waited for.

        They may be made again.
        """
        menus = [change for change in changes if isinstance(change, RegenerateBootMenu)]
        waits = [change for change in changes if isinstance(change, certs.Await)]
        for menu in menus:
            self._regenerate(menu)
        rest = [change for change in changes if change not in menus and change not in waits]
        if rest:
            self._systemd.carry_out(cast("units.UnitChange", change) for change in rest)
        if waits:
            self._wait(waits)

    def _wait(self, waits: Sequence[certs.Await]) -> None:
        from nodeagent.host.components import Components  # noqa: PLC0415 - ssl and cryptography, by need

        components = Components(self._patience)
        for wait in waits:
            components.carry_out(wait)

    def decode(self, facts: Mapping[str, Any]) -> Change:
        """The forward change that the journal describes."""
        if facts["change"] == "RegenerateBootMenu":
            return RegenerateBootMenu.from_facts(facts)
        return certs.from_facts(facts) or units.from_facts(facts)

    def _regenerate(self, change: RegenerateBootMenu) -> None:
        command = [*(("chroot", self._root.root) if self._root.root != "/" else ()), *change.command]
        try:
            ended = subprocess.run(  # noqa: S603 - a fixed tool of the node, no shell, no input from outside
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                timeout=self._deadline,
                env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"},
                check=False,
                cwd="/",
            )
        except subprocess.TimeoutExpired as error:
            raise Transient(f"{change.command[0]} did not end within {self._deadline:g} s") from error
        except OSError as error:
            raise Broken(f"{change.command[0]} cannot be run: {os.strerror(error.errno or 0)}") from error
        if ended.returncode != 0:
            last = ended.stderr.decode(errors="replace").strip().rpartition("\n")[2]
            raise Broken(f"{change.command[0]} failed with status {ended.returncode}: {last}")


def _files(changes: Sequence[Change]) -> Sequence[FileChange]:
    return cast("Sequence[FileChange]", changes)
