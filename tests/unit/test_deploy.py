"""What the manifests, the policies, the documents and the code say must agree."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from nodeagent.agent import certrotator, gatewayhandover, viphandover
from nodeagent.doctor.privileges import USEFUL, VITAL
from nodeagent.kube.nodestatus import WRITTEN
from nodeagent.observed import nodes
from nodeagent.settings.model import FIELDS

_TOP = Path(__file__).parents[2]
_DEPLOY = _TOP / "deploy"


def _objects(file: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((_DEPLOY / file).read_text()))


def _pod(file: str) -> dict[str, Any]:
    (workload,) = _objects(file)
    pod: dict[str, Any] = workload["spec"]["template"]["spec"]
    return pod


def _container(file: str) -> dict[str, Any]:
    (container,) = _pod(file)["containers"]
    return dict(container)


def _variable(policy: str, name: str) -> str:
    """The CEL expression of a variable."""
    (found,) = [
        each for each in _objects("policy.yaml") if each["metadata"]["name"] == policy and "variables" in each["spec"]
    ]
    (expression,) = [each["expression"] for each in found["spec"]["variables"] if each["name"] == name]
    return str(expression)


def _words(expression: str) -> set[str]:
    """The words in quotes; those of a mapped list with the prefix that is put before them."""
    listed, _, rest = expression.partition(".map(each, ")
    prefix = re.match(r"'([^']*)' \+ each", rest)
    mapped = {(prefix[1] if prefix else "") + word for word in re.findall(r"'([^']*)'", listed)}
    return mapped | set(re.findall(r"\['([^']*)'\]", rest))


def test_the_policy_lets_an_agent_write_just_what_it_writes() -> None:
    assert _words(_variable("nodeagent-agent-nodes", "annotations")) == set(WRITTEN)


def test_the_policy_lets_the_coordinator_write_just_what_it_writes() -> None:
    ours = {nodes.DESIRED_CONFIG, nodes.LAST_APPLIED_DRAIN, nodes.CORDONED_FOR}
    assert _words(_variable("nodeagent-pools-nodes", "annotations")) == ours


def test_an_agent_may_take_the_leases_that_it_takes_and_no_other() -> None:
    ours = {gatewayhandover.LEASE, viphandover.LEASE, certrotator.LEASE}
    assert _words(_validation("nodeagent-agent-leases")) - {""} == ours
    (bound,) = [rule for each in _objects("rbac.yaml") for rule in each.get("rules", ()) if _takes_leases(rule)]
    assert set(bound["resourceNames"]) == ours


def _takes_leases(rule: dict[str, Any]) -> bool:
    return "leases" in rule["resources"] and "update" in rule["verbs"] and "resourceNames" in rule


def _validation(policy: str) -> str:
    (found,) = [
        each for each in _objects("policy.yaml") if each["metadata"]["name"] == policy and "variables" in each["spec"]
    ]
    return " ".join(each["expression"] for each in found["spec"]["validations"])


@pytest.mark.parametrize("policy", ["nodeagent-agent-nodes", "nodeagent-pools-nodes"])
def test_the_policies_know_the_conditions(policy: str) -> None:
    assert _words(_variable(policy, "conditions")) == set(nodes.CONDITIONS)


def test_each_policy_is_in_force() -> None:
    objects = _objects("policy.yaml")
    policies = {each["metadata"]["name"] for each in objects if each["kind"] == "ValidatingAdmissionPolicy"}
    bound = {
        each["spec"]["policyName"]
        for each in objects
        if each["kind"] == "ValidatingAdmissionPolicyBinding" and each["spec"]["validationActions"] == ["Deny"]
    }
    assert policies == bound


def test_each_policy_is_about_an_identity_that_there_is() -> None:
    accounts = {
        f"system:serviceaccount:{each['metadata']['namespace']}:{each['metadata']['name']}"
        for each in _objects("rbac.yaml")
        if each["kind"] == "ServiceAccount"
    }
    conditions = [each["spec"].get("matchConditions", ()) for each in _objects("policy.yaml")]
    named = {re.findall("'(.*)'", condition["expression"])[0] for each in conditions for condition in each}
    assert named == accounts


def test_each_privilege_is_documented_and_no_other() -> None:
    context = _container("daemonset.yaml")["securityContext"]
    rows = re.findall(r"^\| (`[A-Z_`, ]+) \|", (_TOP / "docs/daemonset.md").read_text(), re.MULTILINE)
    assert {word for row in rows for word in re.findall("[A-Z_]+", row)} == set(context["capabilities"]["add"])
    assert context["capabilities"]["drop"] == ["ALL"]
    assert not context.get("privileged")
    assert {name.removeprefix("CAP_") for name in (*VITAL, *USEFUL)} <= set(context["capabilities"]["add"])


@pytest.mark.parametrize(
    "file", ["daemonset.yaml", "coordinator.yaml", "approval/coordinator.yaml", "encryption/daemonset.yaml"]
)
def test_the_settings_in_the_manifests_exist(file: str) -> None:
    variables = {each["name"] for each in _container(file)["env"]}
    assert variables <= {field.variable for field in FIELDS.values()}


def test_the_probes_ask_where_the_agent_answers() -> None:
    container, address = _container("daemonset.yaml"), FIELDS["health.address"].default()
    for probe in (container["livenessProbe"], container["readinessProbe"]):
        assert (probe["httpGet"]["host"], probe["httpGet"]["port"]) == (address.host, address.port)


def test_the_kustomization_leaves_no_manifest_out() -> None:
    (kustomization,) = _objects("kustomization.yaml")
    (component,) = _objects("alauda/kustomization.yaml")
    named = {*kustomization["resources"], *(f"alauda/{each}" for each in component["resources"])}
    there = {str(path.relative_to(_DEPLOY)) for path in _DEPLOY.rglob("*.yaml") if path.name != "kustomization.yaml"}
    chosen = ("monitoring/", "approval/", "egress/", "program/", "encryption/", "chart/")  # are applied by choice
    assert named == {file for file in there if not file.startswith(chosen)}


def test_the_approver_is_deployed_like_the_other_coordinator() -> None:
    """But for its name, its roles, and the switch."""
    (ours,), (other,) = _objects("approval/coordinator.yaml"), _objects("coordinator.yaml")
    named = yaml.safe_load(json.dumps(ours).replace("certificates", "pools"))
    containers = [each["spec"]["template"]["spec"]["containers"][0] for each in (named, other)]
    containers[0]["env"].remove({"name": "NODEAGENT_COORDINATOR_APPROVE_SERVING", "value": "true"})
    assert containers[0].pop("args") != containers[1].pop("args")
    assert named == other
