"""Asks for certificates, and approves requests for them (certificates.k8s.io/v1).

Invariant: an approval holds for the request as it was seen, or not at all.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from nodeagent.kube.conditions import timestamp
from nodeagent.kube.connection import Connection, Patch
from nodeagent.kube.errors import Conflict, Missing

REQUESTS: Final = "/apis/certificates.k8s.io/v1/certificatesigningrequests"
_MANAGER: Final = {"fieldManager": "nodeagent-coordinator"}


@dataclass(frozen=True)
class Answer:
    """What came of a request: the certificate (PEM, b"" as long as there is none), or why there will be none."""

    certificate: bytes = b""
    refused: str = ""


def ask(connection: Connection, request: bytes, signer: str, usages: Iterable[str]) -> str:
    """Have the PKCS#10 `request` (PEM) signed by whoever is asked; the name of what now waits."""
    body = {
        "apiVersion": "certificates.k8s.io/v1",
        "kind": "CertificateSigningRequest",
        "metadata": {"generateName": "nodeagent-serving-"},
        "spec": {"request": base64.b64encode(request).decode(), "signerName": signer, "usages": list(usages)},
    }
    return str(connection.create(REQUESTS, body)["metadata"]["name"])


def answer(connection: Connection, name: str) -> Answer:
    """What came of the request `name`; raises Missing where it is gone."""
    status = connection.get(f"{REQUESTS}/{name}").get("status") or {}
    refusals = [each for each in status.get("conditions") or () if each["type"] in ("Denied", "Failed")]
    if refusals:
        return Answer(refused=f"{refusals[0]['type'].lower()}: {refusals[0].get('message') or 'no reason given'}")
    return Answer(base64.b64decode(status.get("certificate") or ""))


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
