"""When a node may renew by itself: in a window, under a clock that can be believed, one node at a time. Pure.

Invariant: what is urgent waits for no window, but nothing renews under a doubtful clock, nor out of turn: with nobody
to ask whose turn it is, nodes take turns by the clock, and only when little time is left.
"""

from __future__ import annotations

import datetime
import ipaddress
from collections.abc import Iterator, Sequence
from typing import Final
from urllib.parse import urlsplit

from nodeagent.settings.windows import Window

_PEER_PORT: Final = 2380
URGENT: Final = datetime.timedelta(hours=72)  # left below which a node goes on without windows, or anybody to ask


def postponed(
    now: datetime.datetime, left: datetime.timedelta, windows: Sequence[Window], doubts: Sequence[str]
) -> str:
    """Why what is due is not renewed now, "" if it may be. `left` is the time left of what ends first."""
    if doubts:
        return f"the clock is not believed: {'; '.join(doubts)}"
    if windows and left > URGENT and not any(window.holds(now) for window in windows):
        return "it waits for a maintenance window"
    return ""


def out_of_turn(
    now: datetime.datetime, left: datetime.timedelta, node: str, members: Sequence[str], spacing: datetime.timedelta
) -> str:
    """Why a node with nobody to ask does not renew now, "" if it may: little time left, and its slot of the clock.

    `members` are the control-plane nodes as etcd knows them; a slot lasts `spacing`.
    """
    if left > URGENT:
        return f"nobody can say whose turn it is, and more than {URGENT / datetime.timedelta(hours=1):g} hours are left"
    order = sorted(set(members))
    if node not in order:
        return f"nobody can say whose turn it is, and etcd's manifest does not name this node among {', '.join(order)}"
    slot = int(now.timestamp() // max(1.0, spacing.total_seconds())) % len(order)
    return "" if order[slot] == node else f"it is the turn of {order[slot]} by the clock"


def too_few(members: int, answering: int) -> str:
    """Why etcd cannot lose a member now, "" if it can, or has but one: a majority has to be left without it."""
    if members > 1 and answering - 1 < members // 2 + 1:
        return f"etcd cannot lose a member now: {answering} of {members} answer"
    return ""


def etcd_members(initial_cluster: str) -> tuple[str, ...]:
    """Names in etcd's flag --initial-cluster: NAME=URL, separated by commas."""
    return tuple(name for name, _ in _named(initial_cluster))


def etcd_peers(initial_cluster: str) -> tuple[tuple[str, str, int], ...]:
    """The same with address and port of the peer URL, where that is numeric: nobody waits for a name service."""
    found = ((name, urlsplit(url)) for name, url in _named(initial_cluster))
    return tuple((name, str(url.hostname), url.port or _PEER_PORT) for name, url in found if _is_numeric(url.hostname))


def _named(initial_cluster: str) -> Iterator[tuple[str, str]]:
    for part in initial_cluster.split(","):
        name, _, url = part.partition("=")
        if name.strip():
            yield name.strip(), url.strip()


def _is_numeric(host: str | None) -> bool:
    try:
        return bool(ipaddress.ip_address(host or ""))
    except ValueError:
        return False
