"""Approves requests for certificates (certificates.k8s.io/v1).

Invariant: an approval holds for the request as it was seen, or not at all.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

from nodeagent.kube.conditions import timestamp
from nodeagent.kube.connection import Connection, Patch
from nodeagent.kube.errors import Conflict, Missing

REQUESTS: Final = "/apis/certificates.k8s.io/v1/certificatesigningrequests"
_MANAGER: Final = {"fieldManager": "nodeagent-coordinator"}


def approve(connection: Connection, seen: tuple[str, str, str], why: tuple[str, str], now: datetime) -> bool:
    """Approve the request that was `seen` (name, uid, resourceVersion) without any condition; `why`: reason, message.

    False where it is not that any more, or is gone.
    """
    name, uid, version = seen
    reason, message = why
    condition = {
        "type": "Approved",
        "status": "True",
        "reason": reason,
        "message": message,
        "lastUpdateTime": timestamp(now),
    }
    patch = {"metadata": {"uid": uid, "resourceVersion": version}, "status": {"conditions": [condition]}}
    try:
        connection.patch(f"{REQUESTS}/{name}/approval", patch, Patch.MERGE, _MANAGER)
    except (Conflict, Missing):
        return False
    return True
