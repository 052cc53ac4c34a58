"""This node's end of BFD: one speaker a gateway, silent while its traffic shall go elsewhere, and what it says.

Invariant: a speaker that is as it should be is only asked, so no session flaps for the agent's sake. What cannot be
asked is not known, and is never told as down. What cannot be kept is tried again ever more seldom.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Final, NamedTuple, Protocol

from nodeagent.egress.findings import UP
from nodeagent.egress.node import bird
from nodeagent.egress.node.part import PREFIX, GatewayPart
from nodeagent.egress.site import family
from nodeagent.engine.controller import Backoff
from nodeagent.errors import NodeAgentError

_AGAIN: Final = Backoff(1.0, 60.0)


class Quiet(NamedTuple):
    """Why a gateway is to be silent: a cause in one word, and in words for people."""

    cause: str
    why: str


LOUD: Final = Quiet("", "")  # it is not to be
_AS_BEFORE: Final = Quiet(
    "UpstreamDead", "it was silent when the agent started, and its routers outside are not known yet"
)


class Speakers(Protocol):
    """Keeps a speaker in each namespace."""

    def keep(self, namespace: str, configuration: str) -> None: ...

    def ask(self, namespace: str, command: str) -> str: ...

    def names(self) -> tuple[str, ...]: ...

    def end(self, namespace: str) -> None: ...


class Hush(Protocol):
    """Silences BFD in a namespace; asked again it is no change."""

    def silence(self, namespace: str) -> None: ...

    def unsilence(self, namespace: str) -> None: ...

    def silenced(self, namespace: str) -> bool: ...


@dataclass(frozen=True)
class Speech:
    """What was heard: `sessions` by gateway, `states` by address inside, `silent` gateways with the reason."""

    sessions: Mapping[str, tuple[bird.Session, ...]] = field(default_factory=dict)
    states: Mapping[str, str] = field(default_factory=dict)
    silent: Mapping[str, Quiet] = field(default_factory=dict)
    problems: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Trouble:
    """With one speaker: what was wanted of it and what went wrong, how often in a row, and not to be tried `before`."""

    wanted: str
    told: str
    failures: int
    before: float


@dataclass
class Speaking:
    """The loop that keeps the speakers of `parts`.

    `reason` says why a gateway is to be silent, LOUD where it is not, None where it is to stay as it is; `changed` is
    called when what is heard has changed.
    """

    parts: Callable[[], tuple[Iterable[GatewayPart], bool]]
    speakers: Speakers
    hush: Hush
    reason: Callable[[GatewayPart], Quiet | None]
    changed: Callable[[], None]
    interval: float
    chance: random.Random
    clock: Callable[[], float] = time.monotonic
    heard: Speech = field(default_factory=Speech)
    _troubles: dict[str, _Trouble] = field(default_factory=dict)

    def tick(self) -> float:
        """One round; the seconds to the next. `parts` says with its parts whether there are no others."""
        found, complete = self.parts()
        watched = {part.namespace: part for part in found if part.bfd and part.peers}
        wanted = {name: bird.configuration(part, part.bfd) for name, part in watched.items() if part.bfd}
        if complete:
            wanted |= {name: "" for name in self.speakers.names() if name.startswith(PREFIX) and name not in wanted}
        self._troubles = {name: each for name, each in self._troubles.items() if wanted.get(name) == each.wanted}
        problems = [problem for name, text in wanted.items() for problem in self._have(name, text)]
        silent = self._silent(watched.values(), problems)
        heard = self._listen(watched.values(), silent, problems)
        if _kept(heard) != _kept(self.heard) or heard.problems != self.heard.problems:
            self.changed()
        self.heard = heard
        return self.interval

    def _have(self, namespace: str, configuration: str) -> Iterable[str]:
        """Have a speaker there with this configuration, or none for ""; what is wrong."""
        trouble = self._troubles.pop(namespace, None)
        if trouble is None or self.clock() >= trouble.before:
            keep, end = self.speakers.keep, self.speakers.end
            told = _failure(partial(keep, namespace, configuration) if configuration else partial(end, namespace))
            failures = trouble.failures + 1 if trouble else 1
            pause = _AGAIN.delay(failures, self.chance)
            trouble = _Trouble(configuration, told, failures, self.clock() + pause) if told else None
        if trouble:
            self._troubles[namespace] = trouble
            yield trouble.told

    def _silent(self, parts: Iterable[GatewayPart], problems: list[str]) -> dict[str, Quiet]:
        """The gateways that are silent, with the reason, once they are as they shall be."""
        found = {}
        for part in parts:
            try:
                found[part.owner] = self._silence(part)
            except (NodeAgentError, OSError) as error:
                problems.append(f"gateway {part.owner}: {error}")
        return {owner: quiet for owner, quiet in found.items() if quiet.why}

    def _silence(self, part: GatewayPart) -> Quiet:
        """Have it silent or not; why it is silent."""
        quiet, silent = self.reason(part), self.hush.silenced(part.namespace)
        if quiet is None:
            return _AS_BEFORE if silent else LOUD
        if bool(quiet.why) != silent:
            (self.hush.silence if quiet.why else self.hush.unsilence)(part.namespace)
        return quiet

    def _listen(self, parts: Iterable[GatewayPart], silent: Mapping[str, Quiet], problems: list[str]) -> Speech:
        sessions: dict[str, tuple[bird.Session, ...]] = {}
        states: dict[str, str] = {}
        for part in parts:
            try:
                sessions[part.owner] = bird.sessions(self.speakers.ask(part.namespace, "show bfd sessions"))
            except (NodeAgentError, ValueError) as error:
                problems.append(f"gateway {part.owner}: {error}")
            else:
                states |= _states(part, sessions[part.owner])
        return Speech(sessions, states, silent, tuple(sorted(set(problems))))


def _states(part: GatewayPart, sessions: Iterable[bird.Session]) -> dict[str, str]:
    """By address inside: up where all sessions of its version of IP are, or else what one of them is."""
    found = {}
    for leg in part.inside:
        states = [each.state for each in sessions if family(each.peer) == leg.version]
        if states:
            found[leg.host] = next((state for state in states if state != UP), UP)
    return found


def _kept(heard: Speech) -> tuple[Mapping[str, str], Mapping[str, Quiet]]:
    return heard.states, heard.silent


def _failure(act: Callable[[], None]) -> str:
    """What goes wrong with it, or ""."""
    try:
        act()
    except (NodeAgentError, OSError) as error:
        return str(error)
    return ""
