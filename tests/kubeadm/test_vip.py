"""A VIP before two real kube-apiservers: the certificates of one are renewed, and its clients go on.

The kubeadm node and a router share a network, each with keepalived, the daemon and an API server; both servers work on
the node's etcd. The client asks for the VIP every 5 ms, each time over a new connection.
"""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest
import yaml

from tests.capabilities import require
from tests.controlplane import binaries
from tests.fabric.agents import agents_config, daemon, eventually, state
from tests.fabric.load import Load, load
from tests.fabric.network import VIP, Router, config, network, until
from tests.kubeadm.agent import AgentPod
from tests.kubeadm.node import KubeadmNode
from tests.kubeadm.renewal import loopback, renew
from tests.kubeadm.supervisor import NODE

_PORT = 443
_ENDPOINT = f"127.0.0.1:{_PORT}"
_PKI = "/etc/kubernetes/pki"


@dataclass(frozen=True)
class _Place:
    name: str
    address: str


@dataclass
class Pair:
    """The node, which has the VIP while it is well, the router that takes it else, and a client."""

    node: KubeadmNode
    peer: Router
    client: Router

    def holds(self) -> bool:
        """Whether the node has the VIP."""
        return f" {VIP}/" in self.node.run("ip", "-o", "addr", "show", "dev", "node0").stdout


@pytest.fixture
def pair(node: KubeadmNode, agent: AgentPod) -> Iterator[Pair]:
    require("keepalived", "nsenter", "ip")
    with network(2) as (peer, client), _asked_at_its_port(node, agent), _keepalived(node, peer), _server(node, peer):
        peer.start(agents_config(peer, [NODE], 100))
        with daemon(peer, "--vip-endpoint", _ENDPOINT, "--vip-etcd", ""):
            eventually(peer, lambda: state(peer) == "BACKUP", "the peer follows")
            found = Pair(node, peer, client)
            node.until(lambda: found.holds() and _health(node) == "0", "the node has the VIP, and is well")
            yield found


@contextmanager
def _asked_at_its_port(node: KubeadmNode, agent: AgentPod) -> Iterator[None]:
    """The agent looks after the API server where this one listens."""
    variable = "NODEAGENT_VIP_ENDPOINT"
    node.kubectl("-n", "nodeagent", "set", "env", "daemonset/agent", f"{variable}={_ENDPOINT}")
    try:
        yield
    finally:
        node.kubectl("-n", "nodeagent", "set", "env", "daemonset/agent", f"{variable}-")
        agent.until_ready()


@contextmanager
def _keepalived(node: KubeadmNode, peer: Router) -> Iterator[None]:
    """The node's own service, in a network with the peer."""
    peer.plug(node.pid, "node0")
    text = config(_Place(node.name, NODE), [peer.address], priority=150, interface="node0")
    node.write("/etc/keepalived/keepalived.conf", text.replace("/run/keepalived/vrrp", "/run/nodeagent/vrrp"))
    node.run("systemctl", "start", "keepalived.service")
    try:
        yield
    finally:
        node.run("systemctl", "stop", "keepalived.service")


@contextmanager
def _server(node: KubeadmNode, peer: Router) -> Iterator[None]:
    """A second kube-apiserver, as the manifest of the first has it, on the first one's etcd."""
    shutil.copytree(node.path(_PKI), peer.path("/run/pki"))
    (container,) = yaml.safe_load(node.read("/etc/kubernetes/manifests/kube-apiserver.yaml"))["spec"]["containers"]
    told = {"--advertise-address": peer.address, "--etcd-servers": f"https://{NODE}:2379"}
    named = dict(each.partition("=")[::2] for each in container["command"][1:])
    arguments = [f"{name}={value.replace(_PKI, '/run/pki')}" for name, value in (named | told).items()]
    program = str(binaries.ensured().path("kube-apiserver"))
    with open(peer.path("/run/apiserver.log"), "wb") as log:
        process = subprocess.Popen(peer.inside(program, *arguments), stdout=log, stderr=log)
    try:
        until(lambda: _is_ready(peer), "the second server is ready", 120.0)
        yield
    finally:
        process.terminate()
        try:
            process.wait(30.0)
        finally:
            process.kill()
            process.wait(10.0)


def _is_ready(peer: Router) -> bool:
    answer = subprocess.run(
        peer.inside("curl", "-sk", "--max-time", "5", f"https://{_ENDPOINT}/readyz"),
        check=False,
        capture_output=True,
        timeout=30,
    )
    return answer.stdout == b"ok"


def _health(node: KubeadmNode) -> str:
    """The number that keepalived tracks."""
    path = node.path("/run/nodeagent/vip-health")
    return path.read_text().strip() if path.exists() else ""


def test_no_request_fails_while_certificates_are_renewed_but_for_the_two_moves_of_the_vip(pair: Pair) -> None:
    before = loopback(pair.node)
    with load(pair.client, VIP, _PORT, 0.005) as counted:
        done = renew(pair.node, "--all")
        assert done["result"] == "applied", done
        assert pair.holds()  # nothing restarts that clients notice, so it stays
        renewed = renew(pair.node, "apiserver-loopback", NODEAGENT_VIP_ENDPOINT=_ENDPOINT)
        moved = pair.peer.holds()
        pair.node.until(pair.holds, "the VIP comes back", 120.0)
        until(lambda: not pair.peer.holds(), "the peer has let go", 30.0)
        time.sleep(2.0)
    assert renewed["result"] == "applied", renewed
    assert loopback(pair.node) > before
    assert moved
    assert counted.requests > 500, _said(counted)
    assert len(counted.failures) <= 2, _said(counted)  # one for each time that it moves


def _said(counted: Load) -> str:
    return f"{len(counted.failures)} of {counted.requests} failed: {counted.failures[:5]}"
