"""What the identities of deploy/ may do, tried on a real API server: each its work, and nothing beside it."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from nodeagent.kube.nodestatus import WRITTEN
from nodeagent.observed import nodes
from tests.cluster.client import ApiError, Client
from tests.cluster.controlplane import ControlPlane, eventually
from tests.cluster.manifests import deploy

_NAMESPACE = "nodeagent"
_GROUP = "/apis/machineconfiguration.alauda.io/v1alpha1"
_EVENTS = "/api/v1/namespaces/default/events"
_CONFIGMAPS = f"/api/v1/namespaces/{_NAMESPACE}/configmaps"
_LEASES = f"/apis/coordination.k8s.io/v1/namespaces/{_NAMESPACE}/leases"
_OTHER_ANNOTATIONS = (nodes.DESIRED_CONFIG, nodes.LAST_APPLIED_DRAIN, nodes.CORDONED_FOR, "example.test/owner")


class Scene:
    """An agent on node `own`, the node `other` beside it, and the coordinator, each with the identity of deploy/."""

    def __init__(self, control_plane: ControlPlane) -> None:
        self.admin = control_plane.admin
        self.own, self.other = (self._node(f"{kind}-{secrets.token_hex(3)}") for kind in ("own", "other"))
        token = control_plane.service_account_token
        self.agent = control_plane.client_with_token(token(_NAMESPACE, "agent", self.own))
        self.unbound = control_plane.client_with_token(token(_NAMESPACE, "agent"))
        self.pools = control_plane.client_with_token(token(_NAMESPACE, "pools"))

    def _node(self, name: str) -> str:
        self.admin.create("/api/v1/nodes", {"metadata": {"name": name, "labels": {"kept": "label"}}})
        status = {"conditions": [_condition("Ready")], "capacity": {"cpu": "2"}}
        self.admin.patch(f"/api/v1/nodes/{name}/status", {"status": status}, "strategic")
        return name

    def machine_config(self, name: str) -> str:
        """The name of a MachineConfig that the administrator wrote."""
        self.admin.apply(_machine_config(name))
        return name


@pytest.fixture(scope="module")
def scene(control_plane: ControlPlane) -> Scene:
    deploy(control_plane)
    made = Scene(control_plane)
    eventually(lambda: _policies_hold(made), "the policies are in force")
    return made


def _policies_hold(scene: Scene) -> bool:
    """The API server learns of each policy a moment after it was written."""
    foreign = {"metadata": {"annotations": {"example.test/owner": "agent"}}}
    tries: list[Callable[[], Any]] = [
        lambda: scene.agent.patch(f"{_status(scene.own)}?dryRun=All", foreign),
        lambda: scene.agent.create(f"{_EVENTS}?dryRun=All", _event(scene.other)),
        lambda: scene.agent.create(f"{_CONFIGMAPS}?dryRun=All", _inventory("another")),
        lambda: scene.agent.create(f"{_LEASES}?dryRun=All", _lease("another", scene.own)),
        lambda: scene.pools.patch(f"/api/v1/nodes/{scene.own}?dryRun=All", foreign),
        lambda: scene.pools.create(f"{_GROUP}/machineconfigs?dryRun=All", _machine_config("99-probe")),
    ]
    return all(map(_is_denied, tries))


def _is_denied(attempt: Callable[[], Any]) -> bool:
    try:
        attempt()
    except ApiError:
        return True
    return False


def _status(node: str) -> str:
    return f"/api/v1/nodes/{node}/status"


def _condition(kind: str, status: str = "True") -> dict[str, str]:
    return {"type": kind, "status": status, "reason": "Tried", "message": "by a test"}


def _told(*conditions: dict[str, str]) -> dict[str, Any]:
    return {"status": {"conditions": list(conditions)}}


def _noted(*annotations: str) -> dict[str, Any]:
    return {"metadata": {"annotations": dict.fromkeys(annotations, secrets.token_hex(2))}}


def _event(node: str) -> dict[str, Any]:
    return {
        "metadata": {"name": f"{node}.{secrets.token_hex(4)}", "namespace": "default"},
        "involvedObject": {"kind": "Node", "name": node, "uid": node},
        "type": "Normal",
        "reason": "Tried",
        "message": "by a test",
        "reportingComponent": "nodeagent",
    }


def _machine_config(name: str) -> dict[str, Any]:
    return {
        "apiVersion": "machineconfiguration.alauda.io/v1alpha1",
        "kind": "MachineConfig",
        "metadata": {"name": name},
        "spec": {"config": {"ignition": {"version": "3.4.0"}}},
    }


def _denied(attempt: Callable[[], Any]) -> str:
    """The server's words; a refusal for any other reason than a lack of rights would prove nothing."""
    with pytest.raises(ApiError) as refused:
        attempt()
    assert refused.value.status in {403, 422}, refused.value
    assert refused.value.status == 403 or "ValidatingAdmissionPolicy" in refused.value.message, refused.value
    return refused.value.message


