"""The coordinator's role `encryption`: rotates the keys of encryption at rest, and looks after the node it runs on.

It runs on each control-plane node. What a node does, every one of them does; what is decided, the one that leads
decides, from what is kept in the API alone: another may go on at any step. See docs/encryption.md.
"""

from __future__ import annotations

import base64
import logging
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from nodeagent import __version__
from nodeagent.agent.encryptionnode import confirms, deploy
from nodeagent.agent.roles import Duty, Office
from nodeagent.certs.encryptiondemand import demand_of
from nodeagent.certs.keyring import KEY_BYTES, Demand, Phase, Progress, Ring, advance
from nodeagent.kube.conditions import timestamp
from nodeagent.kube.connection import connect
from nodeagent.kube.encryption import EncryptionApi, Kept
from nodeagent.telemetry.metrics.tables import Tables, rows

_log = logging.getLogger(__name__)

COLUMNS: Final = {
    "nodeagent_encryption_revision": ("Revision of the keys that API servers are to have", ()),
    "nodeagent_encryption_unconfirmed": ("Control-plane nodes that have not confirmed it", ()),
    "nodeagent_encryption_key_age_seconds": ("Age of the key that is written with", ()),
    "nodeagent_encryption_phase": ("1 for the phase that the rotation is in", ("phase",)),
}
_PAGES: Final = 20  # of objects, in one round
_AT_ONCE: Final = 0.1  # seconds
_ALLOWANCE: Final = 1800.0


@dataclass
class Migration:
    """Writes all objects of some resources anew, a few pages at a time; begun again it does no harm."""

    api: EncryptionApi
    left: list[str]
    token: str = ""
    written: int = 0

    def work(self) -> bool:
        """Go on for a few pages; whether all is done."""
        for _ in range(_PAGES):
            if not self.left:
                return True
            page = self.api.page(self.left[0], self.token)
            for item in page.items:
                self.api.rewrite(self.left[0], item)
            self.written += len(page.items)
            self.token = page.token
            if not self.token:
                del self.left[0]
        return not self.left


@dataclass
class Rotation:
    """The role at work; what it remembers between rounds only saves work."""

    office: Office
    api: EncryptionApi
    tables: Tables
    migration: Migration | None = None
    told: Mapping[str, Any] = field(default_factory=dict)

    def tick(self) -> float:
        """One round; returns the seconds until the next."""
        pause = self.office.settings.encryption.interval
        config = self.api.config()
        if config is None:
            return pause
        demand = demand_of(config, self.office.settings.encryption.keep)
        kept = self.api.ring()
        ring = Ring.from_facts(kept.facts) if kept is not None else Ring(_highest(config))
        if ring.keys:
            config = self._look_after_node(config, ring)
        if not self.office.leading():
            return pause
        return self._coordinate(config, demand, ring, kept) or pause

    # -- this node ----------------------------------------------------------------------------------------------------

    def _look_after_node(self, config: Any, ring: Ring) -> Any:
        """Bring this node to the ring and say so; the config with that in its status."""
        node = self.office.settings.node_name
        found = deploy(ring, self.office.settings, self._metrics)
        status = config.get("status") or {}
        known = status.get("deployStatus") or {}
        if known.get(node) == found.facts():
            return config
        _log.info("encryption on this node", extra={"state": str(found.state), "reason": found.message})
        self.api.tell(config["metadata"]["name"], _status(status, ring, {"deployStatus": {node: found.facts()}}))
        return config | {"status": status | {"deployStatus": known | {node: found.facts()}}}

    def _metrics(self, server: str) -> str:
        connection = connect(
            self.office.settings.cluster.kubeconfig, f"nodeagent-encryption/{__version__}", width=1, server=server
        )
        try:
            return connection.text("/metrics")
        finally:
            connection.close()

    # -- the cluster --------------------------------------------------------------------------------------------------

    def _coordinate(self, config: Any, demand: Demand, ring: Ring, kept: Kept | None) -> float:
        """Take the next step if there is one to take; 0 if there is nothing to do but wait."""
        now = datetime.now(UTC)
        deployed = (config.get("status") or {}).get("deployStatus") or {}
        confirmed = frozenset(node for node, facts in deployed.items() if confirms(facts, ring))
        progress = Progress(self.api.members(), confirmed, self._migrated(config, ring))
        secret = base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode()
        after = advance(ring, demand, progress, now.timestamp(), secret)
        self.tables.show(rows(_series(after, progress, now.timestamp())))
        if after == ring:
            return _AT_ONCE if self.migration is not None and self.migration.left else 0.0
        self.api.keep(after.facts(), kept.version if kept is not None else "")
        _log.info("encryption goes on", extra={"phase": str(after.phase), "revision": after.revision})
        self._tell(config, after)
        return _AT_ONCE

    def _migrated(self, config: Any, ring: Ring) -> bool:
        """Write some objects anew where that is due; whether all are."""
        if ring.phase is not Phase.MIGRATING:
            self.migration = None
            return False
        if self.migration is None:
            self.migration = Migration(self.api, list(ring.migrates))
            self._tell(config, ring)
        return self.migration.work()

    def _tell(self, config: Any, ring: Ring) -> None:
        """What the status says of the rotation as a whole."""
        told: dict[str, Any] = {"revision": ring.revision}
        if ring.phase is Phase.MIGRATING or self.migration is not None:
            ended = ring.phase is Phase.SETTLED
            written = self.migration.written if self.migration is not None else 0
            told["migration"] = {
                "revision": ring.revision,
                "state": "Success" if ended else "Processing",
                "resources": list(ring.migrates),
                "message": f"{written} objects written anew" if ended else "objects are written anew",
                **({"completeTimestamp": timestamp(datetime.now(UTC))} if ended else {}),
            }
        self.api.tell(config["metadata"]["name"], told)


def _status(status: Mapping[str, Any], ring: Ring, said: Mapping[str, Any]) -> dict[str, Any]:
    """A patch of the status, which has to have a revision from the first."""
    return {**({} if "revision" in status else {"revision": ring.revision}), **said}


def _highest(config: Any) -> int:
    """The highest revision that anybody has spoken of: one that is used again could be taken for the earlier one."""
    status = config.get("status") or {}
    nodes = (each.get("revision", 0) for each in (status.get("deployStatus") or {}).values())
    return max([int(status.get("revision", 0)), *map(int, nodes)])


def _series(ring: Ring, progress: Progress, now: float) -> dict[str, list[tuple[tuple[str, ...], float]]]:
    return {
        "nodeagent_encryption_revision": [((), float(ring.revision))],
        "nodeagent_encryption_unconfirmed": [((), float(len(progress.members - progress.confirmed)))],
        "nodeagent_encryption_key_age_seconds": [((), now - key.made) for key in ring.keys[:1]],
        "nodeagent_encryption_phase": [((str(each),), float(each is ring.phase)) for each in Phase],
    }


def encryption(office: Office) -> Duty:
    """The role."""
    api = EncryptionApi(office.connection, office.settings.coordinator.namespace)
    return Duty((), Rotation(office, api, Tables(office.registry, COLUMNS)).tick, _ALLOWANCE)
