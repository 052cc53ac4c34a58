"""The objects of API group machineconfiguration.alauda.io/v1alpha1, as they are written; read by the generic codec."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Final

from nodeagent.machineconfig.ignition.model import Config, entries

VERSION: Final = "machineconfiguration.alauda.io/v1alpha1"
ROLE: Final = "machineconfiguration.alauda.io/role"
GENERATED_BY: Final = "machineconfiguration.alauda.io/generated-by"
MACHINE_CONFIG: Final = "MachineConfig"
MACHINE_CONFIGURATION: Final = "MachineConfiguration"
MACHINE_CONFIG_POOL: Final = "MachineConfigPool"


@dataclass(frozen=True, slots=True)
class MachineConfigSpec:
    config: Config | None = None
    kernel_arguments: tuple[str, ...] = entries(repeats=True)


@dataclass(frozen=True, slots=True)
class Service:
    mistakes: ClassVar = {"name": "serviceName", "service": "serviceName"}

    service_name: str = ""


@dataclass(frozen=True, slots=True)
class PolicyAction:
    type: str = ""
    reload: Service | None = None
    restart: Service | None = None


@dataclass(frozen=True, slots=True)
class FilePolicy:
    """What follows a change of a file, or of anything below a directory."""

    path: str = ""
    actions: tuple[PolicyAction, ...] | None = None


@dataclass(frozen=True, slots=True)
class UnitPolicy:
    name: str = ""
    actions: tuple[PolicyAction, ...] | None = None


@dataclass(frozen=True, slots=True)
class KeyPolicy:
    actions: tuple[PolicyAction, ...] | None = None


@dataclass(frozen=True, slots=True)
class NodeDisruptionPolicy:
    mistakes: ClassVar = {"sshkeys": "sshkey", "sshKeys": "sshkey"}

    files: tuple[FilePolicy, ...] = entries()
    units: tuple[UnitPolicy, ...] = entries()
    sshkey: KeyPolicy | None = None


@dataclass(frozen=True, slots=True)
class DefaultActions:
    """What follows a change that no entry covers."""

    files: tuple[PolicyAction, ...] | None = None
    units: tuple[PolicyAction, ...] | None = None


@dataclass(frozen=True, slots=True)
class MachineConfigurationSpec:
    node_disruption_policy: NodeDisruptionPolicy = NodeDisruptionPolicy()
    default_actions: DefaultActions | None = field(
        default=None, metadata={"key": "defaultNodeDisruptionPolicySpecAction"}
    )


@dataclass(frozen=True, slots=True)
class MachineConfig:
    """One MachineConfig. `origin` is the source it came from; `at` is the JSON path of `config` in it."""

    name: str
    role: str
    origin: str = ""
    config: Config | None = None
    kernel_arguments: tuple[str, ...] = ()
    at: str = "$.spec.config"

    @property
    def bare(self) -> bool:
        """Whether it was written as an Ignition config by itself."""
        return self.at == "$"

    @property
    def object(self) -> str:
        """What a person would open to mend it."""
        return object_name(MACHINE_CONFIG, self.name, self.origin)


def object_name(kind: str, name: str, origin: str) -> str:
    """How an object is named to people: "MachineConfig 50-chrony (chrony.yaml)"."""
    named = f"{kind} {name}".rstrip()
    return f"{named} ({origin})" if origin else named
