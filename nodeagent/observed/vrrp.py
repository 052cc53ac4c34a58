"""VRRP as seen on the node: the daemon that runs, what it says of itself, and the addresses that the kernel has.

Invariant: each value says what one source said at one moment; nothing here weighs one source against another.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class VrrpState(StrEnum):
    """State of a VRRP instance (RFC 9568, section 6.3), and those that keepalived adds to it."""

    INIT = "INIT"
    BACKUP = "BACKUP"
    MASTER = "MASTER"
    FAULT = "FAULT"
    STOP = "STOP"
    UNKNOWN = "UNKNOWN"


@dataclass(frozen=True)
class Daemon:
    """A main process of keepalived in this network namespace.

    `config` and `config_id` are what its command line says ("" where it says nothing), `unit` and `container` where it
    runs. `dumps` tells whether it was built to answer with JSON. `started` is in clock ticks since boot (proc(5)).
    """

    pid: int
    started: int
    config: str = ""
    config_id: str = ""
    unit: str = ""
    container: str = ""
    dumps: bool = False


@dataclass(frozen=True)
class Reported:
    """An instance as keepalived's JSON describes it. Times in seconds since the epoch, intervals in seconds.

    `vips` are addresses without their prefixes, those that adverts leave out included.
    """

    instance: str
    state: VrrpState
    interface: str
    vrid: int
    version: int
    base_priority: int
    priority: int
    vips: tuple[str, ...]
    advert_interval: float
    nopreempt: bool
    last_transition: float


@dataclass(frozen=True)
class Transition:
    """A line that keepalived wrote to its notify FIFO, read at `when` (seconds since the epoch)."""

    instance: str
    state: VrrpState
    priority: int
    when: float


@dataclass(frozen=True)
class Assigned:
    """An address (without its prefix) that the kernel has on an interface."""

    address: str
    interface: str


@dataclass(frozen=True)
class Removal:
    """An address that was taken from an interface at `when` (seconds since the epoch); `by` is who, "" if unknown."""

    address: str
    interface: str
    by: str
    when: float


@dataclass(frozen=True, order=True)
class Advert:
    """A VRRP advert of somebody else that this node has heard."""

    source: str
    vrid: int
    priority: int
