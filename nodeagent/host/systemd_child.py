"""The process that talks to systemd: one request on stdin, one reply on stdout, then it ends.

Invariant: it shares nothing with the agent but these two JSON documents, and never outlives its alarm.
pystemd holds the interpreter lock while it waits for an answer, so a hung PID 1 may freeze this process,
which the agent then kills. It is started by path in an isolated interpreter and imports nothing of the agent.

Request: {"run": "/run", "seconds": 60.0, "settle": 0.5, "operations": [[verb, unit…], …]}; the verbs are the
keys of `_OPERATIONS`. Reply: {"states": […]} or {"failure": {"kind": …, …}}; exit status 3 without a reply
says that pystemd is missing. Interface: org.freedesktop.systemd1(5).
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import quote

try:
    from pystemd.dbusexc import DBusBaseError, DBusFileNotFoundError
    from pystemd.dbuslib import DBusAddress, apply_signature
except ImportError:
    sys.exit(3)

_SYSTEMD = b"org.freedesktop.systemd1"
_MANAGER_PATH = b"/org/freedesktop/systemd1"
_MANAGER = b"org.freedesktop.systemd1.Manager"
_UNIT = b"org.freedesktop.systemd1.Unit"
_SERVICE = b"org.freedesktop.systemd1.Service"

# These carry the system bus: while one of them restarts, only the private socket can tell how it went.
_BUS_UNITS = frozenset({"dbus.service", "dbus-broker.service", "dbus.socket"})
# Started as soon as the process was forked (systemd.service(5)): whether it stays up shows a moment later.
_UP_ON_FORK = frozenset({"simple", "exec", "idle"})


class RequestError(Exception):
    """Why the request could not be carried out; `facts` is the reply's "failure"."""

    def __init__(self, kind: str, **facts: object) -> None:
        self.facts = {"kind": kind, **facts}
        super().__init__(kind)


def _text(value: object) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _words(error: DBusBaseError) -> str:
    """What systemd, or else the kernel, said."""
    return _text(error.err_message) if error.err_message else os.strerror(abs(error.errno))


def _unanswered(path: str) -> str:
    """Why nobody speaks D-Bus behind the socket at `path`; "" if somebody does."""
    try:
        with socket.socket(socket.AF_UNIX) as peer:
            peer.settimeout(2.0)
            peer.connect(path)
            peer.sendall(b"\0AUTH\r\n")
            return "" if peer.recv(1) else f"{path}: closed the connection"
    except OSError as error:
        return f"{path}: {error.strerror or 'no answer'}"


class Bus:
    """The service manager over D-Bus: through the system bus, else through systemd's private socket."""

    def __init__(self, run: str, private_first: bool) -> None:
        self.ended: dict[str, str] = {}  # job path -> result, as JobRemoved tells
        self._heard = self._listener()  # pystemd keeps no reference to it
        sockets = [(f"{run}/dbus/system_bus_socket", False), (f"{run}/systemd/private", True)]
        reasons = []
        for path, private in reversed(sockets) if private_first else sockets:
            reason = _unanswered(path) or self._open(path, private)
            if not reason:
                return
            reasons.append(reason)
        raise RequestError("unreachable", reasons=reasons)

    def _listener(self) -> Callable[..., None]:
        """A function, because pystemd sets an attribute on it, that notes the end of each job."""

        def job_removed(message: Any, **_: object) -> None:
            message.process_reply(False)
            _number, job, _unit, result = message.body
            self.ended[_text(job)] = _text(result)

        return job_removed

    def _open(self, path: str, private: bool) -> str:
        """Connect and ask systemd for a sign of life; returns why not, or ""."""
        self._bus = DBusAddress(f"unix:path={quote(path)}".encode(), private)
        try:
            self._bus.open()
            self._bus.call_method(_SYSTEMD, _MANAGER_PATH, b"org.freedesktop.DBus.Peer", b"Ping", [])
            self._bus.match_signal(None, _MANAGER_PATH, _MANAGER, b"JobRemoved", self._heard)
        except DBusBaseError as error:
            return f"{path}: {_words(error)}"
        return ""

    def call(self, method: bytes, signature: bytes = b"", *arguments: object) -> Any:
        """Body of the Manager's reply."""
        packed = apply_signature(signature, list(arguments))
        return self._bus.call_method(_SYSTEMD, _MANAGER_PATH, _MANAGER, method, packed).body

    def read(self, path: bytes, interface: bytes, name: bytes, signature: bytes = b"s") -> Any:
        """One property of the object at `path`; strings decoded."""
        value = self._bus.get_property(_SYSTEMD, path, interface, name, signature)
        return _text(value) if isinstance(value, bytes) else value

    def result_of(self, job: str, until: float) -> str:
        """Wait for a job's end: its result in systemd's words, or "late" at `until` (monotonic seconds)."""
        while job not in self.ended:
            left = until - time.monotonic()
            if left <= 0:
                return "late"
            self._bus.wait(int(left * 1e6))
            self._bus.process()
        return self.ended[job]


