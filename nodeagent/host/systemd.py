"""The service manager of this node.

Invariant: no call blocks longer than its deadline and one second, whatever state PID 1 is in. Every call runs
in a child process of its own (`systemd_child.py`), because pystemd holds the interpreter lock while it waits:
a hung systemd freezes the child, which is killed, and never a thread of the agent. One child carries out a
whole batch.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, assert_never

from nodeagent.changes.units import DaemonReload, Reboot, ReloadUnit, RestartUnit, StopUnit, UnitChange
from nodeagent.errors import Broken, NodeAgentError, Transient
from nodeagent.observed.units import UnitState

_CHILD = os.path.join(os.path.dirname(os.path.abspath(__file__)), "systemd_child.py")
_GRACE = 1.0  # seconds that the child has to tell which unit was late, before it is killed
_GLANCE = 0.2  # seconds between two calls of `meanwhile`
_PYSTEMD_MISSING = 3  # the child's exit status
_ENVIRONMENT = {"SYSTEMD_BUS_TIMEOUT": "infinity", "LC_ALL": "C.UTF-8"}  # our deadline is the only one
_DENIED = frozenset({"DBusAccessDeniedError", "DBusInteractiveAuthorizationRequiredError"})

# Characters and suffixes of a unit name, at most 255 of them: systemd.unit(5).
_UNIT_NAME = re.compile(
    r"(?=.{1,255}\Z)[A-Za-z0-9:_.\\@-]+"
    r"\.(?:service|socket|target|device|mount|automount|swap|timer|path|slice|scope)\Z"
)

Operation = tuple[str, ...]  # a verb of the child, and the units that it concerns


class Systemd:
    """The service manager that answers under `run`; it manages the root `/` and no other.

    `deadline` bounds each call, in seconds; a batch has one deadline for all of it. `run` is where the node's
    /run is seen: an agent in a container mounts it elsewhere, and needs the node's PID namespace where it has
    to do without dbus-daemon. `settle` is how long, in seconds, a service that counts as started once its
    process was forked is given to prove that it stays up. `meanwhile` is called again and again while a call
    waits; it must neither block nor raise.
    """

    def __init__(self, deadline: float = 60.0, run: str = "/run", settle: float = 0.5) -> None:
        self._deadline = deadline
        self._run = run
        self._settle = settle
        self.meanwhile: Callable[[], None] = _nothing

    def running(self) -> bool:
        """Whether this node was booted with systemd: sd_booted(3)."""
        return os.path.lexists(f"{self._run}/systemd/system")

    def states(self, names: Iterable[str]) -> dict[str, UnitState]:
        """State of each unit, by the name that was asked for; an unknown unit has load state not-found."""
        wanted = sorted(set(names))
        if not wanted:
            return {}
        reply = self._ask([("observe", *wanted)])
        return {state["name"]: UnitState(**state) for state in reply["states"]}

    def daemon_reload(self) -> None:
        """Have systemd read all unit files again; returns when it has."""
        self._ask([("daemon-reload",)])

    def start(self, name: str) -> None:
        """Start a unit and wait until it is up; Broken if it does not come up."""
        self._ask([("start", name)])

    def stop(self, name: str) -> None:
        """Stop a unit and wait until it is down."""
        self._ask([("stop", name)])

    def restart(self, name: str) -> None:
        """Restart a unit, or start it, and wait until it is up; Broken if it does not come up."""
        self._ask([("restart", name)])

    def reload(self, name: str) -> None:
        """Have a running unit read its configuration again; a unit that does not run stays as it is."""
        self._ask([("reload", name)])

    def reboot(self) -> None:
        """Begin an orderly reboot of the node; returns as soon as systemd has begun."""
        self._ask([("reboot",)])

    def carry_out(self, changes: Iterable[UnitChange]) -> None:
        """Carry out `changes` in their order, up to the first that fails, within one deadline for all.

        A service that goes down right after its start fails the batch too, once the others are carried out.
        """
        operations = [_operation(change) for change in changes]
        if operations:
            self._ask(operations)

    def _ask(self, operations: list[Operation]) -> dict[str, Any]:
        _check_names(unit for _, *units in operations for unit in units)
        request = {"run": self._run, "seconds": self._deadline, "settle": self._settle, "operations": operations}
        reply = self._converse(json.dumps(request).encode())
        if "failure" in reply:
            raise self._error(reply["failure"])
        return reply

    def _converse(self, request: bytes) -> dict[str, Any]:
        """Run one child: its reply; Transient if it had to be killed."""
        try:
            child = subprocess.Popen(  # noqa: S603 our own file, run by our own interpreter, without a shell
                [sys.executable, "-I", _CHILD],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=_ENVIRONMENT,
            )
        except OSError as error:
            raise Transient(f"cannot start a process to talk to systemd: {error.strerror}") from error
        with child:
            try:
                said, complaint = self._await(child, request)
            finally:
                child.kill()
        return _reply(child.returncode, said, complaint)

    def _await(self, child: subprocess.Popen[bytes], request: bytes) -> tuple[bytes, bytes]:
        """What the child says on stdout and stderr until it ends; Transient if it does not in time."""
        until = time.monotonic() + self._deadline + _GRACE
        unsent: bytes | None = request
        while (left := until - time.monotonic()) > 0:
            try:
                return child.communicate(unsent, timeout=min(left, _GLANCE))
            except subprocess.TimeoutExpired:
                unsent = None  # the rest of it is sent by the calls that follow
                self.meanwhile()
        raise Transient(f"systemd did not answer within {self._deadline:g} s; see whether PID 1 hangs (systemctl)")

    def _error(self, failure: Mapping[str, Any]) -> NodeAgentError:
        if failure.get("name") in _DENIED:
            return Broken(f"systemd refused the call: {failure['words'].rstrip('.')}; run the agent as root")
        match failure["kind"]:
            case "unreachable":
                reasons = "; ".join(failure["reasons"])
                return Transient(f"systemd cannot be reached under {self._run}: {reasons}")
            case "refused":
                return Broken(f"systemd refused to {failure['verb']} {failure['unit']}: {failure['words']}")
            case "unit":
                return Broken(_unit_failure(failure, self._deadline))
            case _:
                return Transient(f"the call to systemd failed: {failure['words']}")


def _operation(change: UnitChange) -> Operation:
    match change:
        case DaemonReload():
            return ("daemon-reload",)
        case StopUnit():
            return "stop", change.unit
        case ReloadUnit():
            return "reload", change.unit
        case RestartUnit():
            return "restart", change.unit
        case Reboot():
            return ("reboot",)
    assert_never(change)


def _check_names(names: Iterable[str]) -> None:
    wrong = [name for name in names if not _UNIT_NAME.match(name)]
    if wrong:
        named = ", ".join(map(repr, wrong))
        raise Broken(f"not names of systemd units: {named}; expected the form NAME.service")


def _nothing() -> None:
    """Nobody has anything to do while a call waits."""


def _reply(status: int, said: bytes, complaint: bytes) -> dict[str, Any]:
    if status == _PYSTEMD_MISSING:
        raise Broken("pystemd is not installed, and units need it: pip install 'nodeagent[systemd]'")
    if status:
        last_words = complaint.decode("utf-8", "replace").strip().rpartition("\n")[2] or "no word"
        ending = f"status {status}" if status > 0 else _signal(-status)
        raise Transient(f"the process that talks to systemd ended with {ending}: {last_words}")
    reply: dict[str, Any] = json.loads(said)
    return reply


def _signal(number: int) -> str:
    """SIGKILL for 9; a real-time signal has no name in Python."""
    return signal.Signals(number).name if number in set(signal.Signals) else f"signal {number}"


def _unit_failure(failure: Mapping[str, Any], seconds: float) -> str:
    """A sentence: x.service failed to restart: exited with status 203 (EXEC); see journalctl -u x.service."""
    unit, verb = failure["unit"], failure["verb"]
    return f"{unit} failed to {verb}: {_cause(failure, seconds)}; see journalctl -u {unit}"


def _cause(failure: Mapping[str, Any], seconds: float) -> str:
    state = f"it is {failure['active']} ({failure['sub']})"
    if failure["job"] == "late":
        return f"not done within {seconds:g} s, {state}"
    if failure["job"] == "dependency":
        return f"a unit that it needs did not start, {state}"
    if failure.get("result", "success") != "success":
        return f"result {failure['result']}, {_exit(failure['code'], failure['status'])}, {state}"
    if failure.get("restarts"):
        return f"it ended and was started again {failure['restarts']} times, {state}"
    return f"its job ended as {failure['job']}, {state}"


def _exit(code: int, status: int) -> str:
    """How the main process ended: `code` is a CLD_* of waitid(2), `status` an exit status or a signal."""
    if code == os.CLD_EXITED:
        name = _EXIT_STATUS.get(status)
        return f"exited with status {status}" + (f" ({name})" if name else "")
    if code in (os.CLD_KILLED, os.CLD_DUMPED):
        return f"killed by {_signal(status)}"
    return "no exit status"


# What kept systemd from executing a process, by exit status: systemd.exec(5), "Process Exit Codes".
_EXIT_STATUS = {
    200: "CHDIR",
    202: "FDS",
    203: "EXEC",
    205: "LIMITS",
    208: "STDIN",
    209: "STDOUT",
    210: "CHROOT",
    216: "GROUP",
    217: "USER",
    218: "CAPABILITIES",
    219: "CGROUP",
    222: "STDERR",
    224: "PAM",
    225: "NETWORK",
    226: "NAMESPACE",
    227: "NO_NEW_PRIVILEGES",
    228: "SECCOMP",
    229: "SELINUX_CONTEXT",
    231: "APPARMOR",
    233: "RUNTIME_DIRECTORY",
    235: "CHOWN",
    238: "STATE_DIRECTORY",
    239: "CACHE_DIRECTORY",
    240: "LOGS_DIRECTORY",
    241: "CONFIGURATION_DIRECTORY",
    243: "CREDENTIALS",
}
