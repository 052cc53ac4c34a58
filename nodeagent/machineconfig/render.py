"""The rendered MachineConfig of a pool: what its nodes are to have, in one immutable object named after its contents.

The same MachineConfigs always render to the same name, in whatever order they were read; any difference in what they
ask for makes another name.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Any, Final

import nodeagent
from nodeagent.errors import Problem, Rejected
from nodeagent.machineconfig import api
from nodeagent.machineconfig.api import MachineConfig
from nodeagent.machineconfig.ignition import codec, head, validation
from nodeagent.machineconfig.ignition.findings import Findings
from nodeagent.machineconfig.ignition.model import BLANK, Config
from nodeagent.machineconfig.merge import Merged, merge
from nodeagent.machineconfig.provenance import Provenance

_WORKER: Final = "worker"
_MASTER: Final = "master"
_HASH_DIGITS: Final = 32
_POOL: Final = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


@dataclass(frozen=True)
class Rendered:
    """A rendered MachineConfig. `provenance` tells which MachineConfigs each part came from, the last one winning."""

    name: str
    pool: str
    config: Config
    kernel_arguments: tuple[str, ...] = ()
    provenance: Provenance = field(default_factory=dict)
    warnings: tuple[Problem, ...] = ()

    def document(self) -> dict[str, Any]:
        """The MachineConfig object, without provenance and warnings."""
        return self._head() | {"spec": _spec(self.config, self.kernel_arguments)}

    def encode(self) -> bytes:
        """`document()` in JSON."""
        return b'%b,"spec":%b}' % (json.dumps(self._head())[:-1].encode(), self.spec)

    @cached_property
    def spec(self) -> bytes:
        """The spec in canonical JSON, of which the name holds the hash."""
        return json.dumps(_spec(self.config, self.kernel_arguments), sort_keys=True, separators=(",", ":")).encode()

    def _head(self) -> dict[str, Any]:
        metadata = {
            "name": self.name,
            "labels": {api.ROLE: self.pool},
            "annotations": {api.GENERATED_BY: f"nodeagent {nodeagent.__version__}"},
        }
        return {"apiVersion": api.VERSION, "kind": api.MACHINE_CONFIG, "metadata": metadata}

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Rendered:
        """The rendered MachineConfig that `document()` yielded; Rejected if it is damaged."""
        metadata = document.get("metadata") or {}
        name, pool = str(metadata.get("name", "")), str((metadata.get("labels") or {}).get(api.ROLE, ""))
        findings = Findings()
        spec = codec.read(api.MachineConfigSpec, document.get("spec"), findings.at(".spec"))
        problems, warnings = findings.split(api.object_name(api.MACHINE_CONFIG, name, ""), "$")
        if spec is None or problems or not name:
            raise Rejected(problems or [Problem(api.MACHINE_CONFIG, "$.metadata.name", "is missing")])
        return cls(name, pool, spec.config or BLANK, spec.kernel_arguments, warnings=warnings)


def render(
    machine_configs: Iterable[MachineConfig], pool: str = _WORKER, roles: frozenset[str] | None = None
) -> Rendered:
    """What a node of `pool` is to have. Rejected with every problem of every MachineConfig and of their merge.

    `roles` are those whose MachineConfigs count, by default those that `roles_of` says.
    """
    given = tuple(machine_configs)
    roles = roles_of(pool) if roles is None else roles
    chosen = [one for one in given if one.role in roles]
    problems, warnings = _check_pool(pool), _left_out(given, roles, pool)
    for one in chosen:
        found, noted = _check(one)
        problems += found
        warnings += noted
    merged = merge(chosen)
    problems += _new(merged.problems, problems)
    if problems:
        raise Rejected(problems)
    return _rendered(merged, pool, (*warnings, *_new(merged.warnings, warnings)))


EMPTY: Final = partial(render, ())  # EMPTY(pool) is what a node of the pool has before there is any MachineConfig


def roles_of(pool: str) -> frozenset[str]:
    """The roles whose MachineConfigs a pool gets: master and worker their own, custom pools worker's as well."""
    return frozenset({pool}) if pool in (_WORKER, _MASTER) else frozenset({_WORKER, pool})


def _rendered(merged: Merged, pool: str, warnings: tuple[Problem, ...]) -> Rendered:
    nameless = Rendered("", pool, merged.config, merged.kernel_arguments, merged.provenance, warnings)
    digest = hashlib.sha256(nameless.spec).hexdigest()[:_HASH_DIGITS]
    rendered = replace(nameless, name=f"render-{pool}-{digest}")
    vars(rendered)["spec"] = nameless.spec  # megabytes that would be written a second time
    return rendered


def _spec(config: Config, kernel_arguments: Sequence[str]) -> dict[str, Any]:
    return {"config": codec.encode(config), "kernelArguments": list(kernel_arguments)}


def _check_pool(pool: str) -> list[Problem]:
    if _POOL.fullmatch(pool):
        return []
    advice = "write worker, master or the name of a custom pool"
    return [Problem(f"pool {pool!r:.80}", "", "is no name of a pool", advice)]


def _check(machine_config: MachineConfig) -> tuple[tuple[Problem, ...], tuple[Problem, ...]]:
    """Problems and warnings of one MachineConfig by itself."""
    name, at = machine_config.object, machine_config.at
    findings = Findings()
    head.check_arguments(machine_config.kernel_arguments, findings.at(".kernelArguments"))
    problems, warnings = findings.split(name, at.removesuffix(".config"))
    if machine_config.config is None:
        return problems, warnings
    found, noted = validation.validate(machine_config.config, object=name, at=at)
    return problems + found, warnings + noted


def _new(found: Iterable[Problem], known: Iterable[Problem]) -> list[Problem]:
    """What the merge brought up and no MachineConfig by itself."""
    told = {problem.message for problem in known}
    return [problem for problem in found if problem.message not in told]


def _left_out(given: Sequence[MachineConfig], roles: frozenset[str], pool: str) -> list[Problem]:
    return [
        Problem(one.object, "$.metadata.labels", f"has role {one.role!r} and is left out of pool {pool!r}")
        for one in given
        if one.role not in roles
    ]
