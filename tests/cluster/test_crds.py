"""The project's CustomResourceDefinitions in a real API server: what they let in, what they refuse and why."""

from __future__ import annotations

from typing import Any

import pytest

from tests.cluster.client import ApiError, Client
from tests.cluster.controlplane import ControlPlane

_GROUP = "machineconfiguration.alauda.io"
_ROOT = f"/apis/{_GROUP}/v1alpha1"
_PLURALS = {
    "MachineConfig": "machineconfigs",
    "MachineConfigPool": "machineconfigpools",
    "MachineConfiguration": "machineconfigurations",
}
_TIME = "2026-01-02T03:04:05Z"


@pytest.fixture(scope="module")
def admin(control_plane: ControlPlane) -> Client:
    control_plane.apply_crds()
    return control_plane.admin


def _obj(kind: str, spec: Any, name: str = "sample") -> dict[str, Any]:
    return {"apiVersion": f"{_GROUP}/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec}


def _validate(admin: Client, kind: str, spec: Any) -> Any:
    """What the server would store of `spec`; a field that the schema does not know is an error."""
    query = "dryRun=All&fieldValidation=Strict"
    return admin.create(f"{_ROOT}/{_PLURALS[kind]}?{query}", _obj(kind, spec))["spec"]


def _actions(*types: str) -> list[dict[str, Any]]:
    target = {"serviceName": "chronyd.service"}
    return [{"type": kind, kind.lower(): target} if kind in {"Reload", "Restart"} else {"type": kind} for kind in types]


def _policy(actions: Any) -> dict[str, Any]:
    return {"nodeDisruptionPolicy": {"files": [{"path": "/etc/chrony.conf", "actions": actions}]}}


def _service(name: str) -> dict[str, Any]:
    return _policy([{"type": "Restart", "restart": {"serviceName": name}}])


_SELECTOR = {"matchLabels": {"a": "b"}, "matchExpressions": [{"key": "a", "operator": "In", "values": ["b", "c"]}]}
_VALID: dict[str, tuple[str, Any]] = {
    "config": (
        "MachineConfig",
        {
            "config": {"ignition": {"version": "3.4.0"}, "storage": {"files": [{"path": "/etc/a", "mode": 420}]}},
            "kernelArguments": ["a=b", "quiet"],
        },
    ),
    "config-null-arguments": ("MachineConfig", {"config": {}, "kernelArguments": None}),
    "pool": (
        "MachineConfigPool",
        {
            "machineConfigSelector": _SELECTOR,
            "nodeSelector": _SELECTOR,
            "maxUnavailable": "34%",
            "paused": True,
            "configuration": {"name": "render-worker-0", "source": [{"kind": "MachineConfig", "name": "00-worker"}]},
        },
    ),
    "pool-number": ("MachineConfigPool", {"maxUnavailable": 3}),
    "pool-empty": ("MachineConfigPool", {}),
    "policy-every-action": ("MachineConfiguration", _policy(_actions("Drain", "Reload", "Restart", "DaemonReload"))),
    "policy-reboot": ("MachineConfiguration", _policy(_actions("Reboot"))),
    "policy-no-action": ("MachineConfiguration", _policy([])),
    "policy-ten-actions": ("MachineConfiguration", _policy(_actions(*["Restart"] * 10))),
    "policy-fifty-files": (
        "MachineConfiguration",
        {"nodeDisruptionPolicy": {"files": [{"path": f"/{n}", "actions": _actions("None")} for n in range(50)]}},
    ),
    "policy-unit-name": ("MachineConfiguration", _service("a-b_c:d.e\\x2df.mount")),
    "policy-sshkey-and-defaults": (
        "MachineConfiguration",
        {
            "nodeDisruptionPolicy": {
                "units": [{"name": "kubelet.service", "actions": _actions("Drain", "Restart")}],
                "sshkey": {"actions": _actions("None")},
            },
            "defaultNodeDisruptionPolicySpecAction": {"files": _actions("None"), "units": _actions("Reboot")},
        },
    ),
}


@pytest.mark.parametrize("name", _VALID)
def test_a_valid_object_is_stored_as_it_is(admin: Client, name: str) -> None:
    kind, spec = _VALID[name]
    assert _validate(admin, kind, spec) == spec


_ALONE_REBOOT, _ALONE_NONE = "Reboot must be the only action", "None must be the only action"
_NEEDS_RELOAD, _NEEDS_RESTART = "reload is required for type Reload", "restart is required for type Restart"
_FILES, _UNITS = "nodeDisruptionPolicy.files", "nodeDisruptionPolicy.units"
_INVALID: dict[str, tuple[str, Any, str]] = {
    "config-text": ("MachineConfig", {"config": "text"}, r"spec\.config.*must be of type object"),
    "config-unknown-field": ("MachineConfig", {"osImageURL": "a"}, r'unknown field "spec\.osImageURL"'),
    "arguments-number": ("MachineConfig", {"kernelArguments": [1]}, r"kernelArguments\[0\].*must be of type string"),
    "pool-fraction": ("MachineConfigPool", {"maxUnavailable": 1.5}, r"maxUnavailable.*must be"),
    "selector-without-operator": (
        "MachineConfigPool",
        {"nodeSelector": {"matchExpressions": [{"key": "a"}]}},
        r"matchExpressions\[0\]\.operator.*Required",
    ),
    "reboot-and-drain": ("MachineConfiguration", _policy(_actions("Reboot", "Drain")), _ALONE_REBOOT),
    "none-and-drain": ("MachineConfiguration", _policy(_actions("None", "Drain")), _ALONE_NONE),
    "eleven-actions": ("MachineConfiguration", _policy(_actions(*["Drain"] * 11)), "must have at most 10 items"),
    "special-action": ("MachineConfiguration", _policy(_actions("Special")), 'Unsupported value: "Special"'),
    "reload-without-service": ("MachineConfiguration", _policy([{"type": "Reload"}]), _NEEDS_RELOAD),
    "restart-without-service": ("MachineConfiguration", _policy([{"type": "Restart"}]), _NEEDS_RESTART),
    "drain-with-service": (
        "MachineConfiguration",
        _policy([_actions("Restart")[0] | {"type": "Drain"}]),
        _NEEDS_RESTART,
    ),
    "unit-without-type": ("MachineConfiguration", _service("chronyd"), "must end in the type of a unit"),
    "unit-with-space": ("MachineConfiguration", _service("a b.service"), "letters, digits"),
    "unit-too-long": ("MachineConfiguration", _service("a" * 248 + ".service"), "may not be more than 255"),
    "file-without-actions": (
        "MachineConfiguration",
        {"nodeDisruptionPolicy": {"files": [{"path": "/a"}]}},
        rf"{_FILES}\[0\]\.actions.*Required",
    ),
    "file-twice": (
        "MachineConfiguration",
        {"nodeDisruptionPolicy": {"files": [{"path": "/a", "actions": []}] * 2}},
        rf"{_FILES}\[1\].*Duplicate",
    ),
    "fifty-one-units": (
        "MachineConfiguration",
        {"nodeDisruptionPolicy": {"units": [{"name": f"a{n}.service", "actions": []} for n in range(51)]}},
        rf"{_UNITS}.*must have at most 50 items",
    ),
    "defaults-for-files-only": (
        "MachineConfiguration",
        {"defaultNodeDisruptionPolicySpecAction": {"files": _actions("None")}},
        r"defaultNodeDisruptionPolicySpecAction\.units.*Required",
    ),
}


@pytest.mark.parametrize("name", _INVALID)
def test_an_invalid_object_is_refused_with_the_reason(admin: Client, name: str) -> None:
    kind, spec, message = _INVALID[name]
    with pytest.raises(ApiError, match=message) as refused:
        _validate(admin, kind, spec)
    assert refused.value.status in {400, 422}


@pytest.mark.parametrize("kind", ["MachineConfigPool", "MachineConfiguration"])
def test_spec_is_required_where_there_is_a_status(admin: Client, kind: str) -> None:
    with pytest.raises(ApiError, match="spec: Required value"):
        admin.create(f"{_ROOT}/{_PLURALS[kind]}", {"metadata": {"name": "sample"}} | _kind(kind))


def _kind(kind: str) -> dict[str, str]:
    return {"apiVersion": f"{_GROUP}/v1alpha1", "kind": kind}


def test_a_pools_status_is_a_subresource_and_fills_the_columns(admin: Client) -> None:
    path = admin.path(admin.apply(_obj("MachineConfigPool", {"paused": False}, "columns")))
    status = {
        "observedGeneration": 1,
        "configuration": {"name": "render-columns-0", "source": [{"name": "00-worker"}]},
        **{f"{kind}MachineCount": 2 for kind in ("updated", "ready", "unavailable", "degraded")},
        "machineCount": 4,
        "conditions": [
            {"type": kind, "status": "True", "reason": "", "message": "", "lastTransitionTime": _TIME}
            for kind in ("Updated", "Updating", "Degraded", "NodeDegraded", "RenderDegraded")
        ],
    }
    assert "status" not in admin.patch(path, {"status": status})
    assert admin.patch(f"{path}/status", {"status": status})["status"] == status
    assert _columns(admin, path) == {
        "Name": "columns",
        "Config": "render-columns-0",
        "Updated": "True",
        "Updating": "True",
        "Degraded": "True",
        "MachineCount": 4,
        "ReadyMachineCount": 2,
        "UpdatedMachineCount": 2,
        "DegradedMachineCount": 2,
    }


def test_a_config_shows_its_ignition_version(admin: Client) -> None:
    spec = {"config": {"ignition": {"version": "3.4.0"}}}
    path = admin.path(admin.apply(_obj("MachineConfig", spec, "columns")))
    assert _columns(admin, path) == {"Name": "columns", "IgnitionVersion": "3.4.0"}


def test_the_policy_in_force_takes_every_action_in_status(admin: Client) -> None:
    path = admin.path(admin.apply(_obj("MachineConfiguration", {}, "in-force")))
    entries = [{"path": f"/{n}", "actions": _actions("Special")} for n in range(100)]
    condition = {"type": "Progressing", "status": "False", "reason": "AsExpected", "message": ""}
    status = {
        "observedGeneration": 1,
        "conditions": [condition | {"lastTransitionTime": _TIME}],
        "nodeDisruptionPolicyStatus": {
            "clusterPolicies": {
                "files": entries,
                "units": [{"name": "a.service", "actions": _actions("Reload", "Restart")}],
                "sshkey": {"actions": _actions("None")},
            }
        },
    }
    assert admin.patch(f"{path}/status", {"status": status})["status"] == status
    entries.append({"path": "/100", "actions": []})
    with pytest.raises(ApiError, match="must have at most 100 items"):
        admin.patch(f"{path}/status", {"status": status})


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ({"updatedMachineCount": 3}, "updatedMachineCount cannot be more than machineCount"),
        ({"unavailableMachineCount": 3}, "unavailableMachineCount cannot be more than machineCount"),
        ({"readyMachineCount": 2}, "readyMachineCount cannot be more than availableMachineCount"),
    ],
)
def test_synchronizers_cannot_count_more_than_there_are(admin: Client, counts: dict[str, int], message: str) -> None:
    path = admin.path(admin.apply(_obj("MachineConfigPool", {}, "counts")))
    fine = {
        "poolSynchronizerType": "PinnedImageSets",
        "machineCount": 2,
        "availableMachineCount": 1,
        **dict.fromkeys(("readyMachineCount", "unavailableMachineCount", "updatedMachineCount"), 1),
    }
    admin.patch(f"{path}/status", {"status": {"poolSynchronizersStatus": [fine]}})
    with pytest.raises(ApiError, match=message):
        admin.patch(f"{path}/status", {"status": {"poolSynchronizersStatus": [fine | counts]}})


def test_all_kinds_are_of_the_cluster_and_known_by_their_short_names(admin: Client) -> None:
    resources = {item["name"]: item for item in admin.get(_ROOT)["resources"]}
    assert {name: (item["namespaced"], item.get("shortNames")) for name, item in resources.items()} == {
        "machineconfigs": (False, ["mc"]),
        "machineconfigpools": (False, ["mcp"]),
        "machineconfigpools/status": (False, None),
        "machineconfigurations": (False, None),
        "machineconfigurations/status": (False, None),
    }


def _columns(admin: Client, path: str) -> dict[str, Any]:
    """The object's row in `kubectl get`, without its age."""
    table = admin.get(path, accept="application/json;as=Table;v=v1;g=meta.k8s.io")
    names = [column["name"] for column in table["columnDefinitions"]]
    return {name: cell for name, cell in zip(names, table["rows"][0]["cells"], strict=True) if name != "Age"}
