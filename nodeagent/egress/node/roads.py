"""The roads by which traffic leaves this node's gateways, and comes back.

Where the coordinator programs gateways, it is asked by a file that ends up on the Node, and answers in the status of
the object. Elsewhere BFD falls silent in each gateway's namespace, Kube-OVN's own pods included, and the routers'
detection moves the traffic: what they say in their own packets tells when it has.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

from nodeagent.egress.findings import UNWATCHED, UP
from nodeagent.errors import Transient
from nodeagent.observed.nodes import DRAIN, FORCE

_DETECTION: Final = 3.0  # seconds that routers may take to miss a gateway, where they cannot be heard
_EARSHOT: Final = 1.2  # seconds in which a router says something, unless it is slower than it says by default
_GLANCE: Final = 0.3
_LAST: Final = "is the last nexthop that works; `nodeagent egress drain --force` takes it all the same"
_REFUSED: Final = 5.0  # seconds after which a word that it is the last nexthop is believed

Router = tuple[str, str]  # the namespace that hears it, and its address


class Files(Protocol):
    """What is asked of this node's gateways, by `name`."""

    def begin(self, name: str, word: str) -> None: ...

    def end(self, name: str) -> None: ...

    def word(self) -> str:
        """What counts now, whoever asked for it; "" for nothing."""
        ...


class Quiet(Protocol):
    """Silences BFD in namespaces, and hears what routers say there."""

    def silence(self, namespace: str) -> None: ...

    def unsilence(self, namespace: str) -> None: ...

    def silent(self) -> Collection[str]: ...

    def heard(self, names: Collection[str], seconds: float) -> Mapping[Router, str]:
        """The last state that each router said within `seconds`."""
        ...


@dataclass(frozen=True)
class Word:
    """The coordinator's, on one nexthop: whether it is `withdrawn`, or why not, and the `state` of the router's BFD."""

    withdrawn: bool
    reason: str = ""
    state: str = UP


@dataclass
class Silence:
    """The road where BFD alone tells routers; those that cannot be heard have missed it after `detection` seconds.

    `last` has, as words, those nexthops in the namespaces that are the last ones that work, as far as somebody knows.
    """

    files: Files
    quiet: Quiet
    name: str
    detection: float = _DETECTION
    last: Callable[[Collection[str]], Collection[str]] = lambda _namespaces: ()
    clock: Callable[[], float] = time.monotonic
    _since: float | None = field(default=None, init=False)
    _before: frozenset[Router] = field(default=frozenset(), init=False)
    _said: dict[Router, tuple[str, float]] = field(default_factory=dict, init=False)

    def leave(self, namespaces: Collection[str], *, force: bool) -> None:
        force = force or self.files.word() == FORCE
        if left := () if force else self.last(namespaces):
            raise Transient(f"{', '.join(left)} {_LAST}")
        self.files.begin(self.name, FORCE if force else DRAIN)
        self._listen(namespaces, _EARSHOT)
        self._before = frozenset(router for router, (state, _) in self._said.items() if state == UP)
        for namespace in namespaces:
            self.quiet.silence(namespace)
        self._since = self.clock()

    def left(self, namespaces: Collection[str]) -> str:
        self._listen(namespaces, _GLANCE)
        waiting = sorted(self._sending(namespaces))
        return f"{', '.join(waiting)} may still send here" if waiting else ""

    def _sending(self, namespaces: Collection[str]) -> Iterator[str]:
        """Routers that have not missed the gateways; where none is heard, what they do is not known for a while."""
        now = self.clock()
        overdue = self._since is not None and now - self._since >= self.detection
        for (_, router), (state, at) in self._said.items():
            if state == UP and not (overdue and now - at >= _EARSHOT):
                yield router
        if not overdue:
            yield from (f"a router of {each}" for each in self._unheard(namespaces))

    def come_back(self) -> None:
        self.files.end(self.name)
        self._said.clear()
        if not self.files.word():
            for namespace in self.quiet.silent():
                self.quiet.unsilence(namespace)

    def returned(self, namespaces: Collection[str]) -> str:
        if self.files.word():
            return ""
        self._listen(namespaces, _GLANCE)
        up = {router for router, (state, _) in self._said.items() if state == UP}
        missing = {router for _, router in (self._before or self._said.keys()) - up}
        waiting = sorted(missing | {f"a router of {each}" for each in self._unheard(namespaces)})
        return f"{', '.join(waiting)} does not have its session up" if waiting else ""

    def _unheard(self, namespaces: Collection[str]) -> frozenset[str]:
        return frozenset(namespaces) - {namespace for namespace, _ in self._said}

    def _listen(self, namespaces: Collection[str], seconds: float) -> None:
        for router, state in self.quiet.heard(namespaces, seconds).items():
            self._said[router] = state, self.clock()


