"""Encryption at rest on one control-plane node: has its kube-apiserver read what the ring says, and sees that it did.

Invariant: the file is written whole or not at all, by the engine; a key that only this node has is never overwritten.
The keys are in the file and nowhere else: not in the journal, in history, in logs.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from nodeagent.agent.certificates import inspector_of, read_yaml
from nodeagent.agent.workplace import Workplace, opened
from nodeagent.certs import encryptionconfig
from nodeagent.certs.keyring import Ring, lost
from nodeagent.certs.node import FILE_LIMIT
from nodeagent.changes.files import WriteFile
from nodeagent.engine.plan import Plan
from nodeagent.errors import Broken, NodeAgentError, Problem, Rejected, Transient
from nodeagent.host.pki import PkiReader
from nodeagent.observed.certificates import Standing
from nodeagent.observed.files import FileType
from nodeagent.settings import Settings

_METRIC: Final = re.compile(
    r"^apiserver_encryption_config_controller_(automatic_reload_)?last_config_info\{.*", re.MULTILINE
)
_FLAG: Final = "encryption-provider-config"
_RELOADS: Final = "encryption-provider-config-automatic-reload"
_SECRET: Final = 0o600
_PORT: Final = 6443


class State(StrEnum):
    """How far the node is, in the words of the resource's status."""

    UPDATED = "Updated"  # the file is written, and not read yet
    SUCCESS = "Success"
    UPDATE_FAILED = "UpdateFailed"


@dataclass(frozen=True)
class Deployed:
    """What has become of a revision on this node; `message` names the digest that was read, or what is wrong."""

    state: State
    revision: int
    message: str

    def facts(self) -> dict[str, Any]:
        return {"state": str(self.state), "revision": self.revision, "message": self.message}


def confirms(facts: Any, ring: Ring) -> bool:
    """Whether a node says that its kube-apiserver has read just this ring."""
    wanted = Deployed(State.SUCCESS, ring.revision, _read(encryptionconfig.document(ring))).facts()
    return isinstance(facts, dict) and {key: facts.get(key) for key in wanted} == wanted


def deploy(ring: Ring, settings: Settings, metrics: Callable[[str], str]) -> Deployed:
    """Bring the node to the ring. `metrics` gives those of a kube-apiserver by its URL, or raises NodeAgentError."""
    try:
        with opened(settings) as place:
            found = _Apiserver.of(place)
            data = encryptionconfig.document(ring)
            _write(place, found.config, data, ring)
            told = metrics(found.url)
    except NodeAgentError as error:
        state = State.UPDATED if isinstance(error, Transient) else State.UPDATE_FAILED
        return Deployed(state, ring.revision, str(error))
    if encryptionconfig.digest(data) in _confirmed(told):
        return Deployed(State.SUCCESS, ring.revision, _read(data))
    return Deployed(State.UPDATED, ring.revision, "the kube-apiserver has not read it yet; it looks once a minute")


def _read(data: bytes) -> str:
    return f"the kube-apiserver has read sha256:{encryptionconfig.digest(data)}"


def _confirmed(metrics: str) -> str:
    """What says which configuration was read last; its name has changed between versions of Kubernetes."""
    return "\n".join(found[0] for found in _METRIC.finditer(metrics))


@dataclass(frozen=True)
class _Apiserver:
    """The node's kube-apiserver: what it reads, and where it listens."""

    config: str
    url: str

    @classmethod
    def of(cls, place: Workplace) -> _Apiserver:
        """By the settings, else by the manifest of its static pod; Rejected with everything that is missing."""
        settings = place.settings.encryption
        if settings.config and settings.apiserver:
            return cls(settings.config, f"https://{settings.apiserver}")
        pods = inspector_of(place.settings, place.tree).survey().pods
        flags = pods.flags("kube-apiserver") or {}
        config, reloads = settings.config or flags.get(_FLAG, ""), flags.get(_RELOADS, "") in ("", "true")
        address = flags.get("advertise-address", "")
        problems = [
            Problem("kube-apiserver", f"--{flag}", message, "add it to the manifest of its static pod, node by node")
            for flag, message, missing in (
                (_FLAG, "is not set, so it encrypts nothing", not config),
                (_RELOADS, "is not true, so it would not read a new key", _RELOADS not in flags or not reloads),
                ("advertise-address", "is not set", not address),
            )
            if missing
        ]
        if problems:
            raise Rejected(problems)
        host = f"[{address}]" if ":" in address else address
        listens = settings.apiserver or f"{host}:{flags.get('secure-port', _PORT)}"
        return cls(config, f"https://{listens}")


def _write(place: Workplace, path: str, data: bytes, ring: Ring) -> None:
    """Put the configuration in place, unless it is there; Broken if a key would be lost by that."""
    before = place.node.states([path])[path]
    if before.type is FileType.FILE:
        stands = _stands(place, path)
        if stands == data:
            return
        _expect_known(path, stands, ring)
    elif before.type is not FileType.ABSENT:
        raise Broken(f"{path} is no regular file")
    change = WriteFile(path=path, before=before, data=data, mode=_SECRET, sources=("encryption",))
    with place.store.locked(place.settings.apply.lock_timeout):
        place.job.recover()
        outcome = place.job.apply(Plan.of([change]), lambda _: None)
    if outcome.why:
        raise Transient(outcome.why)


def _stands(place: Workplace, path: str) -> bytes:
    file, data = PkiReader(place.tree).read(path, FILE_LIMIT)
    if file.standing is not Standing.FILE:
        raise Broken(f"{path} cannot be read: {file.problem or 'it is gone'}")
    return data


def _expect_known(path: str, stands: bytes, ring: Ring) -> None:
    """What stands there has no key that the ring would lose."""
    try:
        configuration = read_yaml(stands)
    except ValueError:
        raise Broken(f"{path} is no YAML: put it right first, for it may hold the only copy of a key") from None
    if problems := tuple(encryptionconfig.problems(configuration, path)):
        raise Rejected(problems)
    if names := lost(ring, encryptionconfig.keys(configuration)):
        advice = "have everything written anew without them first, or take them out by hand if nothing needs them"
        raise Rejected([Problem(path, "", f"holds keys that are not in the ring: {', '.join(names)}", advice)])
