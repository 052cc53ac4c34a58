"""The fixture is what the other tests take it for."""

from __future__ import annotations

import base64
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import psutil
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.cluster.client import ApiError
from tests.cluster.controlplane import ControlPlane, eventually
from tests.controlplane import binaries

_NODES = "/api/v1/nodes"
_CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"


def _node(name: str) -> dict[str, object]:
    return {"metadata": {"name": name}}


def _whoami(control_plane: ControlPlane, token: str) -> dict[str, list[str]]:
    review = control_plane.client_with_token(token).create("/apis/authentication.k8s.io/v1/selfsubjectreviews", {})
    extra: dict[str, list[str]] = review["status"]["userInfo"]["extra"]
    return extra


def test_objects_survive_a_restart_and_a_kill_of_the_server(own_control_plane: ControlPlane) -> None:
    created = own_control_plane.admin.create(_NODES, _node("a"))
    own_control_plane.apiserver.restart()
    own_control_plane.apiserver.kill()
    with pytest.raises(ConnectionRefusedError):
        own_control_plane.admin.get(f"{_NODES}/a")
    own_control_plane.apiserver.start()
    assert own_control_plane.admin.get(f"{_NODES}/a")["metadata"]["uid"] == created["metadata"]["uid"]


def test_a_kill_of_etcd_is_survived(own_control_plane: ControlPlane) -> None:
    own_control_plane.admin.create(_NODES, _node("a"))
    own_control_plane.etcd.kill()
    own_control_plane.etcd.start()
    eventually(lambda: _has_two_nodes(own_control_plane), "the API server writes again")


def _has_two_nodes(control_plane: ControlPlane) -> bool:
    try:
        control_plane.admin.create(_NODES, _node("b"))
    except ApiError as error:
        if error.reason != "AlreadyExists":
            return False
    return [node["metadata"]["name"] for node in control_plane.admin.list(_NODES)] == ["a", "b"]


def test_a_kubelet_may_write_its_own_node_and_no_other(control_plane: ControlPlane) -> None:
    for name in ("own", "other"):
        control_plane.admin.create(_NODES, _node(name))
    kubelet = control_plane.client("system:node:own", ["system:nodes"])
    annotated = kubelet.patch(f"{_NODES}/own", {"metadata": {"annotations": {"a.test/b": "c"}}}, "strategic")
    assert annotated["metadata"]["annotations"]["a.test/b"] == "c"
    with pytest.raises(ApiError, match=r"403 Forbidden.*not allowed to modify node"):
        kubelet.patch(f"{_NODES}/other", {"metadata": {"annotations": {"a.test/b": "c"}}}, "strategic")


def test_an_unknown_identity_may_nothing(control_plane: ControlPlane) -> None:
    with pytest.raises(ApiError, match=r'403 Forbidden.*User "nobody" cannot list'):
        control_plane.client("nobody").list(_NODES)
    with pytest.raises(ApiError, match="401 Unauthorized"):
        control_plane.client_with_token("none").list(_NODES)


def test_a_token_names_the_node_that_its_pod_runs_on(control_plane: ControlPlane) -> None:
    bound = control_plane.service_account_token("tokens", "agent", node="a-node")
    assert _whoami(control_plane, bound)["authentication.kubernetes.io/node-name"] == ["a-node"]
    unbound = control_plane.service_account_token("tokens", "agent")
    assert "authentication.kubernetes.io/node-name" not in _whoami(control_plane, unbound)


def test_an_admission_policy_is_in_force(control_plane: ControlPlane) -> None:
    group = "admissionregistration.k8s.io/v1"
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"], "operations": ["CREATE"]}
    policy = {
        "matchConstraints": {"resourceRules": [rule]},
        "validations": [{"expression": "object.metadata.name != 'denied'", "message": "not this name"}],
    }
    binding = {"policyName": "names.test", "validationActions": ["Deny"]}
    for kind, spec in (("ValidatingAdmissionPolicy", policy), ("ValidatingAdmissionPolicyBinding", binding)):
        control_plane.admin.apply({"apiVersion": group, "kind": kind, "metadata": {"name": "names.test"}, "spec": spec})
    eventually(lambda: _is_denied(control_plane), "the policy denies")


