"""A node under machine configuration, drift and certificates: the packaged service on a real systemd.

Invariant: what is declared together is in place together whenever the node is at rest, and nothing is left beside it.
"""

from __future__ import annotations

import json
import random
import time
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from itertools import count, cycle
from pathlib import Path

from tests.node.agent import Agent, file, restarts, sleeper
from tests.node.machine import Machine
from tests.soak.course import Fault
from tests.unit.certs.authority import issue

_WATCHED = tuple(f"/etc/soak/watched-{number}.conf" for number in range(20))
_MENDED = tuple(f"/etc/soak/mended-{number}.conf" for number in range(40))  # five within five minutes are an alert
_PAIR = ("/etc/soak/one.conf", "/etc/soak/two.conf")
_UNIT = "soak.service"
_CERTIFICATE = "/etc/soak-pki/server.crt"
_FLAGS = ("--drift-policy", "/etc/soak/mended-*=remediate", "--certs-paths", "/etc/soak-pki/*.crt", "--certs-interval")
_SOON = 60.0  # seconds
_HASTE = 0.8  # seconds: an agent that is ended so soon after a declaration is at work on it, or about to be


class Configured:
    """One machine with one daemon."""

    name = "node"

    def __init__(self, machine: Machine) -> None:
        self.counts = Counter[str]()
        self._machine = machine
        self._agent = Agent(machine)
        self._versions, self._version = count(1), 0
        self._to_mend = cycle(_MENDED)
        now = datetime.now(UTC)
        self._lasting = issue("soak", begins=now - timedelta(days=1), ends=now + timedelta(days=300)).pem.decode()
        self._ending = issue("soak", begins=now - timedelta(days=9), ends=now + timedelta(days=1)).pem.decode()
        self._machine.write(_CERTIFICATE, self._lasting)
        self._agent.policy(restarts(_UNIT))
        self._declare()
        self._agent.start(*_FLAGS, "1s")
        self.faults = (
            Fault("a managed file is changed", "drift is told, and its end", self._tamper),
            Fault("a file with remediation is changed", "it is put right", self._spoil),
            Fault("another version is declared", "all of it is in place, and the unit runs it", self._renew),
            Fault("a certificate that ends soon is put in place", "it is told, and its end", self._age),
            Fault("the agent is killed while it applies", "the next finishes or undoes it", self._kill, ends=True),
            Fault("the power is cut while it applies", "the node comes to what is declared", self._cut, ends=True),
        )

    def agents(self) -> Mapping[str, Path]:
        pid = self._agent.show("nodeagent.service", "MainPID")
        return {self.name: self._machine.path(f"/proc/{pid}")}

    def rest(self) -> None:
        """The version that is declared is in place, nothing drifts and nothing lies about."""
        self._wait("the version is in place", lambda: [self._read(path) for path in _PAIR] == [self._text()] * 2)
        self._agent.until(
            lambda report: report["state"] == "Done" and report["config"] == report["desired"] and not report["drift"],
            _SOON,
        )
        self._wait("the unit runs it", lambda: str(_seconds(self._version)) in self._agent.command_of(_UNIT))
        self._wait("nothing is left", lambda: self._agent.leftovers() == [])

    # -- faults -------------------------------------------------------------------------------------------------------

    def _tamper(self, chance: random.Random) -> None:
        path, (kind, harm) = chance.choice(_WATCHED), chance.choice(tuple(_HARMS.items()))
        target = self._machine.path(path)
        harm(target)
        self._agent.drift(path, kind, _SOON)
        self.counts["drift found"] += 1
        target.write_text("watched\n")
        target.chmod(0o644)

    def _spoil(self, chance: random.Random) -> None:
        path = next(self._to_mend)
        self._machine.write(path, f"spoilt {chance.random()}\n")
        self._wait("it is put right", lambda: self._read(path) == "mended\n")
        self.counts["drift put right"] += 1

    def _renew(self, _: random.Random) -> None:
        self._declare()

    def _age(self, _: random.Random) -> None:
        self._machine.write(_CERTIFICATE, self._ending)
        self._wait("the finding is told", lambda: _CERTIFICATE in self._findings())
        self.counts["certificates found"] += 1
        self._machine.write(_CERTIFICATE, self._lasting)
        self._wait("its end is told", lambda: _CERTIFICATE not in self._findings())

    def _kill(self, chance: random.Random) -> None:
        before = self._agent.show("nodeagent.service", "MainPID")
        self._declare()
        time.sleep(chance.uniform(0.0, _HASTE))
        self._machine.run("kill", "-KILL", before)
        self._wait("another is there", lambda: self._agent.show("nodeagent.service", "MainPID") not in ("0", before))
        self.counts["agents killed"] += 1

    def _cut(self, chance: random.Random) -> None:
        boots = len(self._machine.boots)
        self._declare()
        time.sleep(chance.uniform(0.0, _HASTE))
        self._machine.cut_power()
        self._machine.wait_for_boot(boots + 1)
        self.counts["power cuts"] += 1

    # -- the node -----------------------------------------------------------------------------------------------------

    def _declare(self) -> None:
        """Another version of two files and a unit, beside what stays."""
        self._version = next(self._versions)
        self._agent.declare(
            "50-soak",
            storage={
                "files": [
                    *(file(path, "watched\n", mode=0o644) for path in _WATCHED),
                    *(file(path, "mended\n", mode=0o644) for path in _MENDED),
                    *(file(path, self._text()) for path in _PAIR),
                ]
            },
            systemd={"units": [{"name": _UNIT, "enabled": True, "contents": sleeper(_seconds(self._version))}]},
        )

    def _text(self) -> str:
        return f"version {self._version}\n"

    def _read(self, path: str) -> str:
        try:
            return self._machine.read(path)
        except FileNotFoundError:
            return ""

    def _findings(self) -> set[str]:
        """Paths that the certificates' job tells of."""
        document = json.loads(self._machine.read("/run/nodeagent/status.json"))
        return {each["path"] for each in document["jobs"].get("certs", {}).get("found", ())}

    def _wait(self, what: str, holds: Callable[[], bool]) -> None:
        try:
            self._machine.wait_until(holds, _SOON)
        except AssertionError as error:
            raise AssertionError(f"waited in vain until {what}: {error}\n{self._agent.journal()[-4000:]}") from error


def _seconds(version: int) -> int:
    """By which the unit of a version is told from others."""
    return 100_000 + version


def _append(path: Path) -> None:
    with path.open("a") as stream:
        stream.write("tampered\n")


_HARMS: Mapping[str, Callable[[Path], None]] = {
    "content": _append,
    "mode": lambda path: path.chmod(0o600),
    "missing": Path.unlink,
}
