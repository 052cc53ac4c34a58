"""A request is approved only as a kubelet makes it: whatever else it asks for is named, all at once."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import AttributeOID, ExtendedKeyUsageOID, NameOID
from hypothesis import given
from hypothesis import strategies as st

from nodeagent.certs.approval import Site, objections
from nodeagent.certs.signing import SigningRequest, names_of
from tests.unit.certs.requests import KEY, NODE, SANS, SUBJECT, USAGES, USER, document, pem, waiting

SITE = Site.of({NODE: frozenset(SANS), "worker-2": frozenset({"DNS:worker-2", "IP:192.0.2.22"})}, 365 * 86400.0)
_RSA = rsa.generate_private_key(65537, 2048)


def test_what_a_kubelet_asks_for_is_approved() -> None:
    assert objections(waiting(), SITE) == ()


@pytest.mark.parametrize(
    ("key", "usages"),
    [
        (_RSA, (*USAGES, "key encipherment")),
        (_RSA, USAGES),
        (ec.generate_private_key(ec.SECP384R1()), USAGES),
        (ec.generate_private_key(ec.SECP521R1()), USAGES),
        (ed25519.Ed25519PrivateKey.generate(), USAGES),
    ],
)
def test_every_sane_key_is_approved(key: Any, usages: tuple[str, ...]) -> None:
    assert objections(waiting(pem(key=key), usages=list(usages)), SITE) == ()


def test_harmless_extensions_and_letters_of_other_case_are_approved() -> None:
    extensions = [
        x509.BasicConstraints(ca=False, path_length=None),
        x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]),
    ]
    assert objections(waiting(pem(sans=("DNS:Worker-1", SANS[1]), extensions=extensions)), SITE) == ()


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        pytest.param(pem(subject=(("O", "system:nodes"), ("CN", "system:node:worker-2"))), "common name", id="cn"),
        pytest.param(pem(subject=(*SUBJECT, ("CN", "kubernetes-admin"))), "common name", id="second-cn"),
        pytest.param(pem(subject=SUBJECT[:1]), "common name", id="no-cn"),
        pytest.param(pem(subject=SUBJECT[1:]), "organization", id="no-organization"),
        pytest.param(pem(subject=(*SUBJECT, ("O", "system:masters"))), "organization", id="more-organizations"),
        pytest.param(pem(subject=(*SUBJECT, ("OU", "x"))), "more than common name", id="other-attribute"),
        pytest.param(pem(sans=(*SANS, "DNS:kube.example")), "no address of the Node: DNS:kube.example", id="dns"),
        pytest.param(pem(sans=(*SANS, "IP:192.0.2.1")), "no address of the Node: IP:192.0.2.1", id="ip"),
        pytest.param(pem(sans=(*SANS, "IP:192.0.2.0/24")), "no address of the Node: IP:192.0.2.0/24", id="network"),
        pytest.param(pem(sans=(*SANS, "IP:::ffff:192.0.2.21")), "no address of the Node", id="mapped"),
        pytest.param(pem(sans=(*SANS, "URI:spiffe://x")), "no address of the Node: URI:", id="uri"),
        pytest.param(pem(sans=(*SANS, "email:a@example")), "no address of the Node: email:", id="email"),
        pytest.param(pem(sans=SANS[:1]), "does not name these addresses of the Node: IP:192.0.2.21", id="subset"),
        pytest.param(pem(key=ec.generate_private_key(ec.SECP224R1())), "the key is ECDSA-secp224r1", id="curve"),
        pytest.param(pem(key=rsa.generate_private_key(65537, 1024)), "the key is RSA-1024", id="small"),
        pytest.param(pem(key=dsa.generate_private_key(2048)), "the key is DSA-2048", id="dsa"),
        pytest.param(pem(extensions=[x509.BasicConstraints(ca=True, path_length=None)]), "asks for a CA", id="ca"),
        pytest.param(
            pem(extensions=[x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])]), "clientAuth", id="client"
        ),
        pytest.param(pem(extensions=[x509.InhibitAnyPolicy(1)]), "extensions that no kubelet needs", id="extension"),
        pytest.param(b"", "one PEM block", id="empty"),
        pytest.param(pem() + pem(), "one PEM block", id="two"),
        pytest.param(b"# a remark\n" + pem(), "one PEM block", id="preamble"),
        pytest.param(b"x" * 20_000, "has 20000 bytes", id="large"),
    ],
)
def test_whatever_a_kubelet_does_not_ask_for_is_an_objection(request_: bytes, said: str) -> None:
    (objection,) = objections(waiting(request_), SITE)
    assert said in objection


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"signerName": "kubernetes.io/kube-apiserver-client"}, "the signer is kubernetes.io/kube-apiserver-client"),
        ({"groups": ["system:authenticated"]}, "not in the group system:nodes"),
        ({"expirationSeconds": 400 * 86400}, "at most 31536000 s are given"),
        ({"usages": [*USAGES, "client auth"]}, "the usages are client auth, digital signature, server auth"),
        ({"usages": ["server auth"]}, "the usages are server auth"),
        ({"usages": []}, "the usages are none"),
        ({"usages": [*USAGES, "key encipherment"]}, "the usages are digital signature, key encipherment"),  # P-256
    ],
)
def test_whatever_the_object_says_besides_counts_too(spec: dict[str, Any], said: str) -> None:
    (objection,) = objections(waiting(**spec), SITE)
    assert said in objection


def test_only_the_node_itself_may_ask() -> None:
    assert any("common name" in each for each in objections(waiting(username="system:node:worker-2"), SITE))
    account = objections(waiting(username="system:serviceaccount:a:b"), SITE)
    assert any("which is no node" in each for each in account)


def test_the_request_must_be_signed_with_its_own_key() -> None:
    body = bytearray(base64.b64decode(b"".join(pem().splitlines()[1:-1])))
    body[-1] ^= 1
    forged = b"-----BEGIN CERTIFICATE REQUEST-----\n%s\n-----END CERTIFICATE REQUEST-----\n" % base64.b64encode(body)
    assert objections(waiting(forged), SITE) == ("it is not signed with the key that it is for",)


def test_attributes_that_hold_no_extensions_are_refused() -> None:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, USER)])
    builder = x509.CertificateSigningRequestBuilder().subject_name(name)
    builder = builder.add_attribute(AttributeOID.CHALLENGE_PASSWORD, b"secret")
    challenged = builder.sign(KEY, hashes.SHA256()).public_bytes(Encoding.PEM)
    assert objections(waiting(challenged), SITE) == ("the request is no certificate request that can be read",)


@pytest.mark.parametrize(
    "name",
    [
        "DNS:kubernetes",
        "DNS:kubernetes.default.svc",
        "DNS:localhost",
        "DNS:*.example",
        "IP:127.0.0.1",
        "IP:0.0.0.0",
        "IP:224.0.0.1",
        "IP:169.254.1.1",
        "IP:::1",
    ],
)
def test_a_node_that_calls_itself_like_another_is_not_believed(name: str) -> None:
    site = Site.of({NODE: frozenset({name})}, SITE.longest)
    assert objections(waiting(pem(sans=(name,))), site) == (f"no node may be called {name}",)


def test_an_address_that_two_nodes_claim_is_neither_s() -> None:
    shared = Site.of({NODE: frozenset(SANS), "worker-2": frozenset({SANS[1]})}, SITE.longest)
    assert objections(waiting(), shared) == ("IP:192.0.2.21 is an address of Node worker-2 as well",)


def test_without_its_node_or_its_addresses_nothing_is_approved() -> None:
    assert objections(waiting(), Site.of({}, 1.0)) == ("there is no Node worker-1",)
    bare = Site.of({NODE: frozenset()}, 1.0)
    assert objections(waiting(pem(sans=())), bare) == ("it names nothing",)


def test_all_objections_are_told_at_once() -> None:
    bad = waiting(pem(subject=SUBJECT[:1], sans=("DNS:other",)), groups=[], usages=["client auth"])
    assert len(objections(bad, SITE)) == 5


def test_what_others_wrote_is_quoted_short_and_harmless() -> None:
    (objection,) = objections(waiting(pem(sans=(*SANS, "DNS:" + "a\n" * 60))), SITE)
    assert "\n" not in objection
    assert len(objection) < 150


def test_the_names_of_a_node_are_those_that_its_kubelet_asks_for() -> None:
    addresses = [
        ("Hostname", "Worker-1"),
        ("InternalIP", "192.0.2.21"),
        ("InternalIP", "2001:DB8::1"),
        ("ExternalIP", "no address"),
        ("InternalDNS", "worker-1.example"),
        ("ExternalDNS", ""),
        ("Other", "x"),
    ]
    node = {"status": {"addresses": [{"type": kind, "address": address} for kind, address in addresses]}}
    assert names_of(node) == {"DNS:worker-1", "IP:192.0.2.21", "IP:2001:db8::1", "DNS:worker-1.example"}
    assert names_of({"status": {"addresses": [{"type": "Hostname", "address": "192.0.2.9"}]}}) == {"IP:192.0.2.9"}
    assert names_of({}) == frozenset()


@pytest.mark.parametrize(
    "status",
    [
        {"conditions": [{"type": "Approved"}]},
        {"conditions": [{"type": "Denied"}]},
        {"conditions": [{"type": "Failed"}]},
        {"certificate": "LS0t"},
    ],
)
def test_a_request_with_an_answer_is_settled(status: dict[str, Any]) -> None:
    assert SigningRequest.of(document() | {"status": status}).settled


@given(st.binary(max_size=300))
def test_garbage_is_a_sentence_and_never_a_crash(data: bytes) -> None:
    body = base64.b64encode(data)
    wrapped = b"-----BEGIN CERTIFICATE REQUEST-----\n%s\n-----END CERTIFICATE REQUEST-----" % body
    (objection,) = objections(waiting(wrapped), SITE)
    assert objection.startswith("the request is")