def _is_denied(control_plane: ControlPlane) -> bool:
    try:
        control_plane.admin.create(f"{_CONFIG_MAPS}?dryRun=All", {"metadata": {"name": "denied"}})
    except ApiError as error:
        return "not this name" in error.message
    return False


def test_a_kubeconfig_is_the_identity_that_it_was_made_for(control_plane: ControlPlane) -> None:
    kubectl = binaries.ensured().path("kubectl")
    config = control_plane.kubeconfig("system:node:some", ["system:nodes"])
    answer = subprocess.run(
        [kubectl, "--kubeconfig", config, "auth", "whoami", "--output=jsonpath={.status.userInfo.username}"],
        env={"HOME": str(control_plane.directory)},
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    assert answer.stdout == "system:node:some"


def test_the_controllers_sign_what_a_kubelet_asks_for(controllers: ControlPlane) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    attributes = [
        x509.NameAttribute(NameOID.ORGANIZATION_NAME, "system:nodes"),
        x509.NameAttribute(NameOID.COMMON_NAME, "system:node:signed"),
    ]
    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name(attributes)).sign(key, hashes.SHA256())
    spec = {
        "request": base64.b64encode(request.public_bytes(serialization.Encoding.PEM)).decode(),
        "signerName": "kubernetes.io/kube-apiserver-client-kubelet",
        "usages": ["digital signature", "client auth"],
    }
    requests = "/apis/certificates.k8s.io/v1/certificatesigningrequests"
    controllers.admin.create(requests, {"metadata": {"name": "signed"}, "spec": spec})
    eventually(lambda: _is_approved(controllers, f"{requests}/signed"), "it is approved, by us or by the controllers")
    eventually(lambda: "certificate" in controllers.admin.get(f"{requests}/signed")["status"], "it is signed")
    pem = base64.b64decode(controllers.admin.get(f"{requests}/signed")["status"]["certificate"])
    assert x509.load_pem_x509_certificate(pem).public_key() == key.public_key()


def _is_approved(plane: ControlPlane, path: str) -> bool:
    """Approve it as it stands now; False if somebody else has just changed it."""
    found = plane.admin.get(path)
    if found["status"].get("conditions"):
        return True
    found["status"] = {"conditions": [{"type": "Approved", "status": "True", "reason": "Test", "message": "by a test"}]}
    try:
        plane.admin.replace(f"{path}/approval", found)
    except ApiError as error:
        if error.status != 409:
            raise
        return False
    return True


def test_no_server_outlives_a_run_that_is_killed(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    program = f"""
        import pathlib, threading, time
        from tests.cluster.process import Server
        pids = pathlib.Path({str(pids)!r})
        server = Server("sleep", ["sleep", "60"], pids.with_name("log"), lambda: True)
        starter = threading.Thread(target=server.start)
        starter.start()
        starter.join()
        time.sleep(0.2)  # had it been this thread's child, it would be gone now
        assert server._process.poll() is None
        pids.with_suffix(".new").write_text(str(server.pid))
        pids.with_suffix(".new").rename(pids)
        time.sleep(60)
    """
    run = subprocess.Popen([sys.executable, "-c", textwrap.dedent(program)])
    try:
        eventually(pids.exists, "the run has started its server")
    finally:
        run.kill()
        run.wait()
    eventually(lambda: _is_gone(int(pids.read_text())), "its server is gone")


def _is_gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_a_server_that_cannot_start_says_why_in_time(own_control_plane: ControlPlane) -> None:
    own_control_plane.apiserver.stop()
    (own_control_plane.directory / "kube-apiserver.crt").write_text("no certificate")
    began = time.monotonic()
    with pytest.raises(RuntimeError, match=r"kube-apiserver exited with code 1(.|\n)*failed to find any PEM data"):
        own_control_plane.apiserver.start()
    assert time.monotonic() - began < 10
