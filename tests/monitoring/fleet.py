"""A Prometheus fed by real processes: an agent with troubles, one on a node with a real API server, one beside a
real keepalived, and a coordinator in all roles.

Each of them has something to tell of for every panel of the dashboards.
"""

from __future__ import annotations

import http.server
import json
import os
import secrets
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from tests.cluster.controlplane import ControlPlane, eventually
from tests.cluster.coordinators import NAMESPACE, CoordinatorProcess
from tests.cluster.manifests import manifests
from tests.cluster.process import Server, free_port
from tests.cluster.test_approval import Worker
from tests.cluster.test_egress import applied, furnish
from tests.cluster.test_vip import node
from tests.controlplane import binaries
from tests.fabric.agents import UNBOUND, agents_config, daemon
from tests.fabric.agents import eventually as said
from tests.fabric.agents import state as vip_state
from tests.fabric.network import NOBODY, Router, network
from tests.monitoring.server import Prometheus, prometheus, scraping
from tests.monitoring.troubled import scraped, troubled_agent
from tests.ovn import packages
from tests.ovn.central import Database, database, nbctl, running
from tests.ovn.test_commands import Cluster

CAPABILITIES = ("root", "prometheus", "control-plane", "ovn", "keepalived", "ip", "nsenter", "setpriv", "curl")
_ROLES = ("pools", "vip", "egress", "certificates", "encryption")
_METRICS = "127.0.0.1:9469"
_PATIENCE = 120.0


@contextmanager
def fleet(base: Path) -> Iterator[Prometheus]:
    """All of it; when it is entered each process has been scraped for some time."""
    with ExitStack() as stack:
        plane = stack.enter_context(ControlPlane(_folder(base, "plane"), binaries.ensured()))
        first, second = stack.enter_context(network(2))
        targets = {
            "cp1": stack.enter_context(_node_of(plane, first)),
            "cp2": stack.enter_context(_beside_keepalived(second)),
            "worker1": stack.enter_context(troubled_agent(_folder(base, "worker1"))),
            "coordinator": stack.enter_context(_coordinator(plane, _folder(base, "coordinator"), stack)),
        }
        server = stack.enter_context(prometheus(_folder(base, "prometheus"), scraping(targets)))
        scrapes = "min(sum_over_time(up[5m])) > 6"
        eventually(lambda: bool(server.now(scrapes)), "there is something to draw", _PATIENCE)
        yield server


def _folder(base: Path, name: str) -> Path:
    folder = base / name
    folder.mkdir()
    return folder


# -- nodes ------------------------------------------------------------------------------------------------------------


@contextmanager
def _node_of(plane: ControlPlane, router: Router) -> Iterator[str]:
    """The address of an agent on a node with the tests' API server: files of a router, and our own network."""
    router.run("mount", "-t", "tmpfs", "none", "/etc")
    router.run("mkdir", "--parents", "/run/systemd/system")  # by which an agent knows that its root is what runs
    router.write("/etc/kubernetes/manifests/kube-apiserver.yaml", json.dumps(_static_pod(plane.port)))
    for ours, theirs in (("ca", "ca"), ("kube-apiserver", "apiserver")):
        for part in ("crt", "key"):
            path = f"/etc/kubernetes/pki/{theirs}.{part}"
            router.write(path, (plane.directory / f"{ours}.{part}").read_text())
            os.chmod(router.path(path), 0o600)
    address = f"127.0.0.1:{free_port()}"
    flags = ["--state-dir=/run/state", "--source=/run/none", "--health-address=", f"--metrics-address={address}"]
    inside = ["nsenter", f"--target={router.pid}", "--mount", "--uts", "--", sys.executable, "-m", "nodeagent", "run"]
    log = plane.directory / "agent.log"
    known = "nodeagent_cert_loopback_not_after_timestamp_seconds{"
    agent = Server("agent", [*inside, "--no-rotation", *flags], log, lambda: known in scraped(address))
    agent.start(_PATIENCE)
    try:
        yield address
    finally:
        agent.stop(30.0)


