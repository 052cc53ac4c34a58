"""Waits for components of the control plane on this node: that they serve a certificate, that they started anew.

Invariant: each wait ends by its deadline; nothing is asked but TLS handshakes and health paths on local addresses.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable
from typing import Final

from nodeagent.changes.certs import Await, AwaitServed, AwaitStart
from nodeagent.errors import Broken
from nodeagent.host.livez import HealthServer
from nodeagent.host.probe import TlsProbe
from nodeagent.observed.certificates import Endpoint

LOOPBACK: Final = "apiserver-loopback-client"
_NAME: Final = LOOPBACK.encode() + b"@"
_STRING: Final = re.compile(rb"[\x0c\x13](.)" + _NAME, re.DOTALL)  # UTF8String or PrintableString, and its length
_PAUSE: Final = 0.5  # seconds between two looks
_ANSWER: Final = 3.0  # seconds that one answer may take


class Components:
    """Waits up to `deadline` seconds for each. A restart of the kube-apiserver takes about 45 seconds."""

    def __init__(
        self,
        deadline: float,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._deadline = deadline
        self._clock = clock
        self._sleep = sleep
        self._probe = TlsProbe(_ANSWER)

    def carry_out(self, change: Await) -> None:
        """Broken, saying what was seen last, if it does not come about in time."""
        until = self._clock() + self._deadline
        while complaint := self._complaint(change):
            if self._clock() >= until:
                raise Broken(f"{change.component} {complaint} after {self._deadline:g} s")
            self._sleep(_PAUSE)

    def _complaint(self, change: Await) -> str:
        match change:
            case AwaitServed():
                return self._of_served(change)
            case AwaitStart():
                return self._of_start(change)

    def _of_served(self, change: AwaitServed) -> str:
        served = self._probe.served(Endpoint(change.address, change.port))
        if not served.der:
            return f"does not answer ({served.problem})"
        return "" if hashlib.sha256(served.der).hexdigest() == change.fingerprint else "serves its old certificate"

    def _of_start(self, change: AwaitStart) -> str:
        served = self._probe.served(Endpoint(change.address, change.port, LOOPBACK))
        if not served.der:
            return f"does not answer ({served.problem})"
        if change.since and started(served.der) <= change.since:
            return "has not started anew"
        server = HealthServer(change.address, change.port, _ANSWER)
        complaint = server.complaint(change.health)
        server.close()
        return f"is not healthy ({complaint})" if complaint else ""


def started(der: bytes) -> int:
    """When the process started that made this loopback certificate for itself, in seconds; 0 if it is none.

    Source: k8s.io/apiserver names it apiserver-loopback-client@SECONDS, in letters that DER keeps as they are.
    """
    texts = (der[found.end() : found.end() + found[1][0] - len(_NAME)] for found in _STRING.finditer(der))
    return max((int(text) for text in texts if text.isdigit()), default=0)
