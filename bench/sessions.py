"""What both ends of BFD sessions say in their packets, heard in the namespaces of gateways while a block runs.

Invariant: it only listens, so every speaker is judged by the same measure. Source: RFC 5880, section 4.1.
"""

from __future__ import annotations

import itertools
import select
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

from nodeagent.host import namespaces
from nodeagent.host.bfdears import state

_ALL = 3  # ETH_P_ALL
_UDP = 17
_TURN = 0.2  # seconds
_TYPES = {0x0800: 4, 0x86DD: 6}
_UP = "up"


@dataclass(frozen=True, order=True)
class End:
    """Of the session of a version of IP in a namespace: the gateway's end, or the router's."""

    namespace: str
    version: int
    gateway: bool


@dataclass
class Heard:
    """By end, its states with the monotonic second at which each was first said, and when it last said anything."""

    said: dict[End, list[tuple[float, str]]] = field(default_factory=dict)
    last: dict[End, float] = field(default_factory=dict)

    def take(self, end: End, told: str) -> None:
        self.last[end] = time.monotonic()
        states = self.said.setdefault(end, [])
        if not states or states[-1][1] != told:
            states.append((time.monotonic(), told))

    def up(self, ends: int) -> bool:
        """Whether so many ends say now that their session is up."""
        return sum(states[-1][1] == _UP for states in list(self.said.values())) == ends

    def lively(self, ends: int, seconds: float) -> bool:
        """Whether so many ends have said anything in the last `seconds`."""
        return sum(at >= time.monotonic() - seconds for at in list(self.last.values())) == ends

    def falls(self, since: float) -> int:
        """How often sessions went down since then: of both ends, the one counts that says so more often."""
        worst: dict[tuple[str, int], int] = {}
        for end, states in list(self.said.items()):
            count = sum(
                before == _UP != after and at >= since for (_, before), (at, after) in itertools.pairwise(states)
            )
            worst[end.namespace, end.version] = max(count, worst.get((end.namespace, end.version), 0))
        return sum(worst.values())


@contextmanager
def listening(names: Sequence[str], link: str) -> Iterator[Heard]:
    """Listen at `link` in the namespaces of these names."""
    found, over = Heard(), threading.Event()
    with ExitStack() as stack:
        ears = {namespaces.within(name, lambda: _ear(link)): name for name in names}
        for each in ears:
            stack.enter_context(each)

        def listen() -> None:
            while not over.is_set():
                for ear in select.select(list(ears), [], [], _TURN)[0]:
                    _take(ear, ears[ear], found)

        thread = threading.Thread(target=listen, name="ears")
        thread.start()
        try:
            yield found
        finally:
            over.set()
            thread.join()


def _ear(link: str) -> socket.socket:
    ear = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC, socket.htons(_ALL))
    ear.bind((link, _ALL))
    return ear


def _take(ear: socket.socket, name: str, found: Heard) -> None:
    data, (_, kind, direction, *_) = ear.recvfrom(512)
    version = _TYPES.get(kind)
    if version is None:
        return
    header, protocol = ((data[0] & 0xF) * 4, data[9]) if version == 4 else (40, data[6])
    if protocol == _UDP and (told := state(data[header:])):
        found.take(End(name, version, direction == socket.PACKET_OUTGOING), told)
