"""The settings themselves: each field is one record of kind, default and help; the rest is derived from it.

Invariant: key, environment variable and flag of a field follow from its name alone: `drift.sweep_interval`,
NODEAGENT_DRIFT_SWEEP_INTERVAL, --drift-sweep-interval.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from nodeagent.settings.addresses import Address, Listen
from nodeagent.settings.egress import EgressSettings
from nodeagent.settings.encryption import EncryptionSettings
from nodeagent.settings.gateways import GatewaySettings
from nodeagent.settings.globs import Globs
from nodeagent.settings.kinds import ABSOLUTE_PATH, HostPath, Kind, Switch, matching, one_of
from nodeagent.settings.quantities import Count, Duration, Size
from nodeagent.settings.record import IP_ADDRESS, Record, setting
from nodeagent.settings.rules import DriftPolicy, DriftRule
from nodeagent.settings.vip import VipSettings
from nodeagent.settings.windows import Window, Windows

_DAY = 86400.0
_MIB = 1 << 20
_GIB = 1 << 30


@dataclass(frozen=True)
class LogSettings:
    """What the agent logs, and how."""

    level: str = setting(one_of("debug", "info", "warning", "error"), "info", help="least severe messages to log")
    format: str = setting(
        one_of("auto", "human", "json"),
        "auto",
        help="form of log lines; auto is human on a terminal, else JSON",
    )


@dataclass(frozen=True)
class MetricsSettings:
    """Where Prometheus finds the metrics."""

    address: Address | None = setting(  # noqa: RUF009 - a field specifier
        Listen(), Address("127.0.0.1", 9469), help="address that serves /metrics; empty for none"
    )


@dataclass(frozen=True)
class HealthSettings:
    """Where the kubelet and people find the health."""

    address: Address | None = setting(  # noqa: RUF009 - a field specifier
        Listen(loopback_only=True),
        Address("127.0.0.1", 9468),
        help="loopback address that serves /livez, /readyz and /healthz; empty for none",
    )


@dataclass(frozen=True)
class DriftSettings:
    """How drift is looked for, and what is done about it. Times in seconds."""

    sweep_interval: float = setting(
        Duration(0.1, _DAY),
        60.0,
        help="time between two checks of all fingerprints (inode, size, times, mode, owner)",
    )
    content_interval: float = setting(
        Duration(0.1, 7 * _DAY), 3600.0, help="time between two checks of all contents by digest"
    )
    debounce: float = setting(
        Duration(0.0, 10.0), 0.05, help="quiet time to wait for after a change before it is looked at"
    )
    policy: tuple[DriftRule, ...] = setting(
        DriftPolicy(),
        (),
        help="what to do about drift, by path glob, first match first; alert where none matches",
    )


@dataclass(frozen=True)
class ApplySettings:
    """How long applying may wait. Times in seconds."""

    unit_timeout: float = setting(
        Duration(0.1, 3600.0),
        90.0,
        help="how long a unit may take to come up or go down before all is rolled back",
    )
    lock_timeout: float = setting(
        Duration(0.0, 3600.0), 30.0, help="how long to wait for another nodeagent that is changing this node"
    )


@dataclass(frozen=True)
class FetchSettings:
    """Limits of what is fetched over http and https. Seconds and bytes."""

    timeout: float = setting(Duration(0.1, 3600.0), 30.0, help="how long fetching one file may take as a whole")
    max_bytes: int = setting(
        Size(1 << 10, _GIB), 64 * _MIB, help="largest file to fetch, and largest size after decompression"
    )


@dataclass(frozen=True)
class RebootSettings:
    """Whether the node may be rebooted."""

    allow: bool = setting(
        Switch(),
        True,
        help="reboot when a change needs it; otherwise the reboot stays pending and visible",
        negation="--no-reboot",
    )


@dataclass(frozen=True)
class GenerationSettings:
    """How much history is kept for rollback. Generations and bytes."""

    keep: int = setting(Count(1, 1000), 10, help="generations kept for rollback")
    max_bytes: int = setting(Size(_MIB, 64 * _GIB), 64 * _MIB, help="disk space that kept generations may take")


@dataclass(frozen=True)
class ClusterSettings:
    """How the agent takes part in a Kubernetes cluster. Times in seconds."""

    enabled: bool = setting(
        Switch(),
        False,
        help="take the desired config from this node's Node object and report there, not from `source`",
        negation="--no-cluster",
    )
    kubeconfig: str = setting(
        HostPath(optional=True),
        "",
        help="kubeconfig to use, such as the kubelet's; empty for the pod's service account",
    )
    pod: str = setting(
        matching("pod name, or nothing", r"([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?)?"),
        "",
        help="the pod that the agent runs in, so that the coordinator knows when it is gone",
    )
    drain_timeout: float = setting(
        Duration(1.0, _DAY), 3600.0, help="how long to wait for a drain before the node counts as Degraded"
    )
    take_over: bool = setting(
        Switch(),
        False,
        help="take over the annotations of another agent that has been uninstalled",
        negation="--no-take-over",
    )
    events_per_hour: int = setting(Count(1, 10000), 60, help="most Events that one agent writes in an hour")


@dataclass(frozen=True)
class CoordinatorSettings:
    """How the coordinator renders pools and paces rollouts. Times in seconds."""

    namespace: str = setting(
        matching("namespace", r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"),
        "nodeagent",
        help="namespace of the Leases, and of the agents' pods",
    )
    drain_timeout: float = setting(
        Duration(1.0, _DAY), 3600.0, help="how long a drain may take before the node is given back and reported"
    )
    canaries: int = setting(Count(0, 1000), 1, help="nodes of a pool that must finish before others begin; 0 for none")
    max_failures: int = setting(
        Count(0, 10000), 1, help="nodes of a pool that may fail before its rollout stops by itself"
    )
    keep_rendered: int = setting(
        Count(1, 1000), 5, help="rendered configs kept for each pool besides those that nodes need"
    )
    agent_grace: float = setting(
        Duration(1.0, _DAY), 300.0, help="time after which the conditions of an agent that is gone become Unknown"
    )
    approve_serving: bool = setting(
        Switch(),
        False,
        help="approve the serving certificates that kubelets ask for, by strict rules; otherwise only count requests",
        negation="--no-approve-serving",
    )
    serving_longest: float = setting(
        Duration(600.0, 3650 * _DAY), 366 * _DAY, help="longest lifetime that a kubelet may ask for by itself"
    )


@dataclass(frozen=True)
class CertsSettings:
    """Where certificates are looked for, and when they are due. Times in seconds."""

    paths: tuple[str, ...] = setting(
        Globs(), (), help="certificates, keys and kubeconfigs to look at besides those of kubeadm and the kubelet"
    )
    role: str = setting(
        one_of("auto", "control-plane", "worker"), "auto", help="what this node is; auto tells by the files on it"
    )
    node_ip: str = setting(
        matching("IP address, or nothing", IP_ADDRESS),
        "",
        help="address that the node's certificates must name; empty for what kubelet flags or static pods say",
    )
    interval: float = setting(
        Duration(1.0, _DAY), 60.0, help="time between two looks at the files; only those that changed are read"
    )
    probe_interval: float = setting(
        Duration(1.0, _DAY), 300.0, help="time between two looks at what the components of this node serve"
    )
    report_namespace: str = setting(
        matching("namespace, or nothing", r"([a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)?"),
        "cpaas-system",
        help="namespace of the ConfigMap node-local-certs-NODE; empty for none",
    )
    renew_percent: int = setting(
        Count(1, 90), 20, help="percent of its lifetime below which a certificate is due for renewal"
    )
    renew_before: float = setting(
        Duration(0.0, 3650 * _DAY),
        30 * _DAY,
        help="time left below which a certificate is due, where that is at most half of its lifetime",
    )
    warn_before: float = setting(
        Duration(0.0, 3650 * _DAY), 30 * _DAY, help="time left below which a certificate is reported"
    )
    alarm_before: float = setting(Duration(0.0, 3650 * _DAY), 10 * _DAY, help="time left below which that is urgent")
    ca_warn_before: float = setting(
        Duration(0.0, 3650 * _DAY), 365 * _DAY, help="time left below which a CA is reported"
    )
    rotate: bool = setting(
        Switch(),
        True,
        help="renew the control plane's certificates by itself when they are due, one node at a time",
        negation="--no-rotation",
    )
    request_serving: bool = setting(
        Switch(),
        False,
        help="have the cluster sign the kubelet's serving certificate where the kubelet does not ask for one itself",
    )
    windows: tuple[Window, ...] = setting(
        Windows(), (), help="times of the week (UTC) in which certificates are renewed; none for always"
    )
    spacing: float = setting(
        Duration(0.0, 7 * _DAY), 600.0, help="time that a node keeps its turn, after which another may renew"
    )
    restart_timeout: float = setting(
        Duration(1.0, 3600.0),
        180.0,
        help="how long a component of the control plane may take to come back before a renewal is undone",
    )
    lifetime: float = setting(
        Duration(0.0, 3650 * _DAY), 0.0, help="validity of renewed certificates; 0 keeps each certificate's own"
    )
    keep_replaced: float = setting(
        Duration(0.0, 3650 * _DAY), 7 * _DAY, help="time for which copies of replaced certificates and keys are kept"
    )
    probe_timeout: float = setting(
        Duration(0.1, 60.0), 5.0, help="how long a TLS handshake with a local component may take"
    )


@dataclass(frozen=True)
class Settings:
    """Everything that can be set. `origins` tells by key where a value came from, for people."""

    root: str = setting(HostPath(), "/", help="root of the node's file tree")
    state_dir: str = setting(
        ABSOLUTE_PATH, "/var/lib/nodeagent", help="directory inside the root for journal and history"
    )
    run_dir: str = setting(HostPath(), "/run/nodeagent", help="directory for the lock and the status file")
    source: str = setting(
        HostPath(),
        "/etc/nodeagent/machineconfigs.d",
        help="file or directory of MachineConfigs that the daemon follows",
    )
    pool: str = setting(
        matching("pool name (lower-case letters, digits, '-')", r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"),
        "worker",
        help="pool whose MachineConfigs apply to this node",
    )
    user: str = setting(
        matching("user name", r"[a-z_][a-z0-9_-]{0,31}"),
        "boot",
        help="user whose SSH keys and password are managed",
    )
    node_name: str = setting(
        matching("host name", r"[A-Za-z0-9]([-A-Za-z0-9._]{0,251}[A-Za-z0-9])?"),
        lambda: os.uname().nodename,
        help="name of this node in reports",
        default_text="the host name",
    )
    resync_interval: float = setting(
        Duration(0.1, _DAY),
        300.0,
        help="time after which the sources are read again even if nothing seemed to change",
    )
    log: LogSettings = LogSettings()
    metrics: MetricsSettings = MetricsSettings()
    health: HealthSettings = HealthSettings()
    drift: DriftSettings = DriftSettings()
    apply: ApplySettings = ApplySettings()
    fetch: FetchSettings = FetchSettings()
    reboot: RebootSettings = RebootSettings()
    generations: GenerationSettings = GenerationSettings()
    cluster: ClusterSettings = ClusterSettings()
    coordinator: CoordinatorSettings = CoordinatorSettings()
    certs: CertsSettings = CertsSettings()
    vip: VipSettings = VipSettings()  # noqa: RUF009 - it is frozen
    egress: EgressSettings = EgressSettings()  # noqa: RUF009 - likewise
    gateways: GatewaySettings = GatewaySettings()  # noqa: RUF009 - likewise
    encryption: EncryptionSettings = EncryptionSettings()  # noqa: RUF009 - likewise
    origins: Mapping[str, str] = dataclasses.field(default_factory=dict, compare=False, repr=False)


@dataclass(frozen=True)
class Field:
    """What is known of one setting: its names, how it is read and written, its default, and what it does."""

    key: str
    kind: Kind[Any]
    help: str
    default: Callable[[], Any]
    default_text: str
    negation: str

    @property
    def variable(self) -> str:
        return "NODEAGENT_" + self.key.upper().replace(".", "_")

    @property
    def flag(self) -> str:
        return "--" + self.key.replace(".", "-").replace("_", "-")

    def flag_for(self, text: str) -> str:
        """The flag that gives the field the value `text`."""
        return self.negation if self.negation and text == "false" else self.flag

    def of(self, settings: Settings) -> Any:
        """The field's value in `settings`."""
        section, _, name = self.key.rpartition(".")
        return getattr(getattr(settings, section) if section else settings, name)