# -- the agent --------------------------------------------------------------------------------------------------------


def test_an_agent_writes_its_own_annotations_and_conditions_in_one_patch(scene: Scene) -> None:
    told = [_condition(kind) for kind in nodes.CONDITIONS]
    node = scene.agent.patch(_status(scene.own), _noted(*WRITTEN) | _told(*told), "strategic")
    assert set(WRITTEN) <= set(node["metadata"]["annotations"])
    assert {"Ready", *nodes.CONDITIONS} <= {each["type"] for each in node["status"]["conditions"]}


def test_an_agent_takes_back_what_it_wrote(scene: Scene) -> None:
    scene.agent.patch(_status(scene.own), _noted(*WRITTEN), "strategic")
    node = scene.agent.patch(_status(scene.own), {"metadata": {"annotations": dict.fromkeys(WRITTEN)}}, "strategic")
    assert not set(WRITTEN) & set(node["metadata"].get("annotations") or {})


def test_an_agent_cannot_write_another_node(scene: Scene) -> None:
    message = _denied(lambda: scene.agent.patch(_status(scene.other), _noted(nodes.STATE)))
    assert scene.own in message


def test_a_token_that_is_bound_to_no_node_writes_none(scene: Scene) -> None:
    assert "not known" in _denied(lambda: scene.unbound.patch(_status(scene.own), _noted(nodes.STATE)))


@pytest.mark.parametrize("annotation", _OTHER_ANNOTATIONS)
def test_an_agent_cannot_write_the_annotations_of_others(scene: Scene, annotation: str) -> None:
    _denied(lambda: scene.agent.patch(_status(scene.own), _noted(annotation)))


def test_an_agent_cannot_remove_the_annotations_of_others(scene: Scene) -> None:
    scene.admin.patch(f"/api/v1/nodes/{scene.own}", _noted("example.test/kept"))
    _denied(lambda: scene.agent.patch(_status(scene.own), {"metadata": {"annotations": {"example.test/kept": None}}}))


@pytest.mark.parametrize(
    "metadata",
    [
        {"labels": {"node-role.kubernetes.io/control-plane": ""}},
        {"labels": {"kept": None}},
        {"finalizers": ["example.test/held"]},
        {"ownerReferences": [{"apiVersion": "v1", "kind": "Node", "name": "gone", "uid": "gone"}]},
    ],
    ids=["label", "label removed", "finalizer", "owner"],
)
def test_an_agent_cannot_change_the_rest_of_its_metadata(scene: Scene, metadata: Any) -> None:
    assert "only annotations" in _denied(lambda: scene.agent.patch(_status(scene.own), {"metadata": metadata}))


@pytest.mark.parametrize(
    "status",
    [
        {"conditions": [_condition("Ready", "False")]},
        {"conditions": [_condition("Example")]},
        {"conditions": [{"type": "Ready", "$patch": "delete"}]},
        {"capacity": {"cpu": "200"}},
        {"addresses": [{"type": "InternalIP", "address": "192.0.2.1"}]},
    ],
    ids=["the kubelet's condition", "a condition of its own making", "a condition removed", "capacity", "address"],
)
def test_an_agent_cannot_change_the_rest_of_its_status(scene: Scene, status: Any) -> None:
    _denied(lambda: scene.agent.patch(_status(scene.own), {"status": status}, "strategic"))


def test_an_agent_cannot_touch_the_specs_of_nodes_nor_make_or_remove_any(scene: Scene) -> None:
    own = f"/api/v1/nodes/{scene.own}"
    _denied(lambda: scene.agent.patch(own, {"spec": {"unschedulable": True}}))
    _denied(lambda: scene.agent.patch(own, {"metadata": {"labels": {"some": "label"}}}))
    _denied(lambda: scene.agent.create("/api/v1/nodes", {"metadata": {"name": "made-by-an-agent"}}))
    _denied(lambda: scene.agent.delete(own))


