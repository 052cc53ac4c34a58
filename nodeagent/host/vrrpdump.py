"""Asks a running keepalived for its state: a signal, and the JSON file that it writes in answer.

Invariant: only an answer that was written after the question counts, and only by the process that was asked; one that
does not answer within the deadline hangs. The signal is sent only to a keepalived that reads it. Each answer leaves a
line in keepalived's log, so this is for the start and for doubt, never for polling.
"""

from __future__ import annotations

import json
import os
import signal
import stat
import time
from collections.abc import Mapping
from contextlib import closing
from typing import Any

from nodeagent.errors import Broken, Transient
from nodeagent.host.keepalived import json_signal, started
from nodeagent.observed.vrrp import Daemon, Reported, VrrpState

_FILE = "tmp/keepalived.json"  # fixed in keepalived up to 2.3
_LIMIT = 4 << 20  # bytes of the answer
_PAUSE = 0.002  # seconds between two looks; an answer takes about 1 ms
_STATES = {0: VrrpState.INIT, 1: VrrpState.BACKUP, 2: VrrpState.MASTER, 3: VrrpState.FAULT}  # vrrp.h


def dump(daemon: Daemon, timeout: float, proc: str = "/proc") -> tuple[Reported, ...] | None:
    """What each instance says of itself; None if the daemon does not answer within `timeout` seconds.

    Transient: it has ended. Broken: it cannot answer, or not in a form that is known.
    """
    path = f"{proc}/{daemon.pid}/root/{_FILE}"
    before = _stamp(path)
    _ask(daemon, proc)
    until = time.monotonic() + timeout
    while time.monotonic() < until:
        time.sleep(_PAUSE)
        if _stamp(path) != before:
            found = _answer(path)
            if found is not None:
                return found
    if started(daemon.pid, proc) != daemon.started:
        raise Transient(f"keepalived (process {daemon.pid}) ended while it was asked for its state")
    return None


def _ask(daemon: Daemon, proc: str) -> None:
    try:
        descriptor = os.pidfd_open(daemon.pid)
    except ProcessLookupError as error:
        raise Transient(f"keepalived (process {daemon.pid}) has ended") from error
    try:
        number = json_signal(daemon.pid, proc)
        if started(daemon.pid, proc) != daemon.started:
            raise Transient(f"keepalived (process {daemon.pid}) has ended")
        if number is None:
            raise Broken(f"keepalived (process {daemon.pid}) was built without JSON: use a build with --enable-json")
        signal.pidfd_send_signal(descriptor, number)
    finally:
        os.close(descriptor)


def _stamp(path: str) -> tuple[int, int, int]:
    try:
        seen = os.stat(path, follow_symlinks=False)
    except FileNotFoundError:
        return 0, 0, 0
    return seen.st_ino, seen.st_mtime_ns, seen.st_size


def _answer(path: str) -> tuple[Reported, ...] | None:
    """The answer; None while it is still being written. /tmp is everybody's: only root's own regular file counts."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with closing(os.fdopen(descriptor, "rb")) as file:
        seen = os.fstat(descriptor)
        if not stat.S_ISREG(seen.st_mode) or seen.st_uid != 0:
            raise Broken(f"{path} is not keepalived's own file: see who (uid {seen.st_uid}) put it there")
        data = file.read(_LIMIT)
    try:
        document = json.loads(data)
    except ValueError:
        return None
    return decode(document)


def decode(document: object) -> tuple[Reported, ...]:
    """Instances of a dump: a list of {data, stats} up to keepalived 2.2, the same list under "vrrp" from 2.3."""
    entries = document.get("vrrp") if isinstance(document, Mapping) else document
    if not isinstance(entries, list):
        raise Broken("keepalived's JSON has a form that is not known: it lists no VRRP instances")
    try:
        return tuple(_reported(each["data"]) for each in entries)
    except (KeyError, TypeError, ValueError) as error:
        raise Broken(f"keepalived's JSON has a form that is not known: {type(error).__name__} {error}") from error


def _reported(data: Mapping[str, Any]) -> Reported:
    return Reported(
        instance=str(data["iname"]),
        state=_STATES.get(data["state"], VrrpState.UNKNOWN),
        interface=str(data["ifp_ifname"]),
        vrid=int(data["vrid"]),
        version=int(data["version"]),
        base_priority=int(data["base_priority"]),
        priority=int(data["effective_priority"]),
        vips=tuple(_address(each) for each in (*data.get("vips", ()), *data.get("evips", ()))),
        advert_interval=float(data["adver_int"]),
        nopreempt=bool(data["nopreempt"]),
        last_transition=float(data["last_transition"]),
    )


def _address(text: str) -> str:
    """Of "10.0.0.100/24 dev eth0 scope global set"."""
    return text.partition(" ")[0].partition("/")[0]
