"""Has a node that is managed from a container come back without it, whatever the agent was doing when it was killed."""

from __future__ import annotations

import logging

from nodeagent.agent.workplace import Workplace
from nodeagent.host import recovery

_log = logging.getLogger(__name__)


def prepare(place: Workplace) -> None:
    """Install recovery on the running node whose root is mounted here; any other root boots nothing of ours.

    On a node's own root the package brings the unit. Raises what `recovery.install` raises: a node that could be left
    half-way is not touched.
    """
    if place.settings.root == "/" or not place.node.running:
        return
    installed = recovery.install(place.tree, place.store, place.systemd)
    if installed.changed:
        _log.info("recovery installed", extra={"unit": recovery.NAME, "copy": installed.copy, "bytes": installed.size})