def test_an_agent_reads_its_config_and_the_policy_and_writes_neither(scene: Scene) -> None:
    name = scene.machine_config("render-worker-5ec0")
    configs = f"{_GROUP}/machineconfigs"
    assert scene.agent.get(f"{configs}/{name}")["metadata"]["name"] == name
    scene.agent.list(f"{_GROUP}/machineconfigurations", fieldSelector="metadata.name=cluster")
    _denied(lambda: scene.agent.list(configs))
    _denied(lambda: scene.agent.list(f"{_GROUP}/machineconfigurations"))
    _denied(lambda: scene.agent.patch(f"{configs}/{name}", {"spec": {"kernelArguments": ["quiet"]}}))
    _denied(lambda: scene.agent.delete(f"{configs}/{name}"))
    _denied(lambda: scene.agent.create(configs, _machine_config("render-worker-forged")))


def test_an_agent_tells_events_of_its_own_node_only(scene: Scene) -> None:
    told = scene.agent.create(_EVENTS, _event(scene.own))
    path = f"{_EVENTS}/{told['metadata']['name']}"
    assert scene.agent.patch(path, {"count": 2})["count"] == 2
    _denied(lambda: scene.agent.create(_EVENTS, _event(scene.other)))
    _denied(lambda: scene.agent.patch(path, {"reportingComponent": "kubelet"}))


def test_an_agent_cannot_change_the_event_of_another(scene: Scene) -> None:
    path = f"{_EVENTS}/{scene.admin.create(_EVENTS, _event(scene.other))['metadata']['name']}"
    _denied(lambda: scene.agent.patch(path, {"involvedObject": {"name": scene.own}}))


# -- the coordinator of pools -----------------------------------------------------------------------------------------


def _inventory(name: str) -> dict[str, Any]:
    return {"metadata": {"name": name}, "data": {"certificates.json": "{}"}}


def test_an_agent_tells_of_its_own_certificates_only(scene: Scene) -> None:
    scene.agent.create(_CONFIGMAPS, _inventory(f"node-local-certs-{scene.own}"))
    own = f"{_CONFIGMAPS}/node-local-certs-{scene.own}"
    scene.agent.patch(own, {"data": {"certificates.json": "[]"}}, "merge")
    assert "node-local-certs-NODE" in _denied(
        lambda: scene.agent.create(_CONFIGMAPS, _inventory(f"node-local-certs-{scene.other}"))
    )
    scene.admin.create(_CONFIGMAPS, _inventory("another"))
    _denied(lambda: scene.agent.patch(f"{_CONFIGMAPS}/another", {"data": {"stolen": "x"}}, "merge"))
    _denied(lambda: scene.unbound.patch(own, {"data": {"certificates.json": "x"}}, "merge"))
    _denied(lambda: scene.agent.delete(own))