class Session:
    """Carries out the operations of one request, in order, up to the first failure."""

    def __init__(self, bus: Bus, seconds: float, settle: float) -> None:
        self._bus = bus
        self._until = time.monotonic() + seconds
        self._settle = settle
        self._young: list[tuple[str, str, int]] = []  # to look at once more: verb, unit, restarts so far
        self.states: list[dict[str, object]] = []

    def observe(self, *names: str) -> None:
        """Append the state of each unit to `states`."""
        # A template (x@.service) can have a file but is never loaded, and the Manager refuses to list one.
        templates = [name for name in names if "@." in name]
        listed = [name for name in names if "@." not in name]
        packed = [name.encode() for name in listed]
        rows = self._bus.call(b"ListUnitsByNames", b"as", packed) if listed else []
        self.states += [self._state(name, row) for name, row in zip(listed, rows, strict=True)]
        unloaded = ("", "stub", "inactive", "dead", "", "")
        self.states += [self._state(name, (name, *unloaded)) for name in templates]

    def _state(self, name: str, row: Iterable[object]) -> dict[str, object]:
        _id, _description, load, active, sub, _following, path, *_job = (*map(_text, row),)
        service = load == "loaded" and name.endswith(".service")
        known = load not in {"not-found", "stub"}
        stale = known and self._bus.read(path.encode(), _UNIT, b"NeedDaemonReload", b"b")
        return {
            "name": name,
            "load": load,
            "active": active,
            "sub": sub,
            "file": self._file_state(name),
            "result": self._bus.read(path.encode(), _SERVICE, b"Result") if service else "",
            "needs_daemon_reload": bool(stale),
        }

    def _file_state(self, name: str) -> str:
        try:
            return _text(self._bus.call(b"GetUnitFileState", b"s", name.encode()))
        except DBusFileNotFoundError:
            return ""
        except DBusBaseError as error:
            if _text(error.err_name).startswith("System.Error."):
                return "bad"  # systemd's word for a unit file that it cannot read
            raise

    def daemon_reload(self) -> None:
        """Read all unit files again; systemd answers when that is done."""
        self._bus.call(b"Reload")

    def start(self, name: str) -> None:
        self._bring_up(b"StartUnit", "start", name)

    def restart(self, name: str) -> None:
        self._bring_up(b"RestartUnit", "restart", name)

    def _bring_up(self, method: bytes, verb: str, name: str) -> None:
        self._run(method, verb, name)
        path = self._path(name)
        if name.endswith(".service") and self._bus.read(path, _SERVICE, b"Type") in _UP_ON_FORK:
            self._young.append((verb, name, self._restarts(path)))

    def stop(self, name: str) -> None:
        """Stop a unit; one that is down because it failed counts as stopped from then on."""
        if self._active(name) not in {"inactive", "failed"}:
            self._run(b"StopUnit", "stop", name)
        if self._active(name) == "failed":
            self._bus.call(b"ResetFailedUnit", b"s", name.encode())

    def reload(self, name: str) -> None:
        """Reload a unit that runs; one that does not run reads its configuration when it starts."""
        if self._active(name) in {"inactive", "failed", "deactivating"}:
            return
        if not self._bus.read(self._path(name), _UNIT, b"CanReload", b"b"):
            words = "it knows no reload (a service needs ExecReload=); restart it instead"
            raise RequestError("refused", verb="reload", unit=name, words=words)
        self._run(b"ReloadUnit", "reload", name)

    def reboot(self) -> None:
        """Start reboot.target, which stops every unit in order (the Manager's Reboot method would not)."""
        self._bus.call(b"StartUnit", b"ss", b"reboot.target", b"replace-irreversibly")

    def _path(self, name: str) -> bytes:
        path: bytes = self._bus.call(b"LoadUnit", b"s", name.encode())
        return path

    def _active(self, name: str) -> str:
        return str(self._bus.read(self._path(name), _UNIT, b"ActiveState"))

    def _restarts(self, path: bytes) -> int:
        return int(self._bus.read(path, _SERVICE, b"NRestarts", b"u"))

    def _run(self, method: bytes, verb: str, name: str) -> None:
        try:
            job = _text(self._bus.call(method, b"ss", name.encode(), b"replace"))
        except DBusBaseError as error:
            said = {"name": type(error).__name__, "words": _words(error)}
            raise RequestError("refused", verb=verb, unit=name, **said) from error
        result = self._bus.result_of(job, self._until)
        if result != "done":
            raise self._failed(verb, name, result)

    def _failed(self, verb: str, name: str, job: str) -> RequestError:
        path = self._path(name)
        facts: dict[str, object] = {"active": self._bus.read(path, _UNIT, b"ActiveState")}
        facts["sub"] = self._bus.read(path, _UNIT, b"SubState")
        if name.endswith(".service"):
            facts["result"] = self._bus.read(path, _SERVICE, b"Result")
            facts["code"] = self._bus.read(path, _SERVICE, b"ExecMainCode", b"i")
            facts["status"] = self._bus.read(path, _SERVICE, b"ExecMainStatus", b"i")
            facts["restarts"] = self._restarts(path)
        return RequestError("unit", verb=verb, unit=name, job=job, **facts)

    def confirm(self) -> None:
        """Look once more, after a moment, at the services whose start told only that a process was forked."""
        if self._young:
            time.sleep(self._settle)
        for verb, name, restarts in self._young:
            path = self._path(name)
            if self._restarts(path) > restarts or self._bus.read(path, _SERVICE, b"Result") != "success":
                raise self._failed(verb, name, "done")


_OPERATIONS: dict[str, Callable[..., None]] = {
    "observe": Session.observe,
    "daemon-reload": Session.daemon_reload,
    "start": Session.start,
    "restart": Session.restart,
    "stop": Session.stop,
    "reload": Session.reload,
    "reboot": Session.reboot,
}


def answer(request: dict[str, Any]) -> dict[str, object]:
    """Carry out `request` and return the reply."""
    operations: list[list[str]] = request["operations"]
    try:
        restarts_bus = any(_BUS_UNITS.intersection(units) for _, *units in operations)
        bus = Bus(request["run"], private_first=restarts_bus)
        session = Session(bus, request["seconds"], request["settle"])
        for verb, *units in operations:
            _OPERATIONS[verb](session, *units)
        session.confirm()
    except RequestError as failure:
        return {"failure": failure.facts}
    except DBusBaseError as error:
        return {"failure": {"kind": "bus", "name": type(error).__name__, "words": _words(error)}}
    return {"states": session.states}


if __name__ == "__main__":
    request = json.load(sys.stdin)
    signal.setitimer(signal.ITIMER_REAL, request["seconds"] + 5.0)  # should the agent be gone, so are we
    json.dump(answer(request), sys.stdout)
