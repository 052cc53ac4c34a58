"""What a kube-apiserver reads, and what it would refuse or lose data by."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from nodeagent.certs.encryptionconfig import digest, document, keys, problems
from nodeagent.certs.encryptiondemand import demand_of
from nodeagent.certs.keyring import Demand, Key, Phase, Ring
from nodeagent.errors import Rejected

SECRET = base64.b64encode(bytes(32)).decode()
_FIRST = "$.resources[0].providers[0].aesgcm.keys[0]"
RING = Ring(2, Phase.WRITING, (Key("new", SECRET, 1.0), Key("old", SECRET, 0.0)), ("secrets",), ("secrets",))


def _config(*providers: Any, **more: Any) -> dict[str, Any]:
    return {
        "apiVersion": "apiserver.config.k8s.io/v1",
        "kind": "EncryptionConfiguration",
        "resources": [{"resources": ["secrets"], "providers": list(providers)}],
    } | more


def _told(configuration: Any) -> list[str]:
    return [f"{each.path}: {each.message}" for each in problems(configuration, "config")]


def test_a_ring_as_a_document_is_sound_and_holds_its_keys() -> None:
    found = json.loads(document(RING))
    assert _told(found) == []
    assert keys(found) == {"new": SECRET, "old": SECRET}
    assert [list(each) for each in found["resources"][0]["providers"]] == [["aesgcm"], ["aesgcm"], ["identity"]]
    assert document(RING) == document(RING)
    assert len(digest(document(RING))) == 64


def test_a_ring_that_encrypts_nothing_still_names_something() -> None:
    found = json.loads(document(Ring(3)))
    assert _told(found) == []
    assert found["resources"] == [{"resources": ["secrets"], "providers": [{"identity": {}}]}]


def _aes(*given: Any, name: str = "aesgcm") -> dict[str, Any]:
    return {name: {"keys": list(given)}}


@pytest.mark.parametrize(
    ("configuration", "told"),
    [
        ([], "$.kind: is no EncryptionConfiguration"),
        (_config({"identity": {}}, apiVersion="v1"), "$.apiVersion: is 'v1'"),
        (_config({"identity": {}}, resources=[]), "$.resources: names nothing"),
        (_config({"identity": {}}, resources=["secrets"]), "$.resources[0]: is no object"),
        (_config(), "$.resources[0].providers: has none"),
        (_config({"aes": {}}), "$.resources[0].providers[0]: 'aes' is no provider"),
        (_config({"identity": {}, "kms": {}}), "$.resources[0].providers[0]: is not one provider"),
        (_config(_aes()), "$.resources[0].providers[0].aesgcm.keys: has none"),
        (_config({"aesgcm": None}), "$.resources[0].providers[0].aesgcm.keys: has none"),
        (
            _config(_aes({"name": "a", "secret": "c2hvcnQ="})),
            f"{_FIRST}.secret: key a is not base64 of 16 or 24 or 32 bytes, as aesgcm takes",
        ),
        (
            _config(_aes({"name": "a", "secret": "%"}, name="secretbox")),
            "$.resources[0].providers[0].secretbox.keys[0].secret: key a is not base64 of 32 bytes, as secretbox takes",
        ),
        (_config(_aes({"secret": SECRET})), "$.resources[0].providers[0].aesgcm.keys[0].name: is no name"),
        (
            _config(
                _aes({"name": "a", "secret": SECRET}),
                _aes({"name": "a", "secret": base64.b64encode(b"1" * 32).decode()}),
            ),
            "$.resources[0].providers[1].aesgcm.keys[0].name: key a stands there twice, with another secret",
        ),
    ],
)
def test_what_would_be_refused_is_told_with_its_path(configuration: Any, told: str) -> None:
    assert _told(configuration) == [told]


def test_no_message_quotes_a_secret() -> None:
    wrong = _config(_aes({"name": "a", "secret": "VG9wU2VjcmV0"}))
    assert "VG9wU2VjcmV0" not in "".join(map(str, problems(wrong, "config")))


# -- what is asked for ------------------------------------------------------------------------------------------------


def _wanted(**spec: Any) -> dict[str, Any]:
    given = {"type": "aesgcm", "rotationInterval": "168h", "resources": ["secrets", "configmaps"]}
    return {"metadata": {"name": "default"}, "spec": given | spec}


@pytest.mark.parametrize(
    ("interval", "seconds"), [("168h", 604800.0), ("1h30m", 5400.0), ("90s", 90.0), ("1.5h", 5400.0)]
)
def test_a_demand(interval: str, seconds: float) -> None:
    assert demand_of(_wanted(rotationInterval=interval), 8) == Demand(("configmaps", "secrets"), seconds, 8)


def test_everything_that_is_wrong_is_told_at_once() -> None:
    wrong = _wanted(type="aescbc", rotationInterval="weekly", resources=["*.*", 7, "secrets"])
    with pytest.raises(Rejected) as told:
        demand_of(wrong, 8)
    paths = {each.path for each in told.value.problems}
    assert paths == {"$.spec.type", "$.spec.resources[0]", "$.spec.resources[1]", "$.spec.rotationInterval"}


@pytest.mark.parametrize("interval", ["", "59s", "10", "-1h", "1d", None, 168])
def test_an_interval_that_is_none_is_refused(interval: Any) -> None:
    with pytest.raises(Rejected, match=r"rotationInterval"):
        demand_of(_wanted(rotationInterval=interval), 8)
