"""MachineConfigs as administrators write them: from files of YAML or JSON to typed objects.

All problems over all sources are found before any is reported, each with its object, its place and what to do. A source
holds one or many documents: MachineConfig, MachineConfiguration, a List of them, or an Ignition config by itself, which
counts as a MachineConfig named after its file.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from nodeagent.errors import Problem, Rejected
from nodeagent.machineconfig import api, documents, policydocument
from nodeagent.machineconfig.api import MachineConfig
from nodeagent.machineconfig.disruption import Policy
from nodeagent.machineconfig.ignition import codec, validation
from nodeagent.machineconfig.ignition.findings import Finding, Findings, Place
from nodeagent.machineconfig.ignition.model import Config
from nodeagent.machineconfig.jsondocuments import Unreadable

__all__ = ["Documents", "MachineConfig", "MachineConfiguration", "load"]

DEFAULT_ROLE: Final = "worker"

_JSON_SUFFIXES: Final = (".json", ".ign")
_SUFFIXES: Final = (*_JSON_SUFFIXES, ".yaml", ".yml")
_NAME_LIMIT: Final = 253  # characters
_SUBDOMAIN: Final = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_LABEL: Final = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
_FOREIGN: Final = re.compile(r"[^a-z0-9]+")
_LISTS: Final = (("v1", "List"), (api.VERSION, "MachineConfigList"), (api.VERSION, "MachineConfigurationList"))
_KEYS: Final = ("apiVersion", "kind", "metadata", "spec", "status")
_ENTRY: Final = re.compile(r".*\]")


@dataclass(frozen=True, slots=True)
class MachineConfiguration:
    """The cluster's MachineConfiguration, of which the node heeds the disruption policy."""

    name: str
    origin: str
    policy: Policy


@dataclass(frozen=True, slots=True)
class Documents:
    """Everything that was found, in the order of the sources."""

    machine_configs: tuple[MachineConfig, ...]
    policy: MachineConfiguration | None
    warnings: tuple[Problem, ...]


def load(sources: Iterable[tuple[str, bytes]]) -> Documents:
    """The objects in `sources`: pairs of origin (a path, or "-") and bytes. Rejected with every problem."""
    loader = _Loader()
    for origin, data in sources:
        loader.read(origin, data)
    return loader.finish()


@dataclass(frozen=True, slots=True)
class _Object:
    """One object, at JSON path `at` of `origin`."""

    value: dict[str, Any]
    origin: str
    at: str

    @property
    def kind(self) -> str:
        kind = self.value.get("kind")
        return kind if isinstance(kind, str) else ""

    @property
    def spec(self) -> object:
        spec = self.value.get("spec")
        return {} if spec is None else spec


@dataclass
class _Loader:
    problems: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)
    machine_configs: list[tuple[MachineConfig, tuple[Finding, ...]]] = field(default_factory=list)
    policies: list[MachineConfiguration] = field(default_factory=list)
    origins: dict[str, str] = field(default_factory=dict)

    # -- sources and documents ----------------------------------------------------------------------------------------

    def read(self, origin: str, data: bytes) -> None:
        """Take in one source."""
        try:
            found = documents.parse(data, strict_json=origin.endswith(_JSON_SUFFIXES))
        except Unreadable as error:
            self.problems.append(Problem(origin, "", str(error)))
            return
        if not found:
            self.problems.append(Problem(origin, "", "holds no document", "write one, or remove the file"))
        for index, value in enumerate(found, 1):
            self._document(value, origin if len(found) == 1 else f"{origin}, document {index}", _name_after(origin))

    def _document(self, value: object, origin: str, name: str) -> None:
        if isinstance(value, dict) and (value.get("apiVersion"), value.get("kind")) in _LISTS:
            self._list(value.get("items"), origin)
        elif isinstance(value, dict) and "ignition" in value and not {"apiVersion", "kind"} & value.keys():
            self._ignition(value, origin, name)
        else:
            self._object(value, origin, "$")

    def _list(self, items: object, origin: str) -> None:
        if not isinstance(items, list):
            self.problems.append(Problem(origin, "$.items", "is no list", "list the objects"))
            return
        for index, item in enumerate(items):
            self._object(item, origin, f"$.items[{index}]")

    def _ignition(self, value: dict[str, Any], origin: str, name: str) -> None:
        if not _is_name(name):
            advice = "give it a name of at most 253 letters and digits"
            self.problems.append(Problem(origin, "", "its file's name is no name for a MachineConfig", advice))
        findings = Findings()
        config = codec.read(Config, value, findings.at(""))
        self._add(MachineConfig(name, DEFAULT_ROLE, origin, config, at="$"), findings, "$")

    # -- objects ------------------------------------------------------------------------------------------------------

    def _object(self, value: object, origin: str, at: str) -> None:
        if not isinstance(value, dict):
            advice = "write a MachineConfig, or an Ignition config"
            self.problems.append(Problem(origin, at, "is no object", advice))
            return
        found = _Object(value, origin, at)
        match found.kind:
            case api.MACHINE_CONFIG:
                self._machine_config(found)
            case api.MACHINE_CONFIGURATION:
                self._machine_configuration(found)
            case api.MACHINE_CONFIG_POOL:
                self.warnings.append(Problem(origin, at, "a MachineConfigPool means nothing to a node by itself"))
            case _:
                self._stranger(found)

    def _stranger(self, found: _Object) -> None:
        message = f"kind {found.kind!r} is not read here" if found.kind else "has no kind"
        advice = f"write apiVersion: {api.VERSION} and kind: {api.MACHINE_CONFIG}, or an Ignition config by itself"
        self.problems.append(Problem(found.origin, f"{found.at}.kind", message, advice))

    def _machine_config(self, found: _Object) -> None:
        findings = Findings()
        place = findings.at("")
        name, labels = _head(found, place)
        role = _role(labels, place.at(".metadata.labels"))
        spec = codec.read(api.MachineConfigSpec, found.spec, place.at(".spec")) or api.MachineConfigSpec()
        at = f"{found.at}.spec.config"
        machine_config = MachineConfig(name, role, found.origin, spec.config, spec.kernel_arguments, at)
        self._add(machine_config, findings, found.at)

    def _machine_configuration(self, found: _Object) -> None:
        findings = Findings()
        place = findings.at("")
        name, _ = _head(found, place)
        if name and name != policydocument.NAME:
            advice = f"name it {policydocument.NAME}"
            place.problem(".metadata.name", f"only {policydocument.NAME!r} has an effect, this is {name!r}", advice)
        policy = policydocument.policy_of(found.spec, place.at(".spec"))
        self._unique(api.MACHINE_CONFIGURATION, name, found.origin, place)
        self._report(findings, api.object_name(api.MACHINE_CONFIGURATION, name, found.origin), found.at)
        self.policies.append(MachineConfiguration(name, found.origin, policy))

    def _add(self, machine_config: MachineConfig, findings: Findings, at: str) -> None:
        self._unique(api.MACHINE_CONFIG, machine_config.name, machine_config.origin, findings.at(""))
        self._report(findings, machine_config.object, at)
        self.machine_configs.append((machine_config, tuple(findings.found)))

    def _unique(self, kind: str, name: str, origin: str, place: Place) -> None:
        first = self.origins.setdefault(f"{kind} {name}", origin) if name else origin
        if first is not origin:
            message = f"there is another {kind} {name!r}, in {first}"
            place.problem(".metadata.name", message, "rename one of them, or remove it")

    def _report(self, findings: Findings, name: str, at: str) -> None:
        problems, warnings = findings.split(name, at)
        self.problems += problems
        self.warnings += warnings

    # -- result -------------------------------------------------------------------------------------------------------

    def finish(self) -> Documents:
        """What was read; Rejected if anything is wrong with it."""
        if self.problems:
            raise Rejected([*self.problems, *self._invalid()])
        policy = self.policies[0] if self.policies else None
        configs = tuple(machine_config for machine_config, _ in self.machine_configs)
        return Documents(configs, policy, tuple(self.warnings))

    def _invalid(self) -> Iterator[Problem]:
        """What rendering would find wrong later, so that nobody mends types first and values afterwards."""
        for machine_config, findings in self.machine_configs:
            if machine_config.config is not None:
                yield from _consequences(machine_config, machine_config.config, findings)


