"""Changes that renew certificates: files that go together, and what has to be seen afterwards.

Waiting changes nothing on the node, and so may be done again; one that waits in vain has the whole batch undone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nodeagent.changes.files import Phase, WriteFile


@dataclass(frozen=True, kw_only=True)
class WritePairFile(WriteFile):
    """Put one file of a certificate's pair in place; `rank` keeps the two together, the key first."""

    rank: str

    @property
    def order(self) -> tuple[int, str]:
        return self.phase, self.rank


@dataclass(frozen=True, slots=True)
class AwaitServed:
    """Wait until `component` at this local address serves the certificate with this SHA-256 fingerprint."""

    component: str
    address: str
    port: int
    fingerprint: str

    reversible = False

    @property
    def order(self) -> tuple[int, str]:
        return Phase.ACTION, f"0{self.component} {self.port}"

    def describe(self) -> str:
        return f"wait until {self.component} serves its new certificate"

    def facts(self) -> dict[str, Any]:
        told = {"component": self.component, "address": self.address, "port": self.port}
        return {"change": "AwaitServed", **told, "fingerprint": self.fingerprint}


@dataclass(frozen=True, slots=True)
class AwaitStart:
    """Wait until `component` has started after `since` and says that it is healthy.

    `since` are the seconds in the name of the loopback certificate that it had made for itself when it started before;
    0 waits for health alone. What it serves does not prove a restart: it reads its files again without one.
    """

    component: str
    address: str
    port: int
    health: str
    since: int

    reversible = False

    @property
    def order(self) -> tuple[int, str]:
        return Phase.ACTION, f"1{self.component}"

    def describe(self) -> str:
        return f"wait until {self.component} has {'started anew' if self.since else 'come back'}"

    def facts(self) -> dict[str, Any]:
        told = {"component": self.component, "address": self.address, "port": self.port}
        return {"change": "AwaitStart", **told, "health": self.health, "since": self.since}


Await = AwaitServed | AwaitStart


def from_facts(facts: Mapping[str, Any]) -> Await | None:
    """The change that `facts()` described; None for anything else."""
    match facts["change"]:
        case "AwaitServed":
            return AwaitServed(facts["component"], facts["address"], facts["port"], facts["fingerprint"])
        case "AwaitStart":
            return AwaitStart(facts["component"], facts["address"], facts["port"], facts["health"], facts["since"])
        case _:
            return None
