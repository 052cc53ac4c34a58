"""All certificates of a real control plane are renewed under its clients' eyes, and put back where that fails."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from tests.kubeadm.agent import AgentPod
from tests.kubeadm.clients import load
from tests.kubeadm.node import KubeadmNode
from tests.kubeadm.renewal import loopback, renew
from tests.unit.certs.authority import Pair, issue

_OURS = {"apiserver-kubelet-client", "apiserver-etcd-client", "front-proxy-client", "apiserver"}


def _inventory(node: KubeadmNode) -> dict[str, Any]:
    done = node.python("-m", "nodeagent", "certs", "list", "-o", "json", check=False)
    found: list[dict[str, Any]] = json.loads(done.stdout)["certificates"]
    return {each["path"]: each for each in found if each["kind"] not in ("ca", "kubeconfig-ca")}


def _digests(node: KubeadmNode) -> dict[str, str]:
    """Every file below /etc/kubernetes, manifests included."""
    top = node.path("/etc/kubernetes")
    return {
        str(path.relative_to(top)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(top.rglob("*"))
        if path.is_file()
    }


def test_everything_is_renewed_twice_and_no_client_notices(node: KubeadmNode) -> None:
    before = _inventory(node)
    with load(node) as told:
        for _ in range(2):  # the second shows that the kube-apiserver's watch over its files has outlived the first
            done = renew(node, "--all")
            assert done["result"] == "applied", done
    assert told["asked"] > 100
    assert told["failed"] == []
    after = _inventory(node)
    renewed = {each["path"] for each in done["renewals"]}
    assert {f"/etc/kubernetes/pki/{name}.crt" for name in _OURS} <= renewed
    assert all(after[path]["serial"] != before[path]["serial"] for path in renewed)
    assert {pod for each in done["renewals"] for pod in each["restarts"]} == {
        "kube-controller-manager",
        "kube-scheduler",
    }
    assert [finding for entry in after.values() for finding in entry["findings"] if finding["severity"] != "info"] == []
    _agrees_with_kubeadm(node, after)
    node.until(lambda: node.get("node", node.name) != {}, "the API server answers the administrator")


def _agrees_with_kubeadm(node: KubeadmNode, inventory: dict[str, Any]) -> None:
    listed = node.run("kubeadm", "certs", "check-expiration", "-o", "json", deadline=120.0).stdout
    theirs = {each["name"]: each["expirationDate"] for each in json.loads(listed)["certificates"]}
    names = {
        each["name"]: each["renewedUntil"]
        for each in json.loads(
            node.python("-m", "nodeagent", "certs", "plan", "--all", "-o", "json", check=False).stdout
        )["renewals"]
    }
    assert theirs.keys() <= names.keys()
    ends = {Path(path).stem: entry["notAfter"] for path, entry in inventory.items()}
    for name in _OURS:
        assert datetime.fromisoformat(ends[name]) == datetime.fromisoformat(theirs[name])


def test_where_nothing_starts_anew_everything_is_put_back(node: KubeadmNode) -> None:
    before = _digests(node)
    node.run("systemctl", "stop", "kubelet.service")
    try:
        done = renew(node, "controller-manager.conf", "front-proxy-client", "--certs-restart-timeout=10s", check=False)
    finally:
        node.run("systemctl", "start", "kubelet.service")
    assert (done["code"], done["result"]) == (1, "undone"), done
    assert "kube-controller-manager has not started anew after 10 s" in done["why"]
    assert _digests(node) == before
    node.until(lambda: node.get("node", node.name) != {}, "the API server answers")
    ready = node.run("curl", "-sk", "https://127.0.0.1:10257/healthz").stdout
    assert ready == "ok"


def test_an_api_server_starts_anew_after_traffic_has_moved_away(node: KubeadmNode) -> None:
    before = loopback(node)
    done = json.loads(node.python("-m", "tests.kubeadm.restart", deadline=300.0).stdout)
    assert done == {
        "result": "applied",
        "why": "",
        "asked": ["a restart of the kube-apiserver", "resume"],
    }
    assert loopback(node) > before
    node.until(lambda: node.get("node", node.name) != {}, "the API server answers")


def test_an_api_server_starts_anew_by_hand_for_its_loopback_certificate(node: KubeadmNode) -> None:
    before = loopback(node)
    done = renew(node, "apiserver-loopback")
    assert (done["result"], done["renewals"], done["restarts"]) == ("applied", [], ["kube-apiserver"])
    assert loopback(node) > before
    node.until(lambda: node.get("node", node.name) != {}, "the API server answers")


def test_the_cluster_signs_what_the_kubelet_serves_and_the_kubelet_takes_it_up(
    node: KubeadmNode, agent: AgentPod
) -> None:
    own = "/var/lib/kubelet/pki/kubelet.crt"
    switch = "NODEAGENT_CERTS_REQUEST_SERVING"
    before = _inventory(node)[own]["serial"]
    node.kubectl("-n", "nodeagent", "set", "env", "daemonset/agent", f"{switch}=true")
    try:
        node.until(lambda: bool(_unsigned(node)), "the node has asked", 300.0)
        node.kubectl("certificate", "approve", *_unsigned(node))
        node.until(lambda: _inventory(node)[own]["serial"] != before, "the certificate is in place", 300.0)
        assert _inventory(node)[own]["chain_ok"] is True
        node.until(lambda: _served_by_kubelet(node) == _inventory(node)[own]["serial"], "it is served", 120.0)
    finally:
        node.kubectl("-n", "nodeagent", "set", "env", "daemonset/agent", f"{switch}-")
        agent.until_ready()


def _unsigned(node: KubeadmNode) -> list[str]:
    """Requests of ours for serving certificates that wait."""
    found = node.get("certificatesigningrequests").get("items", [])
    names = (each["metadata"]["name"] for each in found if not each.get("status"))
    return [name for name in names if name.startswith("nodeagent-serving-")]


def _served_by_kubelet(node: KubeadmNode) -> str:
    probes = json.loads(node.python("-m", "nodeagent", "certs", "probe", "-o", "json", check=False).stdout)["probes"]
    return next(str(each["serial"]) for each in probes if each["component"] == "kubelet")


@pytest.mark.usefixtures("agent")
def test_a_kubelet_whose_client_certificate_has_ended_is_given_another_by_the_daemon(node: KubeadmNode) -> None:
    current = "/var/lib/kubelet/pki/kubelet-client-current.pem"
    broken = _ended(node)
    node.path(f"/var/lib/kubelet/pki/{node.path(current).readlink().name}").write_bytes(broken)
    node.run("systemctl", "restart", "kubelet")
    node.until(lambda: _inventory(node)[current]["findings"] == [], "it is valid again", 180.0)
    since = datetime.now(UTC)
    node.until(lambda: _last_heard(node) > since, "the kubelet is heard of again", 180.0)


def _last_heard(node: KubeadmNode) -> datetime:
    """When the kubelet last renewed its Lease."""
    spec = node.get("lease", node.name, "-n", "kube-node-lease").get("spec", {"renewTime": "1970-01-01T00:00:00Z"})
    return datetime.fromisoformat(spec["renewTime"])


def _ended(node: KubeadmNode) -> bytes:
    """A client certificate of the kubelet's that ended yesterday, and its key."""
    signer = x509.load_pem_x509_certificate(node.path("/etc/kubernetes/pki/ca.crt").read_bytes())
    key = load_pem_private_key(node.path("/etc/kubernetes/pki/ca.key").read_bytes(), None)
    assert isinstance(key, rsa.RSAPrivateKey)
    now, day = datetime.now(UTC), timedelta(days=1)
    pair = issue(
        f"system:node:{node.name}",
        Pair(signer, key),
        organization="system:nodes",
        usages=["clientAuth"],
        begins=now - 366 * day,
        ends=now - day,
    )
    return pair.pem + pair.key_pem
