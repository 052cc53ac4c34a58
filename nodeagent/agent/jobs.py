"""What the daemon lends to a job, and what a job gives back: its loops, made but not started.

A job is a function of a `Context` that returns a context manager: entering it builds the job's adapters, leaving it,
after the loops have ended, closes them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nodeagent.agent.announcer import Events
from nodeagent.agent.workplace import Workplace
from nodeagent.engine.controller import Controller, Watcher
from nodeagent.engine.handover import Handover
from nodeagent.engine.report import Reporter
from nodeagent.telemetry.metrics.registry import Registry

if TYPE_CHECKING:  # the API's client, only in a cluster
    from nodeagent.agent.membership import Membership


@dataclass(frozen=True)
class Loop:
    """A job's loop; each turn of it, its wait included, takes less than `allowance` seconds."""

    controller: Controller
    allowance: float


@dataclass(frozen=True)
class Context:
    """The node and the parts of the daemon that all jobs share. `membership` is None where there is no cluster."""

    place: Workplace
    watcher: Watcher
    reporter: Reporter
    events: Events
    registry: Registry
    handover: Handover
    membership: Membership | None


Job = Callable[[Context], AbstractContextManager[Sequence[Loop]]]
