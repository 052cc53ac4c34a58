"""A VpcEgressGateway, or an EgressGateway of our own, as its object asks for it. Pure.

Invariant: a `Gateway` satisfies every rule that its object alone can break; all that it breaks are told at once.
Source: the CRD vpc-egress-gateways.kubeovn.io v1.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from nodeagent.egress.fields import Fields

THEIRS: Final = "VpcEgressGateway"
OURS: Final = "EgressGateway"
CLUSTER_VPC: Final = "ovn-cluster"  # Kube-OVN's default router, where an object names none

_LONGEST: Final = 3_600_000  # milliseconds
_MOST: Final = 10  # replicas


@dataclass(frozen=True)
class Bfd:
    """Intervals in milliseconds, seen from the gateway."""

    min_rx: int = 1000
    min_tx: int = 1000
    multiplier: int = 3

    @property
    def detection(self) -> float:
        """Seconds after which the router's end misses a gateway that falls silent."""
        return self.multiplier * max(self.min_tx, self.min_rx) / 1000


@dataclass(frozen=True)
class Selector:
    """Pods by the labels of their namespace and their own; None selects all."""

    namespaces: Mapping[str, Any] | None = None
    pods: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Policy:
    """Sources by address; `snat` is whether they leave with the gateway's address."""

    snat: bool = False
    blocks: tuple[str, ...] = ()
    subnets: tuple[str, ...] = ()


@dataclass(frozen=True)
class Gateway:
    """What an object asks for; `bfd` is None where it is not enabled."""

    kind: str
    namespace: str
    name: str
    vpc: str
    external_subnet: str
    internal_subnet: str = ""
    replicas: int = 1
    internal_ips: tuple[str, ...] = ()
    external_ips: tuple[str, ...] = ()
    internal_pool: str = ""
    external_pool: str = ""
    bfd: Bfd | None = None
    local: bool = False
    selectors: tuple[Selector, ...] = ()
    policies: tuple[Policy, ...] = ()
    node_selector: tuple[Mapping[str, Any], ...] = ()
    tolerations: tuple[Mapping[str, Any], ...] = ()
    status: Mapping[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> str:
        return f"{self.namespace}/{self.name}"

    @property
    def title(self) -> str:
        return f"{self.kind} {self.key}"

    @property
    def group(self) -> str:
        """The name of its port group, and what the names of its address sets begin with."""
        return f"VEG.{hashlib.sha256(self.key.encode()).hexdigest()[:12]}"


def gateway(document: Mapping[str, Any]) -> Gateway:
    """The gateway of an object as the API or a file has it. Raises Rejected with every problem."""
    metadata = document.get("metadata") or {}
    kind, namespace, name = document.get("kind", THEIRS), metadata.get("namespace", "default"), metadata.get("name", "")
    spec = Fields(f"{kind} {namespace}/{name}", "$.spec", document.get("spec"))
    replicas = spec.number("replicas", 1, 0, _MOST)
    found = Gateway(
        kind=kind,
        namespace=namespace,
        name=name,
        vpc=spec.text("vpc") or CLUSTER_VPC,
        external_subnet=spec.text("externalSubnet", required=True),
        internal_subnet=spec.text("internalSubnet"),
        replicas=replicas,
        internal_ips=_addresses(spec, "internalIPs", replicas),
        external_ips=_addresses(spec, "externalIPs", replicas),
        internal_pool=spec.text("internalIPPool"),
        external_pool=spec.text("externalIPPool"),
        bfd=_bfd(spec.inner("bfd")),
        local=spec.choice("trafficPolicy", ("Cluster", "Local")) == "Local",
        selectors=tuple(_selector(each) for each in spec.each("selectors")),
        policies=tuple(_policy(each) for each in spec.each("policies")),
        node_selector=tuple(spec.objects("nodeSelector")),
        tolerations=tuple(spec.objects("tolerations")),
        status=document.get("status") or {},
    )
    _together(spec, found)
    spec.settle()
    return found


def _addresses(spec: Fields, name: str, replicas: int) -> tuple[str, ...]:
    """Given addresses: one an instance at the least; of both families where an entry has two, with a comma."""
    given = spec.addresses(name)
    if given and len(given) < replicas:
        spec.complain(name, f"has {len(given)} addresses for {replicas} replicas", "give one for each replica")
    return given


def _bfd(fields: Fields) -> Bfd | None:
    found = Bfd(
        fields.number("minRX", 1000, 1, _LONGEST),
        fields.number("minTX", 1000, 1, _LONGEST),
        fields.number("multiplier", 3, 1, _LONGEST),
    )
    return found if fields.flag("enabled") else None


def _selector(fields: Fields) -> Selector:
    return Selector(fields.selector("namespaceSelector"), fields.selector("podSelector"))


def _policy(fields: Fields) -> Policy:
    found = Policy(fields.flag("snat"), fields.networks("ipBlocks"), fields.texts("subnets"))
    if not fields.says("ipBlocks", "subnets"):
        fields.complain("", "names no source", "give ipBlocks or subnets")
    return found


def _together(spec: Fields, found: Gateway) -> None:
    """The rules between fields."""
    if not (found.selectors or found.policies):
        spec.complain("", "selects no traffic", "give policies or selectors")
    for ips, pool, name in (
        (found.internal_ips, found.internal_pool, "internalIPPool"),
        (found.external_ips, found.external_pool, "externalIPPool"),
    ):
        if ips and pool:
            spec.complain(name, "stands beside addresses that are given", "give a pool or addresses")
