"""Carries checks out side by side, each within its deadline.

Invariant: there is an answer for every look, in the order of the looks, no later than the longest deadline: one that
hangs in the kernel, as on a dead network file system, is left behind on its thread and counts as failed.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from nodeagent.doctor.check import Check, Verdict
from nodeagent.errors import NodeAgentError


@dataclass(frozen=True)
class Look:
    """Looks at the aspect `name` within `deadline` seconds.

    `check` may raise NodeAgentError and OSError, which `advice` says what to do about.
    """

    name: str
    check: Callable[[], Check]
    deadline: float = 10.0
    advice: str = "put that right, then look again"


def examine(looks: Sequence[Look]) -> tuple[Check, ...]:
    """The check of each look."""
    running = [_Running(look) for look in looks]
    for each in running:
        each.thread.start()
    begun = time.monotonic()
    return tuple(each.ended(max(0.0, begun + each.look.deadline - time.monotonic())) for each in running)


@dataclass
class _Running:
    look: Look
    found: list[Check] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.thread = threading.Thread(target=self._run, name=f"check {self.look.name}", daemon=True)

    def _run(self) -> None:
        try:
            self.found.append(self.look.check())
        except NodeAgentError as error:
            self.found.append(_failed(self.look, str(error), self.look.advice))
        except OSError as error:
            where = f"{error.filename}: " if error.filename else ""
            self.found.append(_failed(self.look, f"{where}{error.strerror or error}", self.look.advice))

    def ended(self, seconds: float) -> Check:
        self.thread.join(seconds)
        if self.found:
            return self.found[0]
        if self.thread.is_alive():
            late = f"no answer within {self.look.deadline:g} s"
            return _failed(self.look, late, "see what hangs there, such as a network file system or PID 1")
        return _failed(self.look, "the check ended by a defect of the agent", "report what stands on standard error")


def _failed(look: Look, explanation: str, advice: str) -> Check:
    return Check(look.name, Verdict.FAILED, explanation, advice)
