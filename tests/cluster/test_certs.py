"""Certificates of the real thing: what kubeadm makes, and what the real servers serve.

Our list says of kubeadm's files what `kubeadm certs check-expiration` says.
"""

from __future__ import annotations

import datetime
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from nodeagent.certs.case import DEFAULT_POLICY
from nodeagent.certs.catalog import KUBEADM_NAMES, PKI, Manager
from nodeagent.certs.inventory import Entry
from nodeagent.certs.served import Answer, ask, targets
from nodeagent.host.probe import TlsProbe
from tests.capabilities import require
from tests.cluster.controlplane import ControlPlane
from tests.controlplane import binaries
from tests.unit.certs.scratch import Scratch

_SECONDS = 120
_CONFIG = """\
apiVersion: kubeadm.k8s.io/v1beta4
kind: InitConfiguration
nodeRegistration: {{name: cp1}}
localAPIEndpoint: {{advertiseAddress: 192.0.2.11}}
---
apiVersion: kubeadm.k8s.io/v1beta4
kind: ClusterConfiguration
kubernetesVersion: v1.34.4
encryptionAlgorithm: {algorithm}
certificatesDir: {kubernetes}/pki
"""


def kubeadm(*arguments: str | Path) -> str:
    """What kubeadm prints; it is told every directory, and asks no cluster."""
    command = [binaries.ensured().path("kubeadm"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=_SECONDS).stdout


@pytest.fixture(params=["RSA-2048", "ECDSA-P256"])
def made(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A root directory with everything that kubeadm makes for a first control-plane node."""
    require("control-plane", "kube-controller-manager")
    kubernetes, config = tmp_path / "root/etc/kubernetes", tmp_path / "kubeadm.yaml"
    kubernetes.mkdir(parents=True)
    config.write_text(_CONFIG.format(algorithm=request.param, kubernetes=kubernetes))
    kubeadm("init", "phase", "certs", "all", "--config", config)
    kubeadm("init", "phase", "kubeconfig", "all", "--config", config, "--kubeconfig-dir", kubernetes)
    return tmp_path / "root"


def test_our_list_agrees_with_kubeadm(made: Path) -> None:
    scratch = Scratch(made, now=datetime.datetime.now(datetime.UTC), name="cp1", address="192.0.2.11")
    with scratch.tree:
        found = scratch.inventory()
    assert found.findings == ()
    ours = {entry.name: entry for entry in found.entries if entry.kind != "kubeconfig-ca"}
    assert set(ours) == KUBEADM_NAMES | {"kubelet.conf"}
    assert all(entry.key_match and entry.chain_ok for entry in ours.values())
    theirs = json.loads(kubeadm("certs", "check-expiration", "--cert-dir", made / "etc/kubernetes/pki", "-o", "json"))
    told = [each for each in (*theirs["certificates"], *theirs["certificateAuthorities"]) if not each["missing"]]
    assert len(told) == 10  # the kubeconfigs are looked for in the real /etc/kubernetes
    assert [facts(each) for each in told] == [of_entry(ours[each["name"]]) for each in told]


def facts(theirs: dict[str, Any]) -> tuple[str, str, bool]:
    return theirs["name"], theirs["expirationDate"], theirs["externallyManaged"]


def of_entry(entry: Entry) -> tuple[str, str, bool]:
    return entry.name, entry.facts()["notAfter"], entry.manager is Manager.EXTERNAL_CA


def probed(control_plane: ControlPlane, scratch: Scratch) -> list[Answer]:
    """What the real API server says for its loopback name and by default, as of its manifest in `scratch`."""
    scratch.manifest("kube-apiserver", "--bind-address=127.0.0.1", f"--secure-port={control_plane.port}")
    with scratch.tree:
        found = scratch.survey()
        return list(ask(targets(found), TlsProbe(10.0), found, datetime.datetime.now(datetime.UTC), DEFAULT_POLICY))


def test_the_loopback_certificate_of_a_real_server_is_seen(control_plane: ControlPlane, tmp_path: Path) -> None:
    serving = (control_plane.directory / "kube-apiserver.crt").read_bytes()
    scratch = Scratch(tmp_path)
    scratch.write(f"{PKI}/apiserver.crt", serving, 0o644)
    loopback, served = probed(control_plane, scratch)
    assert (loopback.findings, served.findings) == ((), ())
    assert loopback.certificate is not None
    assert loopback.certificate.common_name.startswith("apiserver-loopback-client@")
    assert loopback.certificate.lifetime.days >= 365


def test_a_file_that_a_real_server_does_not_serve_is_told(control_plane: ControlPlane, tmp_path: Path) -> None:
    scratch = Scratch(tmp_path)
    scratch.write(f"{PKI}/apiserver.crt", control_plane.ca_file.read_bytes(), 0o644)
    _, served = probed(control_plane, scratch)
    assert [each.code for each in served.findings] == ["served-differs"]
