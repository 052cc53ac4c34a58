"""A service manager in memory, for tests that need systemd's answers and not systemd.

Invariant: whatever `tests/contract/test_units.py` asks, it answers as the real adapter does.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import assert_never

from nodeagent.changes.units import DaemonReload, Reboot, ReloadUnit, RestartUnit, StopUnit, UnitChange
from nodeagent.errors import Broken, Transient
from nodeagent.observed.units import UnitState


class Behaviour(StrEnum):
    """What a service does when it is started."""

    RUNS = "runs"
    RELOADABLE = "runs, and can reload"
    ONESHOT = "does its work and ends"
    FAILS = "exits with status 1"
    HANGS = "never gets ready"


@dataclass
class Service:
    """A service that the fake knows; tests may set its fields."""

    behaviour: Behaviour
    active: str = "inactive"
    sub: str = "dead"
    file: str = "static"
    result: str = "success"
    masked: bool = False
    needs_daemon_reload: bool = False
    process: int = 0
    reloads: int = 0


class FakeSystemd:
    """Answers as `nodeagent.host.systemd.Systemd` does, from `services`; `rebooting` tells of a reboot."""

    def __init__(self, services: dict[str, Service] | None = None) -> None:
        self.services = services if services is not None else {}
        self.rebooting = False
        self.frozen = False
        self._processes = itertools.count(100)

    def running(self) -> bool:
        return True

    def states(self, names: Iterable[str]) -> dict[str, UnitState]:
        wanted = sorted(set(names))
        if wanted:
            self._answer()
        return {_checked(name): self._state(name) for name in wanted}

    def _state(self, name: str) -> UnitState:
        service = self.services.get(name)
        if service is None:
            return UnitState(name, "not-found", "inactive", "dead", "")
        stale = service.needs_daemon_reload
        if service.masked:
            return UnitState(name, "masked", service.active, service.sub, "masked", "", stale)
        return UnitState(name, "loaded", service.active, service.sub, service.file, service.result, stale)

    def daemon_reload(self) -> None:
        self._answer()
        for service in self.services.values():
            service.needs_daemon_reload = False

    def start(self, name: str) -> None:
        if self._startable("start", name).active != "active":
            self._run("start", name)

    def restart(self, name: str) -> None:
        self._startable("restart", name)
        self._run("restart", name)

    def stop(self, name: str) -> None:
        self._answer()
        service = self.services.get(_checked(name))
        if service is not None and service.active != "failed":
            service.active, service.sub, service.process = "inactive", "dead", 0

    def reload(self, name: str) -> None:
        self._answer()
        service = self.services.get(_checked(name))
        if service is None or service.active in {"inactive", "failed"}:
            return
        if service.behaviour is not Behaviour.RELOADABLE:
            raise Broken(f"systemd refused to reload {name}: it knows no reload")
        service.reloads += 1

    def reboot(self) -> None:
        self._answer()
        self.rebooting = True

    def carry_out(self, changes: Iterable[UnitChange]) -> None:
        for change in changes:
            self._carry_out(change)

    def _carry_out(self, change: UnitChange) -> None:
        match change:
            case DaemonReload():
                return self.daemon_reload()
            case StopUnit():
                return self.stop(change.unit)
            case ReloadUnit():
                return self.reload(change.unit)
            case RestartUnit():
                return self.restart(change.unit)
            case Reboot():
                return self.reboot()
        assert_never(change)

    def _answer(self) -> None:
        if self.frozen:
            raise Transient("systemd did not answer within 0 s")

    def _startable(self, verb: str, name: str) -> Service:
        self._answer()
        service = self.services.get(_checked(name))
        if service is None or service.masked:
            raise Broken(f"systemd refused to {verb} {name}: {'masked' if service else 'not found'}")
        return service

    def _run(self, verb: str, name: str) -> None:
        service = self.services[name]
        service.process, service.result = next(self._processes), "success"
        match service.behaviour:
            case Behaviour.RUNS | Behaviour.RELOADABLE:
                service.active, service.sub = "active", "running"
            case Behaviour.ONESHOT:
                service.active, service.sub, service.process = "inactive", "dead", 0
            case Behaviour.HANGS:
                service.active, service.sub = "activating", "start"
                raise Broken(f"{name} failed to {verb}: not done within 0 s")
            case Behaviour.FAILS:
                service.active, service.sub, service.result = "failed", "failed", "exit-code"
                raise Broken(f"{name} failed to {verb}: result exit-code, exited with status 1")


def _checked(name: str) -> str:
    if "." not in name or "/" in name:
        raise Broken(f"not names of systemd units: {name!r}")
    return name
