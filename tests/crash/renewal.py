"""A control-plane node with two pairs and a kubeconfig that are due, and their renewal. Runs in the driver."""

from __future__ import annotations

import base64
import json
from contextlib import AbstractContextManager
from pathlib import Path

from nodeagent import agent
from nodeagent.agent.certificates import inspector_of
from nodeagent.agent.rotation import Rotation
from nodeagent.certs.renewal import Wanted
from nodeagent.engine.executor import Progress
from nodeagent.engine.handover import Handover
from nodeagent.settings.model import build as settings
from tests.unit.certs.authority import DAY, NOW, issue

STATE = "/state"
PKI = "/etc/kubernetes/pki"
PAIRS = ("apiserver-kubelet-client", "front-proxy-client")
KUBECONFIG = "/etc/kubernetes/admin.conf"
LATER = NOW + 1 * DAY  # when the renewal takes place


def build(root: Path) -> None:
    """The node before."""
    (root / PKI[1:]).mkdir(parents=True)
    authority = issue("kubernetes", ca=True, begins=NOW - 400 * DAY, ends=NOW + 3000 * DAY)
    files = {f"{PKI}/ca.crt": authority.pem, f"{PKI}/ca.key": authority.key_pem}
    files |= {f"{PKI}/front-proxy-ca.crt": authority.pem, f"{PKI}/front-proxy-ca.key": authority.key_pem}
    for name in PAIRS:
        pair = issue(name, authority, usages=["clientAuth"], begins=NOW - 355 * DAY, ends=NOW + 10 * DAY)
        files |= {f"{PKI}/{name}.crt": pair.pem, f"{PKI}/{name}.key": pair.key_pem}
    user = {
        "client-certificate-data": base64.b64encode(pair.pem).decode(),
        "client-key-data": base64.b64encode(pair.key_pem).decode(),
    }
    document = {"apiVersion": "v1", "kind": "Config", "users": [{"name": "admin", "user": user}]}
    files[KUBECONFIG] = json.dumps(document).encode()
    for path, data in files.items():
        (root / path[1:]).write_bytes(data)
        (root / path[1:]).chmod(0o644 if path.endswith(".crt") else 0o600)


def renew(root: str) -> None:
    """Renew what is due."""
    with _opened(root) as place, place.store.locked(1.0):
        rotation = Rotation(place, inspector_of(place.settings, place.tree), Handover())
        rotation.renew(rotation.propose(Wanted(), LATER), _silent)


def resume(root: str) -> None:
    """What the next start of the agent, or `nodeagent recover` at boot, does first."""
    with _opened(root) as place, place.store.locked(1.0):
        place.job.recover()


def _opened(root: str) -> AbstractContextManager[agent.Workplace]:
    return agent.opened(settings({"root": root, "state_dir": STATE}, {}))


def _silent(_: Progress) -> None:
    """Nobody watches."""
