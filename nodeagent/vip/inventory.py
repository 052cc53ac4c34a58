"""Which keepalived there is on a node, and what each is set up to do.

Invariant: looking never changes anything, and finding nothing is an answer: the job is off then.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from nodeagent.observed.vrrp import Daemon
from nodeagent.vip.blocks import Sources, parse
from nodeagent.vip.configuration import Configuration, configuration

CONFIG = "/etc/keepalived/keepalived.conf"
ALIVE = "/etc/keepalived/alive.yaml"  # Alauda's software load balancer keeps its own description beside it
COPIES = "/etc/keepalived/kubecfg/*.conf"  # and copies of kubeconfigs, with whose end it stops


class Files(Sources, Protocol):
    """The files that a daemon, or the node itself, sees."""

    def exists(self, path: str) -> bool: ...


class Host(Protocol):
    """Where keepalived may run. The host's adapter fits by shape."""

    def name(self) -> str:
        """The host name."""
        ...

    def daemons(self) -> tuple[Daemon, ...]:
        """The main processes that run."""
        ...

    def files(self, daemon: Daemon | None) -> Files:
        """The files as `daemon` sees them, or as the node does."""
        ...


@dataclass(frozen=True)
class Installation:
    """A configuration and the daemon that runs it, if any; `balancer`: Alauda's software load balancer made it."""

    configuration: Configuration
    daemon: Daemon | None = None
    balancer: bool = False


def installations(host: Host) -> tuple[Installation, ...]:
    """Every keepalived that runs; where none does, the configuration that one would read, if there is any."""
    return tuple(_running(host)) or tuple(_resting(host))


def _running(host: Host) -> Iterator[Installation]:
    for daemon in host.daemons():
        try:
            files = host.files(daemon)
        except OSError:  # it has ended since it was found
            continue
        yield _installation(host, files, daemon)


def _resting(host: Host) -> Iterator[Installation]:
    files = host.files(None)
    if files.exists(CONFIG):
        yield _installation(host, files, None)


def _installation(host: Host, files: Files, daemon: Daemon | None) -> Installation:
    path = (daemon.config if daemon else "") or CONFIG
    config_id = (daemon.config_id if daemon else "") or host.name()
    found = configuration(path, parse(path, files, config_id))
    return Installation(found, daemon, files.exists(ALIVE))
