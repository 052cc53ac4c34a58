"""Settings of the VIP."""

from __future__ import annotations

from dataclasses import dataclass

from nodeagent.settings.addresses import Address, Listen
from nodeagent.settings.globs import Globs
from nodeagent.settings.kinds import ABSOLUTE_PATH, Switch, matching, one_of
from nodeagent.settings.networks import IpAddresses
from nodeagent.settings.quantities import Count, Duration
from nodeagent.settings.record import IP_ADDRESS, setting

_DAY = 86400.0
_WEIGHT = Count(0, 253)


@dataclass(frozen=True)
class VipSettings:
    """How this node's health moves the VIP, and what `vip configure` sets up. Times in seconds."""

    endpoint: Address | None = setting(  # noqa: RUF009 - a field specifier
        Listen(loopback_only=True),
        Address("127.0.0.1", 6443),
        help="loopback address of the local API server; empty for none",
    )
    interval: float = setting(Duration(0.05, 1.0), 0.25, help="time between two looks at this node's health")
    timeout: float = setting(Duration(0.05, 3.0), 1.0, help="how long a component may take to answer a look")
    fall: int = setting(Count(1, 1000), 2, help="failed looks in a row before a check counts as failed")
    rise: int = setting(Count(1, 1000), 20, help="good looks in a row before a failed check counts as healthy again")
    ready_weight: int = setting(_WEIGHT, 20, help="priority lost while the API server is not ready; 0 for no look")
    balancer: Address | None = setting(  # noqa: RUF009 - a field specifier
        Listen(), None, help="address of the load balancer behind the VIP on this node; empty for none"
    )
    balancer_probe: str = setting(one_of("tcp", "https"), "tcp", help="what the load balancer is asked for")
    balancer_weight: int = setting(_WEIGHT, 60, help="priority lost while it does not answer; 0 for no look")
    etcd: Address | None = setting(  # noqa: RUF009 - a field specifier
        Listen(loopback_only=True),
        Address("127.0.0.1", 2381),
        help="loopback address where a local etcd member tells its health (--listen-metrics-urls); empty for none",
    )
    etcd_weight: int = setting(_WEIGHT, 20, help="priority lost while the etcd member is ill; 0 for no look")
    disk_paths: tuple[str, ...] = setting(
        Globs(), ("/var/lib/etcd", "/var/lib/kubelet"), help="directories whose file systems must have space"
    )
    disk_free: int = setting(Count(0, 99), 5, help="percent of bytes and inodes that must be free there")
    disk_weight: int = setting(_WEIGHT, 10, help="priority lost while they are not; 0 for no look")
    certificate: str = setting(
        ABSOLUTE_PATH, "/etc/kubernetes/pki/apiserver.crt", help="certificate that clients of the VIP are shown"
    )
    certificate_left: float = setting(Duration(0.0, 3650 * _DAY), 0.0, help="time that it must have left")
    certificate_weight: int = setting(_WEIGHT, 10, help="priority lost while it has less; 0 for no look")
    probe_interval: float = setting(
        Duration(1.0, _DAY),
        60.0,
        help="time between two looks at the link for other owners, and at a silent keepalived",
    )
    addresses: tuple[str, ...] = setting(
        IpAddresses(prefixed=True), (), help="VIPs that `vip configure` sets up, with prefix lengths"
    )
    interface: str = setting(
        matching("interface name, or nothing", r"[A-Za-z0-9_.:-]{0,15}"), "", help="interface that the VIP is put on"
    )
    router_id: int = setting(Count(1, 255), 51, help="VRID, the same on all nodes that share the VIP")
    priority: int = setting(Count(1, 254), 100, help="priority of this node when it is well")
    advert_interval: float = setting(Duration(0.01, 40.0), 0.3, help="time between two adverts, the same on all nodes")
    preempt: bool = setting(
        Switch(), True, help="take the VIP back from a node of lower priority", negation="--no-vip-preempt"
    )
    source: str = setting(
        matching("IP address, or nothing", IP_ADDRESS), "", help="address adverts come from; empty for the interface's"
    )
    peers: tuple[str, ...] = setting(IpAddresses(), (), help="addresses of the other nodes that may have the VIP")
