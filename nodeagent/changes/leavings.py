"""What is taken back where the agent goes for good, as data.

Never journalled: what is left is observed and planned again, so that an interrupted removal is simply begun anew. Rows
go first, since finalizers keep the objects that they came from; files of this node go before its Node falls silent.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any


class Phase(IntEnum):
    """In which order."""

    ROWS = 0
    FINALIZERS = 1
    FILES = 2
    NODES = 3
    OBJECTS = 4


@dataclass(frozen=True)
class _Leaving(ABC):
    """`subject` is what it is taken from: a gateway, a path, a node, the path of an object in the API."""

    subject: str
    reversible = False
    phase = Phase.OBJECTS

    @property
    def order(self) -> tuple[int, str]:
        return self.phase, self.subject

    @abstractmethod
    def describe(self) -> str: ...

    def facts(self) -> Mapping[str, Any]:
        return {"change": type(self).__name__, "subject": self.subject, "describe": self.describe()}


@dataclass(frozen=True)
class DeleteRows(_Leaving):
    """All rows of a gateway that are ours, out of OVN's northbound database; `rows` says which."""

    rows: tuple[str, ...]
    phase = Phase.ROWS

    def describe(self) -> str:
        return f"delete all rows of ours ({len(self.rows)}) of gateway {self.subject} from the northbound database"


@dataclass(frozen=True)
class DropFinalizers(_Leaving):
    """Finalizers of an object, so that it can go."""

    finalizers: tuple[str, ...]
    phase = Phase.FINALIZERS

    def describe(self) -> str:
        return f"drop {', '.join(self.finalizers)} from {self.subject}"


@dataclass(frozen=True)
class RemoveRunFile(_Leaving):
    """A file of the run directory."""

    phase = Phase.FILES

    def describe(self) -> str:
        return f"remove {self.subject}"


@dataclass(frozen=True)
class GiveUpTrackFile(_Leaving):
    """The number that keepalived tracks: it is 0 once more, then it goes, and with it `files` beside it."""

    files: tuple[str, ...]
    phase = Phase.FILES

    def describe(self) -> str:
        return f"give up the track file: 0, then remove {', '.join(self.files)} in {self.subject}"


@dataclass(frozen=True)
class RemoveRecovery(_Leaving):
    """The unit that recovers a node at boot without its pod, and what it runs from: the paths `files`."""

    files: tuple[str, ...]
    phase = Phase.FILES

    def describe(self) -> str:
        return f"remove {self.subject}: {', '.join(self.files)}"


@dataclass(frozen=True)
class RemoveGateway(_Leaving):
    """An egress gateway of this node: its speaker of BFD, its network namespace, its port on the switch."""

    phase = Phase.FILES

    def describe(self) -> str:
        return f"remove the egress gateway in the network namespace {self.subject}"


@dataclass(frozen=True)
class EndSilence(_Leaving):
    """The rule that silences BFD in a network namespace."""

    phase = Phase.FILES

    def describe(self) -> str:
        return f"let BFD speak again in the network namespace {self.subject}"


@dataclass(frozen=True)
class ClearNode(_Leaving):
    """What was said on a Node, and a cordon that is the coordinator's."""

    annotations: tuple[str, ...] = ()
    conditions: tuple[str, ...] = ()
    uncordon: bool = False
    phase = Phase.NODES

    def describe(self) -> str:
        said = ", ".join((*self.annotations, *self.conditions))
        return f"node {self.subject}: " + "; ".join(
            [*([f"clear {said}"] if said else ()), *(["uncordon"] if self.uncordon else ())]
        )


@dataclass(frozen=True)
class DeleteObject(_Leaving):
    """An object that is ours alone."""

    def describe(self) -> str:
        return f"delete {self.subject}"


Leaving = (
    DeleteRows
    | DropFinalizers
    | RemoveRunFile
    | GiveUpTrackFile
    | RemoveRecovery
    | RemoveGateway
    | EndSilence
    | ClearNode
    | DeleteObject
)
