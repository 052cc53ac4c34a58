"""Hands the node's traffic over before planned work, and takes it back afterwards.

Jobs that carry traffic (the VIP, the egress gateway) register a participant. `prepare` asks each of them, in the order
of registration, to move its traffic away and waits until it has moved; `resume` brings them back in the reverse order.
If one cannot hand over in time, those that have are resumed and the work does not start.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Protocol

from nodeagent.errors import NodeAgentError, Transient


class Participant(Protocol):
    """A job that carries traffic. Both calls are idempotent: after a restart they may come again."""

    @property
    def name(self) -> str: ...

    def prepare(self, reason: str, deadline: float) -> None:
        """Return once the traffic has moved; NodeAgentError if it has not `deadline` seconds from now."""
        ...

    @property
    def interrupted(self) -> bool:
        """It has prepared, and was never asked to resume: the agent was ended in between."""
        ...

    def resume(self) -> None: ...


class Handover:
    """The participants of this node. `clock` is monotonic, in seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._participants: list[Participant] = []
        self._clock = clock
        self._one_at_a_time = threading.Lock()
        self._asked = False

    def register(self, participant: Participant) -> None:
        self._participants.append(participant)

    def prepare(self, reason: str, deadline: float) -> None:
        """Move all traffic away within `deadline` seconds; Transient names who could not, and nobody has moved then."""
        until = self._clock() + deadline
        asked: list[Participant] = []
        with self._one_at_a_time:
            self._asked = True
            for participant in self._participants:
                asked.append(participant)
                try:
                    participant.prepare(reason, max(0.0, until - self._clock()))
                except (NodeAgentError, OSError) as error:
                    failures = [f"{participant.name} could not hand over before {reason}: {error}", *_resume(asked)]
                    raise Transient("; ".join(failures)) from error

    def recover(self) -> None:
        """Bring everybody back if somebody was left away by an agent that was ended; no work has begun since."""
        with self._one_at_a_time:
            if not self._asked and any(each.interrupted for each in self._participants):
                self._bring_back()

    def resume(self) -> None:
        """Bring everybody back, last first; every participant is asked even if another fails."""
        with self._one_at_a_time:
            self._bring_back()

    def _bring_back(self) -> None:
        if failures := _resume(self._participants):
            raise Transient("; ".join(failures))


def _resume(participants: list[Participant]) -> list[str]:
    """Bring `participants` back, last first; returns what failed, since one failure must not keep others away."""
    failures = []
    for participant in reversed(participants):
        try:
            participant.resume()
        except (NodeAgentError, OSError) as error:
            failures.append(f"{participant.name} could not take its traffic back: {error}")
    return failures
