"""Documents that people wrote keep their text where that can be; what they say is what was asked for."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from nodeagent.certs.rewriting import RESTARTED, Credentials, with_annotation, with_credentials
from tests.unit.certs.scratch import read_yaml

NEW = Credentials(b"new certificate", b"new key", b"new authority")


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


KUBECONFIG = f"""\
# written by kubeadm, and this comment by a person
apiVersion: v1
kind: Config
clusters:
- cluster: {{server: "https://192.0.2.1:6443", certificate-authority-data: {_b64(b"old authority")}}}
  name: kubernetes
- cluster: {{server: "https://elsewhere", certificate-authority-data: {_b64(b"their authority")}}}
  name: elsewhere
contexts:
- context: {{cluster: kubernetes, user: me}}
  name: me@kubernetes
- context: {{cluster: elsewhere, user: someone-else}}
  name: other
users:
- name: someone-else
  user: {{token: kept}}
- name: me
  user:
    client-certificate-data: {_b64(b"old certificate")}
    client-key-data: {_b64(b"old key")}
"""


def _user(document: Any, name: str) -> Any:
    return next(each["user"] for each in document["users"] if each["name"] == name)


def test_a_user_gets_new_credentials_and_the_rest_stays_as_it_is() -> None:
    text = with_credentials(KUBECONFIG.encode(), "me", NEW, read_yaml).decode()
    document = yaml.safe_load(text)
    assert _user(document, "me") == {
        "client-certificate-data": _b64(b"new certificate"),
        "client-key-data": _b64(b"new key"),
    }
    assert _user(document, "someone-else") == {"token": "kept"}
    authorities = {each["name"]: each["cluster"]["certificate-authority-data"] for each in document["clusters"]}
    assert authorities == {"kubernetes": _b64(b"new authority"), "elsewhere": _b64(b"their authority")}
    assert "this comment by a person" in text


def test_without_authorities_those_stay() -> None:
    new = Credentials(b"new certificate", b"new key")
    document = yaml.safe_load(with_credentials(KUBECONFIG.encode(), "me", new, read_yaml))
    assert document["clusters"] == yaml.safe_load(KUBECONFIG)["clusters"]


def test_references_to_files_become_data_where_a_key_lay_apart() -> None:
    text = KUBECONFIG.replace(f"client-key-data: {_b64(b'old key')}", "client-key: /root/my.key")
    document = yaml.safe_load(with_credentials(text.encode(), "me", NEW, read_yaml))
    assert _user(document, "me").keys() == {"client-certificate-data", "client-key-data"}


def test_a_text_that_cannot_be_kept_is_written_anew_with_the_same_meaning() -> None:
    folded = KUBECONFIG.replace(_b64(b"old key"), ">-\n      " + "\n      ".join(_b64(b"old key")))
    document = yaml.safe_load(with_credentials(folded.encode(), "me", NEW, read_yaml))
    assert _user(document, "me")["client-key-data"] == _b64(b"new key")
    assert _user(document, "someone-else") == {"token": "kept"}


def test_a_user_who_is_not_there_is_an_error() -> None:
    with pytest.raises(ValueError, match="has no user nobody"):
        with_credentials(KUBECONFIG.encode(), "nobody", NEW, read_yaml)


MANIFEST = """\
apiVersion: v1
kind: Pod
metadata:
  annotations:
    kubeadm.kubernetes.io/kube-apiserver.advertise-address.endpoint: 192.0.2.1:6443
  labels:
    component: kube-apiserver # a comment
  name: kube-apiserver
spec:
  containers: [{name: kube-apiserver}]
"""


def test_a_manifest_keeps_its_text_and_is_another_pod() -> None:
    text = with_annotation(MANIFEST.encode(), "certificates 1", read_yaml).decode()
    assert yaml.safe_load(text)["metadata"]["annotations"][RESTARTED] == "certificates 1"
    assert "# a comment" in text
    assert set(MANIFEST.splitlines()) <= set(text.splitlines())
    again = with_annotation(text.encode(), "certificates 2", read_yaml).decode()
    assert len(again.splitlines()) == len(text.splitlines()), "the annotation is changed, not added again"


@pytest.mark.parametrize(
    "text",
    [
        "metadata:\n    name: a\nkind: Pod\n",
        "kind: Pod\nmetadata: {name: a, annotations: {b: c}}\n",
        "kind: Pod\nmetadata:\n  name: a\n  annotations: {}\n",
        "kind: Pod\r\nmetadata:\r\n  name: a\r\n",
        '{"kind": "Pod", "metadata": {"name": "a"}}',
        "kind: Pod\nmetadata:\n  labels:\n    annotations: misleading\n  name: a\n",
    ],
)
def test_manifests_of_any_form_get_it(text: str) -> None:
    before = yaml.safe_load(text)
    after = yaml.safe_load(with_annotation(text.encode(), "x", read_yaml))
    assert after["metadata"].pop("annotations").pop(RESTARTED) == "x"
    before["metadata"].pop("annotations", None)
    assert after == before


names = st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1, max_size=8)
trees = st.recursive(names | st.none() | st.booleans(), lambda inner: st.dictionaries(names, inner, max_size=3))


@given(st.dictionaries(names, trees, max_size=4), st.dictionaries(names, names, max_size=3), st.booleans())
def test_whatever_else_a_manifest_says_it_says_afterwards(
    rest: dict[str, Any], annotations: dict[str, str], as_json: bool
) -> None:
    document = {**rest, "metadata": {"name": "a", "annotations": annotations}}
    text = json.dumps(document) if as_json else yaml.safe_dump(document)
    after = yaml.safe_load(with_annotation(text.encode(), "x", read_yaml))
    assert after == {**rest, "metadata": {"name": "a", "annotations": {**annotations, RESTARTED: "x"}}}


@pytest.mark.parametrize("text", ["[]", "a", "metadata: []", "metadata: {", "kind: Pod"])
def test_what_is_no_manifest_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"[a-z]"):
        with_annotation(text.encode(), "x", read_yaml)
