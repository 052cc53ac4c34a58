"""When a node may renew by itself: in a window, under a clock that can be believed, one node at a time. Pure.

Invariant: what is urgent waits for no window, but nothing renews under a doubtful clock, nor out of turn: with nobody
to ask whose turn it is, nodes take turns by the clock, and only when little time is left.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from typing import Final

from nodeagent.settings.windows import Window

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


def etcd_members(initial_cluster: str) -> tuple[str, ...]:
    """Names in etcd's flag --initial-cluster: NAME=URL, separated by commas."""
    names = (part.partition("=")[0].strip() for part in initial_cluster.split(","))
    return tuple(name for name in names if name)