def _lease(name: str, holder: str) -> dict[str, Any]:
    spec = {"holderIdentity": holder, "leaseDurationSeconds": 15}
    return {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": name}, "spec": spec}


def test_an_agent_takes_its_turn_to_hand_over_in_its_own_name_only(scene: Scene) -> None:
    name = "nodeagent-vip-handover"
    _denied(lambda: scene.agent.create(_LEASES, _lease("nodeagent-pools", scene.own)))
    _denied(lambda: scene.agent.create(_LEASES, _lease(name, scene.other)))
    _denied(lambda: scene.unbound.create(_LEASES, _lease(name, "")))
    with suppress(ApiError):  # another test may have left it
        scene.admin.delete(f"{_LEASES}/{name}")
    lease = scene.agent.create(_LEASES, _lease(name, scene.own))
    assert "in the name of the node" in _denied(
        lambda: scene.agent.replace(f"{_LEASES}/{name}", lease | {"spec": {"holderIdentity": scene.other}})
    )
    scene.agent.replace(f"{_LEASES}/{name}", lease | {"spec": {"holderIdentity": ""}})
    _denied(lambda: scene.agent.delete(f"{_LEASES}/{name}"))


def test_the_coordinator_assigns_and_cordons_in_one_patch(scene: Scene) -> None:
    ours = (nodes.DESIRED_CONFIG, nodes.LAST_APPLIED_DRAIN, nodes.CORDONED_FOR)
    for cordoned in (True, None):
        patch = _noted(*ours) | {"spec": {"unschedulable": cordoned}}
        node = scene.pools.patch(f"/api/v1/nodes/{scene.other}", patch)
        assert node["spec"].get("unschedulable") is cordoned


def test_the_coordinator_tells_of_an_agent_that_is_gone(scene: Scene) -> None:
    gone = _condition(nodes.MACHINE_CONFIG_DEGRADED, "Unknown")
    node = scene.pools.patch(_status(scene.other), _told(gone), "strategic")
    assert {"Ready", nodes.MACHINE_CONFIG_DEGRADED} <= {each["type"] for each in node["status"]["conditions"]}


@pytest.mark.parametrize(
    "patch",
    [
        {"spec": {"taints": [{"key": "example.test/taint", "effect": "NoExecute"}]}},
        {"metadata": {"labels": {"node-role.kubernetes.io/control-plane": ""}}},
        {"metadata": {"finalizers": ["example.test/held"]}},
        _noted(nodes.STATE),
        _noted(nodes.REPORT),
        _noted("example.test/owner"),
    ],
    ids=["taint", "label", "finalizer", "the agent's state", "the agent's report", "another's annotation"],
)
def test_the_coordinator_cannot_change_the_rest_of_a_node(scene: Scene, patch: Any) -> None:
    _denied(lambda: scene.pools.patch(f"/api/v1/nodes/{scene.other}", patch, "strategic"))


def test_the_coordinator_cannot_change_what_the_kubelet_tells(scene: Scene) -> None:
    path = _status(scene.other)
    _denied(lambda: scene.pools.patch(path, _told(_condition("Ready", "False")), "strategic"))
    _denied(lambda: scene.pools.patch(path, {"status": {"capacity": {"cpu": "200"}}}, "strategic"))


def test_the_coordinator_publishes_and_removes_rendered_configs_and_leaves_sources_alone(scene: Scene) -> None:
    configs = f"{_GROUP}/machineconfigs"
    source = scene.machine_config("50-source")
    for name in (f"render-worker-{secrets.token_hex(4)}", "00-worker"):
        scene.pools.create(f"{configs}?dryRun=All", _machine_config(name))
    scene.pools.delete(f"{configs}/{scene.machine_config('render-worker-01d')}")
    _denied(lambda: scene.pools.create(configs, _machine_config("99-forged")))
    _denied(lambda: scene.pools.delete(f"{configs}/{source}"))
    _denied(lambda: scene.pools.patch(f"{configs}/{source}", {"spec": {"kernelArguments": ["quiet"]}}))


def test_the_coordinator_evicts_and_does_not_delete_pods(scene: Scene) -> None:
    pods = f"/api/v1/namespaces/{_NAMESPACE}/pods"
    name = scene.pools.list(pods)[0]["metadata"]["name"]
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}}
    scene.pools.create(f"{pods}/{name}/eviction?dryRun=All", eviction | {"deleteOptions": {"dryRun": ["All"]}})
    _denied(lambda: scene.pools.delete(f"{pods}/{name}"))


def test_the_coordinator_holds_a_lease_in_its_own_namespace_only(scene: Scene) -> None:
    lease = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "tried"}}
    leases = "/apis/coordination.k8s.io/v1/namespaces/{}/leases?dryRun=All"
    scene.pools.create(leases.format(_NAMESPACE), lease)
    _denied(lambda: scene.pools.create(leases.format("kube-system"), lease))


# -- neither ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("identity", ["agent", "pools"])
def test_no_identity_reads_secrets_or_runs_anything_in_a_pod(scene: Scene, identity: str) -> None:
    client: Client = getattr(scene, identity)
    _denied(lambda: client.list("/api/v1/secrets"))
    _denied(lambda: client.list(f"/api/v1/namespaces/{_NAMESPACE}/secrets"))
    _denied(lambda: client.get("/api/v1/namespaces/default/configmaps"))
    pod = scene.admin.list(f"/api/v1/namespaces/{_NAMESPACE}/pods")[0]["metadata"]["name"]
    _denied(lambda: client.create(f"/api/v1/namespaces/{_NAMESPACE}/pods/{pod}/exec?command=id", {}))
    _denied(lambda: client.create(f"/api/v1/namespaces/{_NAMESPACE}/serviceaccounts/agent/token", {"spec": {}}))
    _denied(lambda: client.create(f"/api/v1/namespaces/{_NAMESPACE}/pods", {"metadata": {"name": "made"}}))


@pytest.mark.parametrize("identity", ["agent", "pools"])
def test_no_identity_changes_what_holds_it_down(scene: Scene, identity: str) -> None:
    client: Client = getattr(scene, identity)
    policies = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies"
    _denied(lambda: client.delete(f"{policies}/nodeagent-agent-nodes"))
    roles = "/apis/rbac.authorization.k8s.io/v1/clusterroles"
    _denied(lambda: client.patch(f"{roles}/nodeagent-{identity}", {"rules": []}))
