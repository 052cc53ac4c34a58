"""`nodeagent certs` as an administrator types it; the same input at the same moment gives the same bytes."""

from __future__ import annotations

import datetime
import subprocess
import sys

import pytest

from nodeagent.cli.certstable import residual
from tests.unit.certs.authority import DAY, NOW, Pair, issue, kubeconfig
from tests.unit.cli.conftest import Node

AT = ("--now", "2026-07-01T12:00:00Z")
FIELDS = [
    *("path", "kind", "subject", "issuer", "serial", "notBefore", "notAfter", "sans", "key_type"),
    *("key_match", "chain_ok", "managed_by", "next_renewal", "findings"),
]

HEALTHY = """\
CERTIFICATE   EXPIRES                  RESIDUAL TIME   CERTIFICATE AUTHORITY   MANAGED BY   NEXT RENEWAL
admin.conf    Apr 27, 2027 12:00 UTC   300d            ca                      agent        Feb 13, 2027 12:00 UTC
apiserver     Apr 27, 2027 12:00 UTC   300d            ca                      agent        Feb 13, 2027 12:00 UTC

CERTIFICATE AUTHORITY   EXPIRES                  RESIDUAL TIME   MANAGED BY   SERIAL
ca                      May 25, 2035 12:00 UTC   8y              nobody       1
"""

UNHEALTHY = """\
critical: /etc/kubernetes/pki/apiserver.key: the private key is not that of /etc/kubernetes/pki/apiserver.crt; \
restore the pair, or renew it
warning: /etc/kubernetes/pki/apiserver.key: holds a private key and has mode 0640; \
chmod 0600 /etc/kubernetes/pki/apiserver.key
4 certificates, 2 findings
"""


def put(node: Node, path: str, data: bytes, mode: int = 0o644) -> None:
    target = node.root / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(data)
    target.chmod(mode)


@pytest.fixture
def authority() -> Pair:
    return issue("kubernetes", ca=True, begins=NOW - 402 * DAY, ends=NOW + 3250 * DAY, serial=1)


@pytest.fixture
def cluster(node: Node, authority: Pair) -> Node:
    apiserver = issue("kube-apiserver", authority, sans=("DNS:cp1", "IP:192.0.2.11"), usages=("serverAuth",))
    admin = issue("kubernetes-admin", authority, usages=("clientAuth",))
    put(node, "etc/kubernetes/pki/ca.crt", authority.pem)
    put(node, "etc/kubernetes/pki/ca.key", authority.key_pem, 0o600)
    put(node, "etc/kubernetes/pki/apiserver.crt", apiserver.pem)
    put(node, "etc/kubernetes/pki/apiserver.key", apiserver.key_pem, 0o600)
    put(node, "etc/kubernetes/admin.conf", kubeconfig(admin, authority), 0o600)
    return node


def test_lists_a_healthy_node(cluster: Node) -> None:
    result = cluster("certs", "list", *AT)
    assert (result.out, result.code) == (HEALTHY, 0)
    assert cluster("certs", "list", *AT).out == result.out


def test_lists_for_programs(cluster: Node) -> None:
    result = cluster("certs", "list", "-o", "json", *AT)
    assert [list(each) for each in result.json["certificates"]] == [FIELDS] * 4
    (entry,) = (each for each in result.json["certificates"] if each["path"].endswith("apiserver.crt"))
    assert entry == {
        "path": "/etc/kubernetes/pki/apiserver.crt",
        "kind": "serving",
        "subject": "CN=kube-apiserver",
        "issuer": "CN=kubernetes",
        "serial": "4711",
        "notBefore": "2026-04-27T12:00:00Z",
        "notAfter": "2027-04-27T12:00:00Z",
        "sans": ["DNS:cp1", "IP:192.0.2.11"],
        "key_type": "ECDSA-P256",
        "key_match": True,
        "chain_ok": True,
        "managed_by": "agent",
        "next_renewal": "2027-02-13T12:00:00Z",
        "findings": [],
    }


def test_checks(cluster: Node) -> None:
    result = cluster("certs", "check", *AT)
    assert (result.out, result.code) == ("4 certificates, 0 findings\n", 0)
    put(cluster, "etc/kubernetes/pki/apiserver.key", issue("other").key_pem, 0o640)
    result = cluster("certs", "check", *AT)
    assert (result.out, result.code) == (UNHEALTHY, 3)
    codes = [each["code"] for each in cluster("certs", "check", "-o", "json", *AT).json["findings"]]
    assert codes == ["key-mismatch", "key-permissions"]


