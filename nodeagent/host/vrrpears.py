"""Hears of transitions and of lost addresses as they happen, and remembers the last of each.

Invariant: what is heard wakes a loop and is kept for it, bounded; the loop looks afresh and judges. Addresses that are
none of ours, as of pods that come and go, wake nobody. Only the FIFO that keepalived was told to make for the agent is
read: lines of another would be taken from whoever reads that one.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping

from nodeagent.host.addressevents import AddressChange, AddressEvents
from nodeagent.host.notifyfifo import NotifyFifo
from nodeagent.observed.vrrp import Removal, Transition

_PATIENCE = 1.0  # seconds between two looks whether to end
_MOST = 64  # instances, and removals


class VrrpEars:
    """Calls `woken` on threads of its own. `fifo` is the path of the notify FIFO as this process sees it."""

    def __init__(self, fifo: str, woken: Callable[[], None]) -> None:
        self._woken = woken
        self._lock = threading.Lock()
        self._heard: dict[str, Transition] = {}
        self._removals: list[Removal] = []
        self._ours: frozenset[str] = frozenset()
        self._fifo = NotifyFifo(fifo)
        self._addresses = AddressEvents(self._changed)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._listen, name="vip-fifo", daemon=True)

    def start(self) -> None:
        self._addresses.start()
        self._thread.start()

    def close(self) -> None:
        """End the threads."""
        self._stopping.set()
        self._addresses.close()
        if self._thread.ident is not None:
            self._thread.join(2 * _PATIENCE)

    def heed(self, addresses: frozenset[str]) -> None:
        """From now on, these are the addresses whose coming and going matters."""
        self._ours = addresses

    def heard(self) -> Mapping[str, Transition]:
        """The last transition of each instance."""
        with self._lock:
            return dict(self._heard)

    def removals(self) -> tuple[Removal, ...]:
        """Addresses that another program has taken away, the latest last."""
        with self._lock:
            return tuple(self._removals)

    def _listen(self) -> None:
        while not self._stopping.is_set():
            found = self._fifo.transitions(_PATIENCE, time.time())
            if found:
                self._keep(found)
                self._woken()
        self._fifo.close()

    def _keep(self, found: tuple[Transition, ...]) -> None:
        with self._lock:
            for each in found:
                self._heard.pop(each.instance, None)
                self._heard[each.instance] = each
            for name in list(self._heard)[:-_MOST]:
                del self._heard[name]

    def _changed(self, change: AddressChange) -> None:
        if not (change.lost or change.addresses & self._ours):
            return
        named = [each for each in change.removals if each.by and each.address in self._ours]
        with self._lock:
            self._removals = [*self._removals, *named][-_MOST:]
        self._woken()
