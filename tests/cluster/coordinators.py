"""The coordinator as a real process, beside a real API server."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.cluster.controlplane import ControlPlane

NAMESPACE = "nodeagent"


class CoordinatorProcess:
    """`nodeagent coordinate` in `roles`; entering starts it, leaving ends it.

    Without a kubeconfig of its own it has every right.
    """

    def __init__(
        self,
        plane: ControlPlane,
        base: Path,
        name: str = "one",
        kubeconfig: Path | None = None,
        flags: Mapping[str, str] | None = None,
        roles: Sequence[str] = ("pools",),
        switches: Sequence[str] = (),
    ) -> None:
        self._kubeconfig = kubeconfig or plane.kubeconfig("coordinator", ["system:masters"])
        self._log = base / f"coordinator-{name}.log"
        self._flags = {
            "coordinator-namespace": NAMESPACE,
            "health-address": "",
            "metrics-address": "",
            **(flags or {}),
        }
        self._roles = roles
        self._switches = switches
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        command = [sys.executable, "-m", "nodeagent", "coordinate"]
        command += [
            *(f"--role={role}" for role in self._roles),
            f"--cluster-kubeconfig={self._kubeconfig}",
            *(f"--{key}={text}" for key, text in self._flags.items()),
            *(f"--{name}" for name in self._switches),
        ]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", *command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
            )

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """End it and wait for that."""
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(30)
            self._process = None

    @property
    def pid(self) -> int:
        """Of the process that runs."""
        assert self._process is not None
        return self._process.pid

    @property
    def log(self) -> str:
        return self._log.read_text()
