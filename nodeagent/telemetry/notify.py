"""Notifications to systemd, see sd_notify(3): a datagram to the socket that $NOTIFY_SOCKET names.

Invariants: without the socket every method does nothing; a notification that cannot be delivered is logged
and never stops the agent; the watchdog is fed only while no loop is stuck.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
from collections.abc import MutableMapping

from nodeagent.telemetry.health import Beats
from nodeagent.telemetry.logs import one_line

_DEADLINE = 1.0

_log = logging.getLogger(__name__)


class Notifier:
    """Tells systemd how the service is; `watchdog` is how often it wants to hear, in seconds (0: never)."""

    def __init__(self, address: str = "", watchdog: float = 0.0) -> None:
        self._address = "\0" + address[1:] if address.startswith("@") else address  # abstract, see unix(7)
        self.watchdog = watchdog

    @classmethod
    def taken_from(cls, environ: MutableMapping[str, str]) -> Notifier:
        """What the environment tells; the variables are removed, so that no child speaks in our name."""
        address = environ.pop("NOTIFY_SOCKET", "")
        interval = environ.pop("WATCHDOG_USEC", "")
        process = environ.pop("WATCHDOG_PID", str(os.getpid()))
        meant = process == str(os.getpid()) and interval.isascii() and interval.isdigit()
        if address and address[0] not in "/@":
            _log.warning("NOTIFY_SOCKET is not a local socket", extra={"address": address})
            address = ""
        return cls(address, int(interval) / 1e6 if address and meant else 0.0)

    def ready(self, status: str) -> None:
        """The service has started."""
        self._send("READY=1", _status(status))

    def status(self, status: str) -> None:
        """One line for `systemctl status`."""
        self._send(_status(status))

    def stopping(self) -> None:
        """The service is about to end."""
        self._send("STOPPING=1")

    def alive(self) -> None:
        """Feed the watchdog."""
        self._send("WATCHDOG=1")

    def _send(self, *lines: str) -> None:
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sending:
                sending.settimeout(_DEADLINE)
                sending.connect(self._address)
                sending.send("\n".join(lines).encode())
        except OSError as error:
            _log.warning("systemd could not be notified", extra={"reason": error.strerror or str(error)})


def _status(text: str) -> str:
    return "STATUS=" + one_line(text)[:500]


class Watchdog:
    """Feeds systemd's watchdog from a daemon thread, at half its interval, while no loop is stuck."""

    def __init__(self, notifier: Notifier, beats: Beats) -> None:
        self._notifier = notifier
        self._beats = beats
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watchdog", daemon=True)

    def start(self) -> None:
        """Begin; without a watchdog interval there is no thread."""
        if self._notifier.watchdog:
            self._thread.start()

    def close(self) -> None:
        """Stop feeding; waits for the thread."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join(2 * _DEADLINE)

    def _run(self) -> None:
        stuck: tuple[str, ...] = ()
        while not self._stop.wait(self._notifier.watchdog / 2):
            before, stuck = stuck, self._beats.stuck()
            if stuck != before:
                self._tell(stuck)
            if not stuck:
                self._notifier.alive()

    def _tell(self, stuck: tuple[str, ...]) -> None:
        if stuck:
            _log.error("loops are stuck, systemd will restart the agent", extra={"loops": ",".join(stuck)})
            self._notifier.status(f"stuck: {', '.join(stuck)}")
        else:
            _log.info("no loop is stuck any more")
            self._notifier.status("running")