@dataclass
class Withdrawn:
    """The road where the coordinator takes nexthops out: `said` has its word on each of this node's."""

    files: Files
    said: Callable[[], Mapping[str, Word]]
    name: str
    clock: Callable[[], float] = time.monotonic
    _refused: float | None = field(default=None, init=False)

    def leave(self, _namespaces: Collection[str], *, force: bool) -> None:
        self.files.begin(self.name, FORCE if force else DRAIN)

    def left(self, _namespaces: Collection[str]) -> str:
        said = self.said()
        self._believe(sorted(f"{address} ({each.reason})" for address, each in said.items() if _stays(each)))
        waiting = sorted(address for address, each in said.items() if not each.withdrawn)
        return f"the coordinator has not withdrawn {', '.join(waiting)}" if waiting else ""

    def _believe(self, refused: list[str]) -> None:
        """A nexthop may be the last one only until another node is back."""
        if not refused:
            self._refused = None
            return
        self._refused = self.clock() if self._refused is None else self._refused
        if self.clock() - self._refused > _REFUSED:
            raise Transient(f"{', '.join(refused)} {_LAST}")

    def come_back(self) -> None:
        self.files.end(self.name)

    def returned(self, _namespaces: Collection[str]) -> str:
        if self.files.word():
            return ""
        waiting = sorted(address for address, each in self.said().items() if each.withdrawn or _rests(each))
        return f"{', '.join(waiting)} does not take traffic yet" if waiting else ""


@dataclass
class Both:
    """The gateways whose namespaces are `ours` leave by the coordinator, those of others by silence."""

    withdrawn: Withdrawn
    silence: Silence
    ours: Callable[[str], bool]

    def leave(self, namespaces: Collection[str], *, force: bool) -> None:
        ours, theirs = self._shared_out(namespaces)
        if theirs:
            self.silence.leave(theirs, force=force)
        if ours:
            self.withdrawn.leave(ours, force=force)

    def left(self, namespaces: Collection[str]) -> str:
        ours, theirs = self._shared_out(namespaces)
        return _joined(self.silence.left(theirs) if theirs else "", self.withdrawn.left(ours) if ours else "")

    def come_back(self) -> None:
        self.withdrawn.come_back()
        self.silence.come_back()

    def returned(self, namespaces: Collection[str]) -> str:
        ours, theirs = self._shared_out(namespaces)
        return _joined(self.silence.returned(theirs) if theirs else "", self.withdrawn.returned(ours) if ours else "")

    def _shared_out(self, namespaces: Collection[str]) -> tuple[list[str], list[str]]:
        ours = [each for each in namespaces if self.ours(each)]
        return ours, [each for each in namespaces if each not in ours]


def _joined(*waiting: str) -> str:
    return "; ".join(filter(None, waiting))


def _stays(word: Word) -> bool:
    return bool(word.reason) and not word.withdrawn


def _rests(word: Word) -> bool:
    return word.state not in (UP, UNWATCHED)
