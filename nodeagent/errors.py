"""What went wrong, named by what the caller does next.

Rejected: the input is at fault; wait for new input. Transient: try again later. Broken: stop and tell a person.
Every error carries sentences for people, never a traceback and never the contents of a file.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, order=True)
class Problem:
    """One thing that is wrong with an input.

    `object` names what a person would open to mend it ("MachineConfig 50-chrony (chrony.yaml)"), `path` is the JSON
    path inside it ("$.spec.config.storage.files[0].mode"; "" where the whole object is meant), `message` says what is
    wrong and `advice` what to do about it ("" where the message says it all).
    """

    object: str
    path: str
    message: str
    advice: str = ""

    def __str__(self) -> str:
        where = f"{self.object}: {self.path}" if self.path else self.object
        return f"{where}: {self.message}; {self.advice}" if self.advice else f"{where}: {self.message}"


class NodeAgentError(Exception):
    """Base of all errors that the agent raises on purpose."""


class Rejected(NodeAgentError):
    """The input cannot be used; nothing was changed. Holds every problem found, sorted and without repeats."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems: tuple[Problem, ...] = tuple(sorted(set(problems)))
        super().__init__("\n".join(map(str, self.problems)))


class Transient(NodeAgentError):
    """It did not work this time and may work later: a timeout, a busy lock, a service that is away."""


class Broken(NodeAgentError):
    """It did not work and will not by itself: a person has to look."""
