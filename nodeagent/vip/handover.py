"""Gives the VIP to a peer before planned work on this node, and stands for election again afterwards.

Invariants: nobody lets go of the address before a peer that could take it has been seen to be well, unless told to;
`prepare` returns only once the kernel here no longer has the address and, where the link can be asked, somebody else
answers for it; if that does not come about in time, all is as it was before. Where peers may preempt, the priority only
falls to the lowest: should nobody take over after all, this node keeps the VIP.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

from nodeagent.errors import Transient
from nodeagent.observed.vrrp import Assigned
from nodeagent.vip.configuration import Configuration, Instance, Vip
from nodeagent.vip.health import FAULT, LOWEST
from nodeagent.vip.inventory import Host, installations

_PAUSE = 0.05  # seconds between two looks
_FAULT_PATIENCE = 2.0  # seconds that nobody may have the address, besides the time that a takeover takes


class Link(Host, Protocol):
    """The node and its link, as far as a hand-over looks at them."""

    def assigned(self) -> frozenset[Assigned]:
        """The addresses that the kernel has."""
        ...

    def owners(self, interface: str, address: str) -> frozenset[str] | None:
        """MAC addresses of others on the link that claim `address`; None if that cannot be asked."""
        ...


class Drain(Protocol):
    """Lowers the priority for planned work; whoever writes the track file heeds it."""

    def begin_drain(self, value: int) -> None: ...

    def end_drain(self) -> None: ...


class VipHandover:
    """What a participant of the engine's hand-over does.

    `track_file` is the path that keepalived must track, as keepalived sees it; `well` tells whether the peer with an
    address could carry the traffic; `force` drains also when nobody is there to take over. An instance that cannot be
    handed over at all, because it does not track the file or names no peers, stands in nobody's way where `waived` is
    given: that is called with a sentence about it, and the address moves when keepalived stops.
    """

    def __init__(
        self,
        link: Link,
        drain: Drain,
        track_file: str,
        well: Callable[[str], bool],
        *,
        force: bool = False,
        waived: Callable[[str], None] | None = None,
    ) -> None:
        self._link = link
        self._drain = drain
        self._track_file = track_file
        self._well = well
        self._force = force
        self._waived = waived

    def prepare(self, reason: str, deadline: float) -> None:
        """Return once a peer has the VIP; Transient, with nothing changed, if that is not so within `deadline`."""
        carried = self._carried()
        if not self._force:
            self._check(carried)
        value = FAULT if self._force or any(each.nopreempt for each in carried) else LOWEST
        if value == FAULT:  # nobody has the address meanwhile, and a peer that lives takes it within the first adverts
            deadline = min(deadline, _FAULT_PATIENCE + max((each.takeover for each in carried), default=0.0))
        self._drain.begin_drain(value)
        self._wait(carried, reason, deadline)

    def _wait(self, carried: list[Instance], reason: str, deadline: float) -> None:
        until = time.monotonic() + deadline
        vips = [vip for instance in carried for vip in instance.vips]
        while left := [vip for vip in vips if not self._moved(vip)]:
            if time.monotonic() >= until:
                self._drain.end_drain()
                named = ", ".join(vip.address for vip in left)
                raise Transient(
                    f"{named} did not move to a peer within {deadline:g} s, and stays here: {reason} must wait"
                )
            time.sleep(_PAUSE)

    def _carried(self) -> list[Instance]:
        """Instances whose address is here and that can be handed over; Transient for one that cannot, unless waived."""
        here = {each.address for each in self._link.assigned()}
        return [
            instance
            for installation in installations(self._link)
            for instance in installation.configuration.instances
            if any(vip.address in here for vip in instance.vips) and self._movable(installation.configuration, instance)
        ]

    def _movable(self, configuration: Configuration, instance: Instance) -> bool:
        """Whether keepalived would heed a drain, and somebody is known who could take over."""
        tracked = {each.path for each in configuration.track_files if each.name in instance.track_files}
        if self._track_file not in tracked:
            obstacle = f"does not track {self._track_file}: add a track_file for it"
        elif not instance.peers and self._waived is not None:
            obstacle = "names no peers (unicast_peer), so nobody can be asked whether he is well"
        else:
            return True
        sentence = f"{instance.name} ({instance.where}) {obstacle}"
        if self._waived is None:
            raise Transient(sentence)
        self._waived(f"{sentence}; its VIP is not handed over, and moves when keepalived stops")
        return False

    def _check(self, carried: list[Instance]) -> None:
        for instance in carried:
            if not any(map(self._well, instance.peers)):
                named = ", ".join(instance.peers) or "none is named: it uses multicast"
                raise Transient(f"no peer of {instance.name} is seen to be well ({named}), so the VIP stays here")

    def _moved(self, vip: Vip) -> bool:
        if any(each.address == vip.address for each in self._link.assigned()):
            return False
        others = self._link.owners(vip.interface, vip.address)
        return others is None or bool(others) or self._force