def _static_pod(port: int) -> dict[str, Any]:
    command = ["kube-apiserver", "--bind-address=127.0.0.1", f"--secure-port={port}"]
    metadata = {"name": "kube-apiserver", "namespace": "kube-system"}
    spec = {"containers": [{"name": "kube-apiserver", "command": command}]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


@contextmanager
def _beside_keepalived(router: Router) -> Iterator[str]:
    """The address at which what an agent in a router serves can be had."""
    router.start(agents_config(router, [NOBODY], 100))
    with daemon(router, *UNBOUND, "--metrics-address", _METRICS), _relay(router) as address:
        said(router, lambda: vip_state(router) == "MASTER", "it is MASTER")
        yield address


@contextmanager
def _relay(router: Router) -> Iterator[str]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            page = router.run("curl", "-sf", "--max-time", "5", f"http://{_METRICS}/metrics").encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/openmetrics-text; version=1.0.0; charset=utf-8")
            self.end_headers()
            self.wfile.write(page)

        def log_message(self, *_: object) -> None:
            """Prometheus' own log tells of what fails."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()


# -- the cluster ------------------------------------------------------------------------------------------------------


@contextmanager
def _coordinator(plane: ControlPlane, base: Path, stack: ExitStack) -> Iterator[str]:
    """One process in all roles: two holders of a VIP, a gateway with damage, a request that nobody approves."""
    plane.apply_crds()
    plane.admin.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
    northbound = database(packages.ensured(), _folder(base, "northbound"))
    stack.enter_context(running(northbound))
    furnish(plane)
    _damage(northbound, base)
    for name in ("first", "second"):
        node(plane, name, "192.0.2.100", held=True)
    worker = Worker(plane, f"worker-{secrets.token_hex(4)}")
    worker.register()
    worker.asks(sans=(*worker.sans, "DNS:kube.example"))
    address = f"127.0.0.1:{free_port()}"
    flags = {"metrics-address": address, "egress-northbound": northbound.remote, **_encryption(plane, base)}
    with CoordinatorProcess(plane, base, flags=flags, roles=_ROLES) as process:
        _until_it_tells(address, process)
        yield address


def _encryption(plane: ControlPlane, base: Path) -> dict[str, str]:
    """Have ConfigMaps encrypted at rest; the flags of who does it, on a node of its own."""
    (definition,) = (each for each in manifests("encryption") if each["kind"] == "CustomResourceDefinition")
    plane.admin.apply(definition)
    wanted = {
        "apiVersion": "cluster.alauda.io/v1alpha1",
        "kind": "EtcdEncryptionConfig",
        "metadata": {"name": "default"},
        "spec": {"type": "aesgcm", "rotationInterval": "168h", "resources": ["configmaps"]},
    }
    eventually(lambda: applied(plane, wanted), "it is asked for", 30.0)
    root, kind = _folder(base, "root"), {"apiVersion": "apiserver.config.k8s.io/v1", "kind": "EncryptionConfiguration"}
    plain = {"resources": ["configmaps"], "providers": [{"identity": {}}]}
    (root / "encryption.json").write_text(json.dumps({**kind, "resources": [plain]}))
    where = {"encryption-config": "/encryption.json", "encryption-apiserver": f"127.0.0.1:{plane.port}"}
    return {"root": str(root), "encryption-interval": "1", **where}


def _damage(northbound: Database, base: Path) -> None:
    """A gateway's rows as Kube-OVN has them, but for one."""
    Cluster(northbound, base).program()
    nbctl(northbound, "lr-policy-del", "vpc1", "29090")


def _until_it_tells(address: str, process: CoordinatorProcess) -> None:
    names = ("pool_nodes", "vip_conflicts", "egress_findings", "serving_request_age_seconds", "encryption_phase")
    asked = [f"nodeagent_{name}{{" for name in names]
    try:
        eventually(lambda: all(each in scraped(address) for each in asked), "it leads in all roles", _PATIENCE)
    except AssertionError as error:
        missing = [each for each in asked if each not in scraped(address)]
        raise AssertionError(f"{error}: {missing}\n{process.log[-3000:]}") from None
