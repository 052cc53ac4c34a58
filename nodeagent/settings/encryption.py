"""Settings of encryption at rest."""

from __future__ import annotations

from dataclasses import dataclass

from nodeagent.settings.kinds import HostPath, matching
from nodeagent.settings.quantities import Count, Duration
from nodeagent.settings.record import setting


@dataclass(frozen=True)
class EncryptionSettings:
    """How the role `encryption` looks after the kube-apiserver of its node. Times in seconds."""

    config: str = setting(
        HostPath(optional=True),
        "",
        help="configuration file inside the root that the kube-apiserver reads; "
        "empty for what --encryption-provider-config of its static pod says",
    )
    apiserver: str = setting(
        matching("IP:PORT, or nothing", r"((\[[0-9A-Fa-f:.]+\]|[0-9.]+):[0-9]{1,5})?"),
        "",
        help="where the node's kube-apiserver listens; empty for what its static pod says",
    )
    interval: float = setting(Duration(1.0, 3600.0), 30.0, help="time between two looks")
    keep: int = setting(Count(2, 100), 8, help="keys that are kept, with the one that is written with")