def _consequences(machine_config: MachineConfig, config: Config, known: Iterable[Finding]) -> Iterator[Problem]:
    """Problems of a config, except in those entries of which some part could not be read at all."""
    prefix = ".spec.config" if machine_config.at.endswith(".spec.config") else ""
    unread = tuple(_entry(finding.path.removeprefix(prefix)) for finding in known if finding.fatal)
    for finding in validation.findings(config).found:
        if finding.fatal and not finding.path.startswith(unread):
            yield finding.problem(machine_config.object, machine_config.at)


def _entry(path: str) -> str:
    entry = _ENTRY.match(path)
    return entry[0] if entry else path


# -- metadata ---------------------------------------------------------------------------------------------------------


def _head(found: _Object, place: Place) -> tuple[str, dict[str, object]]:
    """Name and labels of an object, after a look at its other keys."""
    if found.value.get("apiVersion") != api.VERSION:
        place.problem(".apiVersion", f"is not {api.VERSION}", f"write apiVersion: {api.VERSION}")
    for key in found.value:
        if key not in _KEYS:
            meant = codec.nearest(key, _KEYS, {})
            place.warn(
                codec.member(key), f"unknown key {key!r} is ignored" + (f"; did you mean {meant!r}?" if meant else "")
            )
    metadata = _mapping(found.value.get("metadata"), place.at(".metadata"))
    labels = _mapping(metadata.get("labels"), place.at(".metadata.labels"))
    return _name(metadata.get("name"), place.at(".metadata.name")), labels


def _mapping(value: object, place: Place) -> dict[str, object]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        place.problem("", "is no object")
        return {}
    return value


def _name(value: object, place: Place) -> str:
    if value is None or value == "":
        place.problem("", "is missing", "give the object a name")
        return ""
    if not isinstance(value, str) or not _is_name(value):
        advice = "write lower case letters, digits, - and . (RFC 1123), at most 253 of them; numbers in quotes"
        place.problem("", f"{value!r:.80} is no name", advice)
        return value if isinstance(value, str) else ""
    return value


def _is_name(text: str) -> bool:
    return len(text) <= _NAME_LIMIT and _SUBDOMAIN.fullmatch(text) is not None


def _role(labels: dict[str, object], place: Place) -> str:
    role = labels.get(api.ROLE, DEFAULT_ROLE)
    if isinstance(role, str) and _LABEL.fullmatch(role):
        return role
    place.problem(f"['{api.ROLE}']", f"{role!r:.80} is no name of a pool", "write worker, master or a custom pool")
    return ""


def _name_after(origin: str) -> str:
    """A name made of a file's: without directory and suffix, in the characters that names of objects have."""
    stem = posixpath.basename(origin)
    for suffix in _SUFFIXES:
        stem = stem.removesuffix(suffix)
    parts = (_FOREIGN.sub("-", part).strip("-") for part in stem.lower().split("."))
    return "stdin" if stem == "-" else ".".join(part for part in parts if part)
