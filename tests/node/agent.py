"""The agent on a test machine: its sources, its commands, and the daemon as a service of the machine's systemd.

Invariant: only what an administrator could do is done here: files in the source directory, commands, systemctl.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote

import yaml

from tests.node.machine import CHECKOUT, Machine

SOURCE = "/etc/nodeagent/machineconfigs.d"
UNITS = "/etc/systemd/system"
STATE = "/var/lib/nodeagent"
FORCE_FILE = "/run/machine-config-daemon-force"

_VERSION = "machineconfiguration.alauda.io/v1alpha1"
_PATIENCE = 30.0  # seconds
_PACKAGED = CHECKOUT / "packaging/systemd/nodeagent.service"

Spec = dict[str, Any]


def file(path: str, text: str, **more: Any) -> Spec:
    """A file that replaces what stands there."""
    return {"path": path, "overwrite": True, "contents": {"source": f"data:,{quote(text)}"}, **more}


def sleeper(seconds: int = 1000, *more: str) -> str:
    """The text of a service that runs and can be enabled; `seconds` tells one version from another."""
    lines = "\n".join((f"ExecStart=/bin/sleep {seconds}", *more))
    return f"[Service]\n{lines}\n[Install]\nWantedBy=multi-user.target\n"


def action(kind: str, unit: str = "") -> Spec:
    """One action of a disruption policy."""
    return {"type": kind, **({kind.lower(): {"serviceName": unit}} if unit else {})}


def restarts(*units: str) -> Spec:
    """A policy by which a change of each unit restarts it."""
    return {"units": [{"name": unit, "actions": [action("DaemonReload"), action("Restart", unit)]} for unit in units]}


class Agent:
    """The agent of one machine."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine

    # -- what an administrator declares -------------------------------------------------------------------------------

    def declare(self, name: str, **config: Any) -> None:
        """Put a MachineConfig among the sources: `storage`, `systemd`, `passwd` as Ignition has them."""
        labels = {"machineconfiguration.alauda.io/role": "worker"}
        document = {
            "apiVersion": _VERSION,
            "kind": "MachineConfig",
            "metadata": {"name": name, "labels": labels},
            "spec": {"config": {"ignition": {"version": "3.4.0"}, **config}},
        }
        self._put(f"{name}.yaml", document)

    def units(self, *units: Spec, name: str = "50-units") -> None:
        self.declare(name, systemd={"units": list(units)})

    def files(self, *files: Spec, name: str = "50-files") -> None:
        self.declare(name, storage={"files": list(files)})

    def policy(self, policy: Spec) -> None:
        """Put a disruption policy among the sources."""
        head = {"apiVersion": _VERSION, "kind": "MachineConfiguration", "metadata": {"name": "cluster"}}
        self._put("policy.yaml", {**head, "spec": {"nodeDisruptionPolicy": policy}})

    def _put(self, name: str, document: Spec) -> None:
        """Move it into place, so that a running daemon never sees half of it."""
        self.machine.write(f"{SOURCE}/.{name}", yaml.safe_dump(document))
        self.machine.path(f"{SOURCE}/.{name}").rename(self.machine.path(f"{SOURCE}/{name}"))

    def withdraw(self, name: str) -> None:
        """Take a MachineConfig out of the sources."""
        self.machine.path(f"{SOURCE}/{name}.yaml").unlink()

    # -- commands -----------------------------------------------------------------------------------------------------

    def __call__(self, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        """Run one command, which must exit with `code`."""
        done = self.machine.python("-m", "nodeagent", *arguments, check=False, deadline=120.0)
        assert done.returncode == code, f"{arguments} -> {done.returncode}: {done.stdout}{done.stderr}"
        return done

    def apply(self, *arguments: str, code: int = 0) -> str:
        """Apply the sources without a reboot: what was said."""
        done = self("apply", "--no-reboot", *arguments, code=code)
        return done.stdout + done.stderr

    def empty(self) -> None:
        """Apply sources that declare nothing, which gives everything back."""
        for path in self.machine.path(SOURCE).iterdir():
            path.unlink()
        self.declare("00-worker")
        self.apply()

    # -- the machine's systemd ----------------------------------------------------------------------------------------

    def systemctl(self, *arguments: str, check: bool = True) -> str:
        return self.machine.run("systemctl", *arguments, check=check).stdout.strip()

    def show(self, unit: str, prop: str) -> str:
        return self.systemctl("show", "--value", "-p", prop, unit)

    def enabled(self, unit: str) -> str:
        return self.systemctl("is-enabled", unit, check=False)

    def command_of(self, unit: str) -> str:
        """The command line of a service's main process as it runs; "" if none runs."""
        pid = self.show(unit, "MainPID")
        return self.machine.read(f"/proc/{pid}/cmdline").replace("\0", " ").strip() if pid != "0" else ""

    # -- the daemon ---------------------------------------------------------------------------------------------------

    def start(self, *flags: str, service: Mapping[str, str] | None = None) -> None:
        """Install and enable the packaged service with `flags` and other `service` settings; up when this returns."""
        self.machine.copy(_PACKAGED, f"{UNITS}/nodeagent.service")
        changed = {"Environment": f"PYTHONPATH={CHECKOUT}", "RestartSec": "100ms", **(service or {})}
        lines = [f"{key}={value}" for key, value in changed.items()]
        command = [sys.executable, "-m", "nodeagent", "run", *flags]
        lines += ["ExecStart=", f"ExecStart={' '.join(command)}"]
        self.machine.write(f"{UNITS}/nodeagent.service.d/test.conf", "\n".join(("[Service]", *lines, "")))
        self.systemctl("daemon-reload")
        self.systemctl("enable", "--now", "nodeagent.service")

    def stop(self) -> None:
        self.systemctl("stop", "nodeagent.service")

    def status(self) -> Spec:
        """What the daemon last reported of machine configuration; {} before it has."""
        try:
            document: Spec = json.loads(self.machine.read("/run/nodeagent/status.json"))
        except FileNotFoundError:
            return {}
        job: Spec = document["jobs"].get("machineconfig", {})
        return job

    def until(self, holds: Callable[[Spec], object], deadline: float = _PATIENCE) -> Spec:
        """Wait until a report is as wanted; AssertionError with the last report and the log after the deadline."""
        seen: Spec = {}

        def reported() -> bool:
            seen.clear()
            seen.update(self.status())
            return bool(seen and holds(seen))

        try:
            self.machine.wait_until(reported, deadline)
        except AssertionError as error:
            raise AssertionError(f"{error}\nlast report: {json.dumps(seen, indent=1)}\n{self.journal()}") from None
        return seen

    def until_done(self) -> Spec:
        return self.until(lambda report: report["state"] == "Done" and report["config"] == report["desired"])

    def drift(self, path: str, kind: str, deadline: float = _PATIENCE) -> Spec:
        """Wait until drift of `kind` at `path` is reported."""
        found: list[Spec] = []

        def there(report: Spec) -> bool:
            found[:] = [each for each in report["drift"] if _is(each, path, kind)]
            return bool(found)

        self.until(there, deadline)
        return found[0]

    def no_drift(self) -> Spec:
        return self.until(lambda report: not report["drift"])

    def journal(self) -> str:
        """What the daemon has logged."""
        return self.machine.run("journalctl", "--no-pager", "-o", "cat", "-u", "nodeagent.service", check=False).stdout

    def leftovers(self) -> list[str]:
        """Names that only an unfinished change leaves: staged files beside their targets, the journal's."""
        staged = self.machine.run("find", "/etc", "/home", "/var/lib", "-xdev", "-name", ".nodeagent*").stdout.split()
        return staged + [path.name for path in self.machine.path(STATE).glob("journal.*")]


def _is(drift: Spec, path: str, kind: str) -> bool:
    found = drift["finding"]
    return bool(found["path"] == path and found["kind"] == kind)