def test_the_copies_of_a_software_load_balancer_are_looked_at_too(cluster: Node, authority: Pair) -> None:
    expired = issue("kubernetes-admin", authority, usages=("clientAuth",), ends=NOW - 1 * DAY)
    put(cluster, "etc/keepalived/kubecfg/admin.conf", kubeconfig(expired, authority), 0o600)
    put(cluster, "etc/keepalived/kubecfg/readme", b"nothing of ours")
    found = cluster("certs", "check", "-o", "json", *AT).json["findings"]
    assert {(each["path"], each["code"]) for each in found} == {
        ("/etc/keepalived/kubecfg/admin.conf (user somebody)", "expired")
    }


def test_the_clock_decides(cluster: Node) -> None:
    assert cluster("certs", "check", "--now", "2027-05-01T00:00:00+02:00").code == 3


def test_an_empty_root_is_healthy(node: Node) -> None:
    assert node("certs", "check").code == 0
    assert node("certs", "list").out.startswith("no certificates here")
    assert node("certs", "probe").out.startswith("nothing to ask")


@pytest.mark.parametrize("moment", ["yesterday", "2026-07-01", "2026-07-01T12:00:00", "0001-01-01T00:00:00+14:00"])
def test_a_moment_is_rfc_3339(node: Node, moment: str) -> None:
    result = node("certs", "list", "--now", moment)
    assert result.code == 2
    assert "RFC 3339" in result.err


def test_tells_closed_ports(cluster: Node) -> None:
    put(
        cluster,
        "etc/kubernetes/manifests/s.yaml",
        b"kind: Pod\nmetadata: {name: kube-scheduler}\nspec:\n"
        b"  containers: [{command: [kube-scheduler, --secure-port=1]}]\n",
    )
    result = cluster("certs", "probe")
    assert result.code == 3
    assert "127.0.0.1:1" in result.out
    assert "the port is closed" in result.out
    (answer,) = cluster("certs", "probe", "-o", "json").json["probes"]
    assert (answer["component"], answer["findings"][0]["code"]) == ("kube-scheduler", "not-listening")


def test_a_name_cannot_steer_the_terminal(node: Node) -> None:
    put(node, "srv/a.crt", issue("evil\x1b[31m", begins=NOW - 2 * DAY, ends=NOW - DAY).pem)
    result = node("certs", "check", "--certs-paths", "/srv/*.crt", *AT)
    assert "\\x1b[31m" in result.out
    assert "\x1b" not in result.out


def test_other_commands_do_not_load_what_certificates_need() -> None:
    script = (
        "import sys; from nodeagent.cli.main import parser; parser();"
        "print([name for name in sys.modules if name.startswith(('cryptography', 'nodeagent.certs', 'ssl'))])"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert result.stdout == "[]\n"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-2, "<invalid>"),
        (-1, "0s"),
        (59, "59s"),
        (61, "1m"),
        (7199, "1h"),
        (86400, "1d"),
        (31535999, "364d"),
        (63072000, "2y"),
    ],
)
def test_a_duration_is_shortened_as_kubectl_does(seconds: int, words: str) -> None:
    assert residual(datetime.timedelta(seconds=seconds)) == words


def test_lists_what_cannot_be_read_and_what_the_manifests_are(cluster: Node) -> None:
    put(cluster, "etc/kubernetes/pki/apiserver.crt", b"")
    put(cluster, "etc/kubernetes/manifests/notes.txt", b"- none")
    result = cluster("certs", "list", *AT)
    assert "apiserver     -                        -" in result.out
    assert "critical: /etc/kubernetes/pki/apiserver.crt: is empty" in result.out
    (told,) = cluster("certs", "list", "-o", "json", *AT).json["findings"]
    assert told["code"] == "static-pod-unreadable"


def test_what_is_set_says_whose_files_these_are(cluster: Node) -> None:
    result = cluster("certs", "check", "--node-name", "cp2", "--certs-node-ip", "192.0.2.12", *AT)
    assert "does not name this node: DNS:cp2, IP:192.0.2.12" in result.out
    worker = cluster("certs", "check", "--certs-role", "worker", *AT)
    assert "lies on a worker" in worker.out
