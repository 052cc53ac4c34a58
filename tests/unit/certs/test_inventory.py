"""Each thing that goes wrong with certificates on real nodes is found, and nothing else."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Sequence

import pytest

from nodeagent.certs.catalog import KUBELET, KUBELET_CLIENT, KUBELET_CONF, PKI
from nodeagent.certs.identity import Role
from tests.unit.certs.authority import DAY, NOW, cluster_ca, issue, kubeconfig, rsa_key
from tests.unit.certs.scratch import Scratch

APISERVER = f"{PKI}/apiserver.crt"
_SHA256_WITH_RSA, _SHA1_WITH_RSA = (bytes.fromhex(f"2a864886f70d0101{last}") for last in ("0b", "05"))  # RFC 8017
SERVER, CLIENT = ("serverAuth",), ("clientAuth",)


def kubelet_client(node: Scratch, begins: int = -10, ends: int = 81, file: str = "kubelet-client-2026.pem") -> None:
    pair = issue(
        "system:node:cp1",
        cluster_ca(),
        organization="system:nodes",
        usages=CLIENT,
        begins=NOW + begins * DAY,
        ends=NOW + ends * DAY,
        serial=abs(begins) + 1,
    )
    node.write(f"{KUBELET}/{file}", pair.pem + pair.key_pem)
    link = node.root / KUBELET_CLIENT[1:]
    link.unlink(missing_ok=True)
    link.symlink_to(f"{KUBELET}/{file}")


def test_a_healthy_node_has_no_findings(node: Scratch) -> None:
    ca = node.with_ca()
    node.pair("apiserver", issue("kube-apiserver", ca, usages=SERVER, sans=("DNS:cp1",)))
    kubelet_client(node)
    admin = issue("kubernetes-admin", ca, organization="kubeadm:cluster-admins", usages=CLIENT)
    node.write("/etc/kubernetes/admin.conf", kubeconfig(admin, ca))
    node.manifest("kube-apiserver")
    found = node.inventory()
    assert found.findings == ()
    assert {entry.name: (str(entry.manager), entry.chain_ok, entry.key_match) for entry in found.entries} == {
        "ca": ("nobody", True, True),
        "apiserver": ("agent", True, True),
        "kubelet-client": ("kubelet", True, True),
        "admin.conf": ("nobody", True, None),  # the last entry of that name: its copy of the CA
    }


@pytest.mark.parametrize(
    ("ends", "codes"),
    [
        (73, {}),
        (60, {"renewal-due": "info"}),
        (30, {"expiring": "warning"}),
        (10, {"expiring": "high"}),
        (-1, {"expired": "critical"}),
    ],
)
def test_the_end_of_a_certificate_is_told_in_time(node: Scratch, ends: int, codes: dict[str, str]) -> None:
    ca = node.with_ca()
    node.pair("apiserver", issue("kube-apiserver", ca, begins=NOW + (ends - 365) * DAY, ends=NOW + ends * DAY))
    assert node.codes(APISERVER) == codes


def test_short_lived_certificates_are_no_alarm_while_fresh(node: Scratch) -> None:
    ca = node.with_ca()
    node.pair("apiserver", issue("kube-apiserver", ca, begins=NOW, ends=NOW + 5 * DAY))
    assert node.codes(APISERVER) == {}


@pytest.mark.parametrize(("ends", "severity"), [(366, ""), (300, "warning"), (20, "high")])
def test_the_end_of_a_ca_is_told_a_year_before(node: Scratch, ends: int, severity: str) -> None:
    node.pair("ca", issue("kubernetes", ca=True, begins=NOW + (ends - 3650) * DAY, ends=NOW + ends * DAY))
    assert node.codes("ca.crt").get("ca-expiring", "") == severity


def test_a_leaf_of_another_ca_is_no_leaf_of_ours(node: Scratch) -> None:
    node.with_ca()
    node.pair("apiserver", issue("kube-apiserver", issue("kubernetes", ca=True)))
    assert node.codes(APISERVER)["chain-broken"] == "critical"
    assert node.entry(APISERVER).chain_ok is False


def test_what_an_expired_ca_has_signed_is_not_trusted(node: Scratch) -> None:
    old = issue("kubernetes", ca=True, begins=NOW - 3650 * DAY, ends=NOW - DAY)
    node.pair("ca", old)
    node.pair("apiserver", issue("kube-apiserver", old))
    assert node.codes() == {"expired": "critical", "chain-broken": "critical"}


def test_a_renewed_ca_with_the_same_key_counts_beside_its_expired_self(node: Scratch) -> None:
    old = issue("kubernetes", ca=True, begins=NOW - 3650 * DAY, ends=NOW - DAY)
    new = issue("kubernetes", ca=True, begins=NOW - 30 * DAY, ends=NOW + 3620 * DAY, key=old.key)
    node.pair("ca", old)
    node.write(f"{PKI}/ca.crt", old.pem + new.pem, 0o644)
    node.pair("apiserver", issue("kube-apiserver", old))
    assert node.codes(APISERVER) == {}


def test_a_leaf_that_outlives_its_ca_is_information(node: Scratch) -> None:
    ca = issue("kubernetes", ca=True, begins=NOW - 100 * DAY, ends=NOW + 200 * DAY)
    node.pair("ca", ca)
    node.pair("apiserver", issue("kube-apiserver", ca))
    assert node.codes(APISERVER) == {"outlives-ca": "info"}


def test_a_ca_file_without_a_ca_is_found(node: Scratch) -> None:
    node.pair("ca", issue("kubernetes", begins=NOW - DAY, ends=NOW + 3000 * DAY))
    node.pair("apiserver", issue("kube-apiserver"))
    assert node.codes() == {"not-a-ca": "high", "chain-broken": "critical"}


def test_a_weak_signature_is_found(node: Scratch) -> None:
    leaf = issue("kube-apiserver", issue("kubernetes", ca=True, key=rsa_key()))
    node.write(APISERVER, leaf.der.replace(_SHA256_WITH_RSA, _SHA1_WITH_RSA), 0o644)
    assert node.codes(APISERVER)["weak-signature"] == "high"


@pytest.mark.parametrize(("hours", "words"), [(49, "in 2 days"), (5, "in 5 h"), (1, "in 60 min")])
def test_the_time_left_is_told_in_a_word(node: Scratch, hours: int, words: str) -> None:
    ends = NOW + hours * DAY / 24
    node.pair("apiserver", issue("kube-apiserver", node.with_ca(), begins=ends - 365 * DAY, ends=ends))
    (told,) = node.entry(APISERVER).findings
    assert words in told.message


def test_a_chain_leads_through_an_intermediate(node: Scratch) -> None:
    ca = node.with_ca()
    intermediate = issue("intermediate", ca, ca=True)
    leaf = issue("kube-apiserver", intermediate)
    node.pair("apiserver", leaf)
    assert node.entry(APISERVER).chain_ok is False
    node.write(APISERVER, leaf.pem + intermediate.pem, 0o644)
    entries = [each for each in node.inventory().entries if each.path == APISERVER]
    assert [(each.kind, each.chain_ok, each.issuer_path) for each in entries] == [
        ("serving", True, f"{PKI}/ca.crt"),
        ("chain", True, f"{PKI}/ca.crt"),
    ]


def test_without_a_ca_nobody_can_tell(node: Scratch) -> None:
    node.pair("apiserver", issue("kube-apiserver", cluster_ca()))
    entry = node.entry(APISERVER)
    assert (entry.chain_ok, entry.manager, [each.code for each in entry.findings]) == (None, "nobody", ["ca-missing"])


def test_without_the_key_of_the_ca_others_renew(node: Scratch) -> None:
    node.write(f"{PKI}/ca.crt", cluster_ca().pem, 0o644)
    node.pair("apiserver", issue("kube-apiserver", cluster_ca()))
    entry = node.entry(APISERVER)
    assert (entry.manager, entry.next_renewal) == ("external-ca", None)
    assert node.codes() == {"external-ca": "info"}


@pytest.mark.parametrize(("key", "code"), [(issue("a").key_pem, "key-mismatch"), (b"rubbish", "key-unreadable")])
def test_with_a_wrong_key_of_the_ca_nobody_renews(node: Scratch, key: bytes, code: str) -> None:
    node.with_ca()
    node.write(f"{PKI}/ca.key", key)
    node.pair("apiserver", issue("kube-apiserver", cluster_ca()))
    assert node.entry(APISERVER).manager == "nobody"
    assert node.codes() == {code: "critical"}


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "empty"),
        (b"no certificate at all", "no-certificate"),
        (b"\x30\x82 no DER either", "garbage"),
        (issue("a").pem[:200], "garbage"),
        (b"-----BEGIN X509 CRL-----\nMIIB\n-----END X509 CRL-----\n", "no-certificate"),
        (b"x" * ((4 << 20) + 1), "unreadable"),
    ],
    ids=["empty", "text", "binary", "cut off", "revocation list", "huge"],
)
def test_garbage_is_a_finding(node: Scratch, data: bytes, code: str) -> None:
    node.write(APISERVER, data, 0o644)
    entry = node.entry(APISERVER)
    assert (entry.certificate, [each.code for each in entry.findings]) == (None, [code])


@pytest.mark.parametrize(
    ("data", "mode", "code"),
    [
        (None, 0o600, "key-missing"),
        (b"rubbish", 0o600, "key-unreadable"),
        (issue("other").key_pem, 0o600, "key-mismatch"),
        (issue("other").key_pem, 0o644, "key-permissions"),
    ],
)
def test_the_key_is_looked_at(node: Scratch, data: bytes | None, mode: int, code: str) -> None:
    node.pair("apiserver", issue("kube-apiserver", node.with_ca()))
    key = node.root / f"{PKI}/apiserver.key".lstrip("/")
    key.unlink()
    if data is not None:
        node.write(f"{PKI}/apiserver.key", data, mode)
    assert code in node.codes("apiserver.key")


def test_a_key_without_its_certificate_is_found(node: Scratch) -> None:
    node.write(f"{PKI}/apiserver.key", issue("a").key_pem)
    assert node.codes(APISERVER) == {"certificate-missing": "high"}


def test_others_must_not_write_a_certificate(node: Scratch) -> None:
    node.pair("apiserver", issue("kube-apiserver", node.with_ca()))
    (node.root / APISERVER[1:]).chmod(0o666)
    assert node.codes(APISERVER) == {"file-permissions": "high"}


def test_a_backup_as_a_hard_link_is_found(node: Scratch) -> None:
    node.pair("apiserver", issue("kube-apiserver", node.with_ca()))
    os.link(node.root / APISERVER[1:], node.root / "backup")
    assert node.codes(APISERVER) == {"hard-linked": "warning"}


@pytest.mark.parametrize(("usages", "codes"), [((), {}), (SERVER, {}), (CLIENT, {"usage-missing": "critical"})])
def test_the_usage_must_fit(node: Scratch, usages: Sequence[str], codes: dict[str, str]) -> None:
    node.pair("apiserver", issue("kube-apiserver", node.with_ca(), usages=usages))
    assert node.codes(APISERVER) == codes


def test_a_ca_key_on_a_worker_is_told_and_never_used(node: Scratch) -> None:
    node.with_ca()
    kubelet_client(node)
    assert node.codes() == {"ca-key-on-worker": "critical"}
    node.role = Role.CONTROL_PLANE
    assert node.codes() == {}


# -- etcd and addresses -----------------------------------------------------------------------------------------------


def test_the_address_is_taken_from_the_manifest(node: Scratch) -> None:
    etcd = issue("etcd-ca", ca=True, begins=NOW - 400 * DAY, ends=NOW + 3250 * DAY)
    node.pair("etcd/ca", etcd)
    node.pair("etcd/peer", issue("cp1", etcd, sans=("DNS:cp1", "IP:192.0.2.11")))
    kubelet_client(node)
    node.manifest("etcd", "--initial-advertise-peer-urls=https://192.0.2.12:2380")
    (told,) = (each for each in node.inventory().findings if each.code == "san-missing-own-address")
    assert (told.missing, told.severity) == (("IP:192.0.2.12",), "critical")


# -- kubelet ----------------------------------------------------------------------------------------------------------


def test_a_broken_link_of_the_kubelet_is_found(node: Scratch) -> None:
    kubelet_client(node)
    (node.root / f"{KUBELET}/kubelet-client-2026.pem"[1:]).unlink()
    assert node.codes(KUBELET_CLIENT) == {"link-broken": "critical"}


def test_a_regular_file_in_place_of_the_link_is_found(node: Scratch) -> None:
    pair = issue("system:node:cp1", cluster_ca(), organization="system:nodes", usages=CLIENT)
    node.write(f"{PKI}/ca.crt", cluster_ca().pem, 0o644)
    node.write(KUBELET_CLIENT, pair.pem + pair.key_pem)
    assert node.codes(KUBELET_CLIENT) == {"kubelet-current-no-link": "high"}


@pytest.mark.parametrize(
    ("ends", "codes"),
    [
        (81, {}),
        (10, {}),  # at 89 % of 91 days the kubelet may still be within its own time
        (5, {"kubelet-rotation-overdue": "high"}),
        (-1, {"expired": "critical"}),
    ],
)
def test_the_kubelet_is_left_its_time(node: Scratch, ends: int, codes: dict[str, str]) -> None:
    node.write(f"{PKI}/ca.crt", cluster_ca().pem, 0o644)
    kubelet_client(node, ends - 91, ends)
    assert node.codes(KUBELET_CLIENT) == codes
    assert node.entry(KUBELET_CLIENT).due is bool(codes)


@pytest.mark.parametrize(("ends", "severity"), [(200, "warning"), (-5, "critical")])
def test_a_stale_kubelet_conf_is_found(node: Scratch, ends: int, severity: str) -> None:
    ca = cluster_ca()
    node.write(f"{PKI}/ca.crt", ca.pem, 0o644)
    kubelet_client(node)
    old = issue("system:node:cp1", ca, usages=CLIENT, begins=NOW + (ends - 365) * DAY, ends=NOW + ends * DAY)
    node.write(KUBELET_CONF, kubeconfig(old, ca))
    assert node.codes(KUBELET_CONF)["kubelet-conf-stale"] == severity


def test_a_self_signed_serving_certificate_is_information_until_it_ends(node: Scratch) -> None:
    pair = issue("cp1@1751371200", usages=SERVER)
    node.write(f"{KUBELET}/kubelet.crt", pair.pem, 0o644)
    node.write(f"{KUBELET}/kubelet.key", pair.key_pem)
    assert node.codes() == {"kubelet-self-signed": "info"}
    node.now = pair.facts.not_after + DAY
    assert node.codes()["expired"] == "critical"


# -- kubeconfigs ------------------------------------------------------------------------------------------------------


def test_a_kubeconfig_by_reference_leads_to_its_files(node: Scratch) -> None:
    pair = issue("me", cluster_ca(), usages=CLIENT)
    node.write(f"{PKI}/ca.crt", cluster_ca().pem, 0o644)
    node.write("/root/.kube/me.crt", pair.pem, 0o644)
    node.write("/root/.kube/me.key", pair.key_pem)
    node.write(
        "/root/.kube/config",
        "clusters: [{name: c, cluster: {certificate-authority: ../../etc/kubernetes/pki/ca.crt}}]\n"
        "users: [{name: me, user: {client-certificate: me.crt, client-key: me.key}}]",
    )
    entry = node.entry("/root/.kube/me.crt")
    assert (entry.chain_ok, entry.key_match, entry.findings) == (True, True, ())
    assert node.codes() == {}


def test_a_kubeconfig_may_embed_one_and_name_the_other(node: Scratch) -> None:
    pair = issue("me", cluster_ca(), usages=CLIENT)
    node.write("/root/.kube/me.key", pair.key_pem, 0o644)
    embedded = base64.b64encode(pair.pem).decode()
    node.write(
        "/root/.kube/config",
        f"users: [{{name: me, user: {{client-certificate-data: {embedded}, client-key: me.key}}}}]",
    )
    assert node.entry("/root/.kube/config").key_match is True
    assert node.codes("me.key") == {"key-permissions": "critical"}


def test_a_kubeconfig_that_refers_to_nothing_is_found(node: Scratch) -> None:
    node.write(KUBELET_CONF, f"users: [{{name: me, user: {{client-certificate: {KUBELET_CLIENT}}}}}]")
    assert node.codes(KUBELET_CLIENT)["certificate-missing"] == "high"


def test_a_kubeconfig_with_an_old_ca_is_found(node: Scratch) -> None:
    ca = node.with_ca()
    node.write("/etc/kubernetes/admin.conf", kubeconfig(issue("me", ca, usages=CLIENT), issue("kubernetes", ca=True)))
    assert node.codes("admin.conf") == {"kubeconfig-stale-ca": "high"}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "users: 7",
        "users: [7]",
        "users: [{name: a, user: {client-certificate-data: '!'}}]",
        "\t{",
        "\0",
        "users: [{name: a, user: {client-certificate: 7}}]",
    ],
)
def test_a_kubeconfig_that_is_none_is_a_finding_or_nothing(node: Scratch, text: str) -> None:
    node.write("/etc/kubernetes/admin.conf", text)
    codes = node.codes()
    assert set(codes) <= {"garbage", "no-certificate", "empty"}
    assert codes


def test_a_kubeconfig_that_everybody_reads_is_found(node: Scratch) -> None:
    ca = node.with_ca()
    path = "/etc/kubernetes/admin.conf"
    node.write(path, kubeconfig(issue("me", ca, usages=CLIENT), ca), 0o644)
    assert node.codes(path) == {"key-permissions": "critical"}


def test_data_that_is_no_base64_is_not_quoted(node: Scratch) -> None:
    secret = base64.b64encode(issue("me").key_pem).decode()[:-7] + "?"
    node.write("/etc/kubernetes/admin.conf", f"users: [{{name: a, user: {{client-key-data: '{secret}'}}}}]")
    told = [str(each) for each in node.inventory().findings]
    assert told
    assert not any(secret[:12] in each for each in told)


# -- manifests --------------------------------------------------------------------------------------------------------


def test_a_backup_among_the_manifests_is_a_second_pod(node: Scratch) -> None:
    node.manifest("etcd")
    node.manifest("etcd", file=".etcd.yaml.swp")
    assert node.codes() == {}
    node.manifest("etcd", file="etcd.yaml.bak")
    told = node.inventory().findings
    assert [(each.path, each.code) for each in told] == [
        ("/etc/kubernetes/manifests/etcd.yaml", "duplicate-static-pod"),
        ("/etc/kubernetes/manifests/etcd.yaml.bak", "duplicate-static-pod"),
    ]


def test_a_manifest_that_is_none_is_found(node: Scratch) -> None:
    node.write("/etc/kubernetes/manifests/README", "keep off")
    assert node.codes() == {"static-pod-unreadable": "warning"}


# -- extra paths ------------------------------------------------------------------------------------------------------


def test_extra_paths_are_looked_at(node: Scratch) -> None:
    ca = node.with_ca()
    pair = issue("ingress", ca, sans=("DNS:a.test",))
    node.write("/srv/tls/a.crt", pair.pem, 0o644)
    node.write("/srv/tls/a.key", pair.key_pem)
    node.write("/srv/tls/b.der", issue("foreign").der, 0o644)
    node.write("/srv/tls/c.conf", kubeconfig(issue("me", ca), ca))
    node.extra = ("/srv/tls/*", "/srv/missing.crt")
    found = {entry.path: (str(entry.kind), entry.key_match, entry.chain_ok) for entry in node.inventory().entries}
    assert found["/srv/tls/a.crt"] == ("other", True, True)
    assert found["/srv/tls/b.der"] == ("other", None, None)
    assert found["/srv/tls/c.conf"][0] == "kubeconfig-ca"
    assert "/srv/tls/a.key" not in found
    assert node.codes("missing") == {"certificate-missing": "high"}


# -- reading once -----------------------------------------------------------------------------------------------------


def test_only_a_changed_file_is_parsed_again(node: Scratch) -> None:
    ca = node.with_ca()
    node.pair("apiserver", issue("kube-apiserver", ca))
    node.write("/etc/kubernetes/admin.conf", kubeconfig(issue("me", ca), ca))
    node.manifest("etcd")
    before = node.inventory()
    assert node.library.parsed == 6
    assert node.inventory() == before
    assert node.library.parsed == 0
    node.pair("apiserver", issue("kube-apiserver", ca, serial=815))
    assert node.entry(APISERVER).facts()["serial"] == "815"
    assert node.library.parsed == 2


# -- the kubelet's configuration --------------------------------------------------------------------------------------

_CONFIG = "/var/lib/kubelet/config.yaml"


def _configured(node: Scratch, **fields: object) -> None:
    document = {"apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration", **fields}
    node.write(_CONFIG, json.dumps(document), 0o644)


def test_a_kubelet_that_nobody_rotates_is_found(node: Scratch) -> None:
    _configured(node)
    assert node.codes() == {"kubelet-rotation-off": "warning"}
    _configured(node, rotateCertificates=True)
    assert node.codes() == {}


def test_a_serving_certificate_that_was_asked_for_and_never_came_is_found(node: Scratch) -> None:
    _configured(node, rotateCertificates=True, serverTLSBootstrap=True)
    pair = issue("cp1@1751371200", usages=SERVER)
    node.write(f"{KUBELET}/kubelet.crt", pair.pem, 0o644)
    node.write(f"{KUBELET}/kubelet.key", pair.key_pem)
    assert node.codes() == {"kubelet-serving-pending": "warning"}
    served = issue("system:node:cp1", usages=SERVER)
    node.write(f"{KUBELET}/kubelet-server-2026-06-01-00-00-00.pem", served.pem + served.key_pem)
    (node.root / KUBELET.lstrip("/") / "kubelet-server-current.pem").symlink_to(
        "kubelet-server-2026-06-01-00-00-00.pem"
    )
    assert "kubelet-serving-pending" not in node.codes()


def test_a_serving_pair_that_the_kubelet_was_given_is_looked_at_where_it_is(node: Scratch) -> None:
    pair = issue("cp1", usages=SERVER, ends=NOW + 5 * DAY)
    _configured(node, rotateCertificates=True, tlsCertFile="/srv/tls/a.crt", tlsPrivateKeyFile="/srv/tls/a.key")
    node.write("/srv/tls/a.crt", pair.pem, 0o644)
    node.write("/srv/tls/a.key", pair.key_pem)
    entry = node.entry("/srv/tls/a.crt")
    assert (entry.name, str(entry.manager)) == ("kubelet-tls", "nobody")
    assert node.codes() == {"expiring": "high"}


@pytest.mark.parametrize("data", ["kind: Pod\n", "- a\n", ": :\n"])
def test_a_configuration_that_is_none_is_a_finding(node: Scratch, data: str) -> None:
    node.write(_CONFIG, data, 0o644)
    assert node.codes() == {"kubelet-config-unreadable": "warning"}


def test_static_pods_are_looked_for_where_the_kubelet_does(node: Scratch) -> None:
    _configured(node, rotateCertificates=True, staticPodPath="/srv/pods")
    node.manifest("kube-apiserver")
    node.write("/srv/pods/a.yaml", "kind: Pod\nmetadata: {name: etcd}\n")
    assert list(node.survey().pods.manifests) == ["/srv/pods/a.yaml"]