def _sections() -> Iterator[tuple[str, type]]:
    for field in dataclasses.fields(Settings):
        if dataclasses.is_dataclass(field.default):
            yield field.name, type(field.default)


def _fields_of(section: str, record_class: type) -> Iterator[Field]:
    for field in dataclasses.fields(record_class):
        record: Record | None = field.metadata.get("record")
        if record is not None:
            key = f"{section}.{field.name}" if section else field.name
            yield Field(key, record.kind, record.help, record.default, record.default_text, record.negation)


SECTIONS: Mapping[str, type] = MappingProxyType(dict(_sections()))
FIELDS: Mapping[str, Field] = MappingProxyType(
    {field.key: field for section, cls in [("", Settings), *SECTIONS.items()] for field in _fields_of(section, cls)}
)


def build(values: Mapping[str, Any], origins: Mapping[str, str]) -> Settings:
    """Settings from values by key; a key that is missing gets its default."""
    sections = {name: cls(**_below(name + ".", values)) for name, cls in SECTIONS.items()}
    top = {key: value for key, value in values.items() if "." not in key}
    return Settings(**top, **sections, origins=MappingProxyType(dict(origins)))


def _below(prefix: str, values: Mapping[str, Any]) -> dict[str, Any]:
    return {key.removeprefix(prefix): value for key, value in values.items() if key.startswith(prefix)}
