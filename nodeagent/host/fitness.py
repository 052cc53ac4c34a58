"""Looks at what else a node needs to carry the VIP's traffic: a port that answers, an etcd member, space on its disks.

Invariant: each look ends by its deadline, changes nothing, and says in a few words what is wrong, "" if nothing is.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable

from nodeagent.host.livez import HealthServer

_FINE = frozenset({200})


def unanswered(address: str, port: int, timeout: float) -> str:
    """Why nobody takes a TCP connection there."""
    try:
        socket.create_connection((address, port), timeout).close()
    except TimeoutError:
        return f"no answer within {timeout:g} s"
    except OSError as error:
        return error.strerror or "the connection was refused"
    return ""


class EtcdMember:
    """The member whose metrics `server` serves, on a node where `manifest` says that there is one."""

    def __init__(self, server: HealthServer, manifest: str) -> None:
        self._server = server
        self._manifest = manifest

    def complaint(self) -> str:
        """Why it is not well: it hangs, or it has no space left. That it has no leader is its peers' fault as well."""
        if not os.path.exists(self._manifest):
            return ""
        return self._server.complaint("/health?serializable=true", _FINE)


def cramped(paths: Iterable[str], percent: int) -> str:
    """Which file system has less than `percent` percent of its bytes or inodes free; those not there do not count."""
    for path in paths:
        try:
            room = os.statvfs(path)
        except FileNotFoundError:
            continue
        for what, free, total in (
            ("bytes", room.f_bavail, room.f_blocks),
            ("inodes", room.f_favail, room.f_files),
        ):
            if total and free * 100 < total * percent:
                return f"{path} has {free * 100 // total} percent of its {what} free"
    return ""
