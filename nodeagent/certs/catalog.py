"""The certificates that kubeadm and the kubelet keep on a node, and who takes notice when one is renewed.

Invariant: each path stands here once. Names are kubeadm's own (`kubeadm certs check-expiration`), so that what our list
calls a certificate is what kubeadm calls it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

PKI: Final = "/etc/kubernetes/pki"
KUBELET: Final = "/var/lib/kubelet/pki"
MANIFESTS: Final = "/etc/kubernetes/manifests"
CLUSTER_CA: Final = f"{PKI}/ca.crt"
ETCD_CA: Final = f"{PKI}/etcd/ca.crt"
FRONT_PROXY_CA: Final = f"{PKI}/front-proxy-ca.crt"
KUBELET_CLIENT: Final = f"{KUBELET}/kubelet-client-current.pem"
KUBELET_SERVER: Final = f"{KUBELET}/kubelet-server-current.pem"
KUBELET_SELF_SIGNED: Final = f"{KUBELET}/kubelet.crt"
KUBELET_CONF: Final = "/etc/kubernetes/kubelet.conf"
KUBELET_CONFIG: Final = "/var/lib/kubelet/config.yaml"
BOOTSTRAP_CONF: Final = "/etc/kubernetes/bootstrap-kubelet.conf"

SERVER_AUTH, CLIENT_AUTH = "serverAuth", "clientAuth"
CLIENT_SIGNER: Final = "kubernetes.io/kube-apiserver-client-kubelet"
SERVING_SIGNER: Final = "kubernetes.io/kubelet-serving"


class Kind(StrEnum):
    """What a certificate is for. CHAIN: an intermediate beside a leaf. OTHER: found by an extra path."""

    CA = "ca"
    SERVING = "serving"
    CLIENT = "client"
    PEER = "peer"
    KUBECONFIG = "kubeconfig"
    KUBECONFIG_CA = "kubeconfig-ca"
    CHAIN = "chain"
    OTHER = "other"


class Manager(StrEnum):
    """Who renews a certificate."""

    AGENT = "agent"
    KUBELET = "kubelet"
    EXTERNAL_CA = "external-ca"
    NOBODY = "nobody"


@dataclass(frozen=True)
class Item:
    """A file that is looked for.

    `key` is the path of the private key ("" where it stands in the same file), `authority` the CA file by which its
    consumers check it ("" where there is none), `usages` what its extended key usage must allow. `own_address`: its
    alternative names must hold this node's own. `restart` names the static pods that read it only when they start.
    `signer` is the Kubernetes signer that issues it, where one does. `audience` is the component of this node to which
    a client shows it.
    """

    name: str
    path: str
    kind: Kind
    key: str = ""
    authority: str = ""
    usages: tuple[str, ...] = ()
    manager: Manager = Manager.AGENT
    own_address: bool = False
    restart: tuple[str, ...] = ()
    signer: str = ""
    audience: str = ""


def _pair(name: str, stem: str, kind: Kind, authority: str, *, own_address: bool = False, audience: str = "") -> Item:
    usages = {
        Kind.SERVING: (SERVER_AUTH,),
        Kind.CLIENT: (CLIENT_AUTH,),
        Kind.PEER: (SERVER_AUTH, CLIENT_AUTH),
    }[kind]
    path, key = f"{PKI}/{stem}.crt", f"{PKI}/{stem}.key"
    return Item(name, path, kind, key, authority, usages, own_address=own_address, audience=audience)


def _authority(name: str, stem: str) -> Item:
    return Item(name, f"{PKI}/{stem}.crt", Kind.CA, f"{PKI}/{stem}.key", manager=Manager.NOBODY)


def _kubeconfig(path: str, *restart: str, manager: Manager = Manager.AGENT) -> Item:
    name = path.removeprefix("/etc/kubernetes/").removeprefix("/")
    usages = (CLIENT_AUTH,)
    return Item(
        name, path, Kind.KUBECONFIG, "", CLUSTER_CA, usages, manager, restart=restart, audience="kube-apiserver"
    )


KUBECONFIGS: Final = (
    _kubeconfig("/etc/kubernetes/admin.conf"),
    _kubeconfig("/etc/kubernetes/super-admin.conf"),
    _kubeconfig("/etc/kubernetes/controller-manager.conf", "kube-controller-manager"),
    _kubeconfig("/etc/kubernetes/scheduler.conf", "kube-scheduler"),
    _kubeconfig(KUBELET_CONF, manager=Manager.KUBELET),
    _kubeconfig("/root/.kube/config"),
)

FILES: Final = (
    _authority("ca", "ca"),
    _authority("etcd-ca", "etcd/ca"),
    _authority("front-proxy-ca", "front-proxy-ca"),
    _pair("apiserver", "apiserver", Kind.SERVING, CLUSTER_CA, own_address=True),
    _pair("apiserver-kubelet-client", "apiserver-kubelet-client", Kind.CLIENT, CLUSTER_CA, audience="kubelet"),
    _pair("apiserver-etcd-client", "apiserver-etcd-client", Kind.CLIENT, ETCD_CA, audience="etcd"),
    _pair("front-proxy-client", "front-proxy-client", Kind.CLIENT, FRONT_PROXY_CA),
    _pair("etcd-server", "etcd/server", Kind.PEER, ETCD_CA, own_address=True),
    _pair("etcd-peer", "etcd/peer", Kind.PEER, ETCD_CA, own_address=True),
    _pair("etcd-healthcheck-client", "etcd/healthcheck-client", Kind.CLIENT, ETCD_CA, audience="etcd"),
    Item(
        "kubelet-client",
        KUBELET_CLIENT,
        Kind.CLIENT,
        authority=CLUSTER_CA,
        usages=(CLIENT_AUTH,),
        manager=Manager.KUBELET,
        signer=CLIENT_SIGNER,
    ),
    Item(
        "kubelet-server",
        KUBELET_SERVER,
        Kind.SERVING,
        authority=CLUSTER_CA,
        usages=(SERVER_AUTH,),
        manager=Manager.KUBELET,
        signer=SERVING_SIGNER,
    ),
    Item("kubelet", KUBELET_SELF_SIGNED, Kind.SERVING, f"{KUBELET}/kubelet.key", usages=(SERVER_AUTH,)),
)

KUBEADM_NAMES: Final = frozenset(
    item.name for item in (*FILES, *KUBECONFIGS) if not item.path.startswith(("/var/lib/", "/root/"))
) - {"kubelet.conf"}


def renewed_paths() -> tuple[str, ...]:
    """What a renewal or a repair may write: certificates, keys, kubeconfigs, manifests of what starts anew; sorted."""
    repaired = {KUBELET_CLIENT, KUBELET_SERVER, KUBELET_CONF}
    ours = [item for item in (*FILES, *KUBECONFIGS) if item.manager is Manager.AGENT]
    manifests = {f"{MANIFESTS}/{pod}.yaml" for item in ours for pod in item.restart}
    return tuple(sorted({path for item in ours for path in (item.path, item.key) if path} | manifests | repaired))
