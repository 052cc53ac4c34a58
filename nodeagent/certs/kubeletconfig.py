"""What the kubelet's configuration says of certificates (kubelet.config.k8s.io/v1beta1, KubeletConfiguration).

Invariant: a node without the file is judged as one of kubeadm's; what a file does not say is off, as for the kubelet.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from nodeagent.certs.catalog import KUBELET_CONFIG, KUBELET_SERVER, MANIFESTS
from nodeagent.certs.facts import Certificate
from nodeagent.certs.findings import Code, Finding, Severity
from nodeagent.certs.node import ReadYaml

_PORT: Final = 10250


@dataclass(frozen=True)
class KubeletConfig:
    """Whether the kubelet `rotates` its client certificate and asks the cluster for a serving one (`bootstraps`).

    `certificate` and `key` are the paths of a serving pair that somebody gave it, "" where it looks after its own.
    `manifests` is the directory of static pods. `problem` says why the file tells nothing.
    """

    rotates: bool = True
    bootstraps: bool = False
    certificate: str = ""
    key: str = ""
    manifests: str = MANIFESTS
    port: int = _PORT
    problem: str = ""


def kubelet_config(data: bytes, read_yaml: ReadYaml) -> KubeletConfig:
    """The configuration in `data`; one with a `problem` where it is none."""
    try:
        document = read_yaml(data)
    except ValueError as error:
        return KubeletConfig(problem=str(error))
    if not isinstance(document, Mapping) or document.get("kind") != "KubeletConfiguration":
        return KubeletConfig(problem="is no KubeletConfiguration")
    port = document.get("port")
    return KubeletConfig(
        document.get("rotateCertificates") is True,
        document.get("serverTLSBootstrap") is True,
        _path(document, "tlsCertFile"),
        _path(document, "tlsPrivateKeyFile"),
        _path(document, "staticPodPath") or MANIFESTS,
        port if isinstance(port, int) and not isinstance(port, bool) and 0 < port < 1 << 16 else _PORT,
    )


def _path(document: Mapping[str, Any], field: str) -> str:
    value = document.get(field)
    return posixpath.normpath(value) if isinstance(value, str) and value.startswith("/") else ""


def findings(config: KubeletConfig, serving: Certificate | None) -> Iterator[Finding]:
    """What is wrong with the configuration; `serving` is what the cluster has signed for the kubelet."""
    if config.problem:
        message = f"tells nothing of the kubelet's certificates: {config.problem}"
        yield Finding(KUBELET_CONFIG, Code.KUBELET_CONFIG_UNREADABLE, Severity.WARNING, message)
    if not config.rotates:
        message = "has the kubelet not rotate its client certificate, and nobody else does"
        advice = "set rotateCertificates, and restart the kubelet"
        yield Finding(KUBELET_CONFIG, Code.KUBELET_ROTATION_OFF, Severity.WARNING, message, advice)
    if config.bootstraps and not config.certificate and serving is None:
        message = f"has the kubelet ask for a serving certificate, and there is none at {KUBELET_SERVER} yet"
        advice = "see `kubectl get csr` for a request that waits: Kubernetes approves none of them by itself"
        yield Finding(KUBELET_CONFIG, Code.KUBELET_SERVING_PENDING, Severity.WARNING, message, advice)
