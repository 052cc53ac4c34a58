"""A node in memory whose every step can be the last: what the executor's tests interrupt.

A step is any point at which a real process could die or a real system call could fail: before and after each record
that reaches the journal, and between any two effects on the node.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from nodeagent.engine.executor import Executor
from nodeagent.engine.journal import Journal, Record, Transaction
from nodeagent.engine.plan import Change, Plan


class PowerCut(BaseException):
    """The process is gone; nothing catches this."""


@dataclass(frozen=True)
class Put:
    """Give the place `path` a value."""

    path: str
    value: str
    before: str
    reversible = True

    @property
    def order(self) -> tuple[int, str]:
        return 0, self.path

    def describe(self) -> str:
        return f"put {self.path}"

    def facts(self) -> Mapping[str, Any]:
        return {"change": "Put", "path": self.path, "value": self.value, "before": self.before}


@dataclass(frozen=True)
class Act:
    """Do something that only goes forward; what is `lasting` no boot does."""

    name: str
    lasting: bool = False
    reversible = False

    @property
    def order(self) -> tuple[int, str]:
        return 1, self.name

    def describe(self) -> str:
        return f"act {self.name}"

    def facts(self) -> Mapping[str, Any]:
        return {"change": "Act", "name": self.name, "lasting": self.lasting}


@dataclass
class Faults:
    """Raises `error` at step number `at`, counted from 0; at all later steps too if it is `lasting`."""

    at: int | None = None
    error: BaseException = field(default_factory=PowerCut)
    lasting: bool = False
    taken: list[str] = field(default_factory=list)

    def step(self, name: str) -> None:
        number = len(self.taken)
        self.taken.append(name)
        if self.at is not None and (number == self.at or (self.lasting and number > self.at)):
            raise self.error


@dataclass
class Node:
    """Values by path, what stands aside, what was done, and the journal: all that survives the process."""

    values: dict[str, str]
    aside: dict[str, str] = field(default_factory=dict)
    done: list[str] = field(default_factory=list)
    journal: dict[str, list[Record]] = field(default_factory=dict)

    def executor(self, faults: Faults | None = None, boot: str = "boot-1") -> Executor:
        """A new process on this node."""
        faults = faults or Faults()
        return Executor(_Journal(self, faults), Effects(self, faults), boot)

    @property
    def clean(self) -> bool:
        """Nothing is left aside, and nothing is left to recover."""
        return not self.aside and not self.journal


@dataclass(frozen=True)
class _Transaction(Transaction):
    node: Node
    faults: Faults

    def __exit__(self, *_: object) -> None:
        """Nothing to close."""

    def append(self, record: Record) -> None:
        self.faults.step(f"before {record['at']}")
        self.node.journal[self.id].append(record)
        self.faults.step(f"after {record['at']}")

    def records(self) -> tuple[Record, ...]:
        return tuple(self.node.journal[self.id])

    def remove(self) -> None:
        self.faults.step("remove the journal")
        del self.node.journal[self.id]


class _Journal(Journal):
    def __init__(self, node: Node, faults: Faults) -> None:
        super().__init__(-1)
        self._node = node
        self._faults = faults

    def begin(self, transaction: str) -> Transaction:
        self._faults.step("begin the journal")
        self._node.journal[transaction] = []
        return _Transaction(transaction, -1, -1, self._node, self._faults)

    def unfinished(self) -> Iterator[Transaction]:
        for name in sorted(self._node.journal, reverse=True):
            yield _Transaction(name, -1, -1, self._node, self._faults)


class Effects:
    """Effects on the values of a node."""

    def __init__(self, node: Node, faults: Faults) -> None:
        self._node = node
        self._faults = faults

    def check(self, changes: Sequence[Change]) -> None:
        self._faults.step(f"check {len(changes)} changes")

    def inverses(self, changes: Sequence[Change], transaction: str) -> Sequence[Mapping[str, Any]]:
        return [{**change.facts(), "aside": f"{transaction}-{index}"} for index, change in enumerate(changes)]

    def stage(self, changes: Sequence[Change], inverses: Sequence[Mapping[str, Any]]) -> None:
        for _, facts in zip(changes, inverses, strict=True):
            self._node.aside[facts["path"]] = facts["value"]
            self._faults.step(f"staged {facts['path']}")

    def commit(self, changes: Sequence[Change], inverses: Sequence[Mapping[str, Any]]) -> None:
        for _, facts in zip(changes, inverses, strict=True):
            self._swap(facts["path"])
            self._faults.step(f"swapped {facts['path']}")

    def _swap(self, path: str) -> None:
        self._node.values[path], self._node.aside[path] = self._node.aside[path], self._node.values[path]

    def undo(self, inverses: Sequence[Mapping[str, Any]]) -> None:
        for facts in reversed(inverses):
            self._faults.step(f"undo {facts['path']}")
            if self._node.values[facts["path"]] != facts["before"]:
                self._swap(facts["path"])
            self._node.aside.pop(facts["path"], None)

    def discard(self, inverses: Sequence[Mapping[str, Any]]) -> None:
        for facts in inverses:
            self._faults.step(f"discard {facts['path']}")
            self._node.aside.pop(facts["path"], None)

    def settle(self) -> None:
        self._faults.step("settle")

    def perform(self, changes: Sequence[Change]) -> None:
        for change in changes:
            self._faults.step(change.describe())
            self._node.done.append(change.describe())

    def decode(self, facts: Mapping[str, Any]) -> Change:
        return Act(facts["name"])


BEFORE = {"/a": "old a", "/b": "old b", "/c": "old c"}
AFTER = {"/a": "new a", "/b": "new b", "/c": "old c"}
PLAN = Plan.of(
    [Put("/a", "new a", "old a"), Put("/b", "new b", "old b"), Act("reload"), Act("restart")],
    compensations=[Act("bring back")],
)


def node() -> Node:
    """A node as it is before `PLAN`."""
    return Node(dict(BEFORE))
