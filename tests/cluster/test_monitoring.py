"""What prometheus-operator reads, on an API server that has its kind."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cluster.client import ApiError
from tests.cluster.controlplane import ControlPlane
from tests.cluster.manifests import DEPLOY

_GROUP = "monitoring.coreos.com"
_RULES = f"/apis/{_GROUP}/v1/namespaces/nodeagent/prometheusrules"
_TEXT: dict[str, Any] = {"type": "string"}
_TEXTS: dict[str, Any] = {"type": "object", "additionalProperties": _TEXT}
_DURATION = {**_TEXT, "pattern": r"^(0|(\d+y)?(\d+w)?(\d+d)?(\d+h)?(\d+m)?(\d+s)?(\d+ms)?)$", "minLength": 1}


def _object(required: list[str], **properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "required": required, "properties": properties}


def _list(of: dict[str, Any], key: str = "") -> dict[str, Any]:
    keyed = {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": [key]} if key else {}
    return {"type": "array", "items": of, **keyed}


_EXPRESSION: dict[str, Any] = {"x-kubernetes-int-or-string": True}
_RULE = _object(
    ["expr"],
    alert=_TEXT,
    record=_TEXT,
    expr=_EXPRESSION,
    labels=_TEXTS,
    annotations=_TEXTS,
    keep_firing_for=_DURATION,
    **{"for": _DURATION},
)
_RULE_GROUP = _object(["name"], name={**_TEXT, "minLength": 1}, interval=_DURATION, labels=_TEXTS, rules=_list(_RULE))
# As much of the kind as rules can use (prometheus-operator, API reference, PrometheusRuleSpec).
_DEFINITION: dict[str, Any] = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": f"prometheusrules.{_GROUP}"},
    "spec": {
        "group": _GROUP,
        "scope": "Namespaced",
        "names": {"kind": "PrometheusRule", "plural": "prometheusrules", "singular": "prometheusrule"},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "schema": {
                    "openAPIV3Schema": _object(["spec"], spec=_object([], groups=_list(_RULE_GROUP, "name"))),
                },
            }
        ],
    },
}


@pytest.fixture
def plane(own_control_plane: ControlPlane) -> ControlPlane:
    own_control_plane.define(_DEFINITION)
    own_control_plane.admin.create("/api/v1/namespaces", {"metadata": {"name": "nodeagent"}})
    return own_control_plane


def _rule() -> dict[str, Any]:
    rule: dict[str, Any] = yaml.safe_load(Path(DEPLOY, "monitoring/prometheusrule.yaml").read_text())
    return rule


def test_an_api_server_takes_and_keeps_every_rule(plane: ControlPlane) -> None:
    plane.admin.apply(_rule())
    assert plane.admin.get(f"{_RULES}/nodeagent")["spec"] == _rule()["spec"]


def test_a_rule_that_says_too_much_is_refused(plane: ControlPlane) -> None:
    """So that the one above could fail: fields that the kind does not know are errors, as with kubectl."""
    unknown = copy.deepcopy(_rule())
    unknown["spec"]["groups"][0]["rules"][0]["severity"] = "critical"
    with pytest.raises(ApiError, match="severity"):
        plane.admin.apply(unknown)
