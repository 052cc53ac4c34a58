"""This node's end of BFD: one speaker a gateway, silent while its traffic shall go elsewhere, and what it says.

Invariant: a speaker that is as it should be is only asked, so no session flaps for the agent's sake. What cannot be
asked is not known, and is never told as down.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

from nodeagent.egress.node import bird
from nodeagent.egress.node.part import PREFIX, GatewayPart
from nodeagent.errors import NodeAgentError

UP = "up"


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
    silent: Mapping[str, str] = field(default_factory=dict)
    problems: tuple[str, ...] = ()


@dataclass
class Speaking:
    """The loop that keeps the speakers of `parts`.

    `reason` says why a gateway is to be silent, "" where it is not; `changed` is called when what is heard has changed.
    """

    parts: Callable[[], tuple[Iterable[GatewayPart], bool]]
    speakers: Speakers
    hush: Hush
    reason: Callable[[GatewayPart], str]
    changed: Callable[[], None]
    interval: float
    heard: Speech = field(default_factory=Speech)

    def tick(self) -> float:
        """One round; the seconds to the next. `parts` says with its parts whether there are no others."""
        found, complete = self.parts()
        watched = {part.namespace: part for part in found if part.bfd and part.peers}
        problems = [problem for part in watched.values() for problem in self._keep(part)]
        if complete:
            gone = (name for name in self.speakers.names() if name not in watched and name.startswith(PREFIX))
            problems += [problem for name in gone for problem in _failure(partial(self.speakers.end, name))]
        heard = self._listen(watched.values(), problems)
        if _kept(heard) != _kept(self.heard) or heard.problems != self.heard.problems:
            self.changed()
        self.heard = heard
        return self.interval

    def _keep(self, part: GatewayPart) -> Iterable[str]:
        assert part.bfd is not None  # noqa: S101 - only those are kept
        timing = part.bfd
        yield from _failure(lambda: self.speakers.keep(part.namespace, bird.configuration(part, timing)))
        yield from _failure(lambda: self._silence(part.namespace, bool(self.reason(part))))

    def _silence(self, namespace: str, wanted: bool) -> None:
        if wanted != self.hush.silenced(namespace):
            (self.hush.silence if wanted else self.hush.unsilence)(namespace)

    def _listen(self, parts: Iterable[GatewayPart], problems: list[str]) -> Speech:
        sessions: dict[str, tuple[bird.Session, ...]] = {}
        states: dict[str, str] = {}
        silent: dict[str, str] = {}
        for part in parts:
            try:
                sessions[part.owner] = bird.sessions(self.speakers.ask(part.namespace, "show bfd sessions"))
            except (NodeAgentError, ValueError) as error:
                problems.append(f"gateway {part.owner}: {error}")
                continue
            states |= _states(part, sessions[part.owner])
            if why := self.reason(part):
                silent[part.owner] = why
        return Speech(sessions, states, silent, tuple(sorted(set(problems))))


def _states(part: GatewayPart, sessions: Iterable[bird.Session]) -> dict[str, str]:
    """By address inside: up where all sessions of its version of IP are, or else what one of them is."""
    found = {}
    for leg in part.inside:
        states = [each.state for each in sessions if (":" in each.peer) == (leg.version == 6)]
        if states:
            found[leg.host] = next((state for state in states if state != UP), UP)
    return found


def _kept(heard: Speech) -> tuple[Mapping[str, str], Mapping[str, str]]:
    return heard.states, heard.silent


def _failure(act: Callable[[], None]) -> Iterable[str]:
    try:
        act()
    except (NodeAgentError, OSError) as error:
        yield str(error)
