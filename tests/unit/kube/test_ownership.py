"""Who else writes an agent's annotations."""

from __future__ import annotations

from typing import Any

import pytest

from nodeagent.kube.ownership import rival

_ALAUDA, _OPENSHIFT = "machineconfiguration.alauda.io", "machineconfiguration.openshift.io"


def _written(manager: str, *annotations: str, **more: Any) -> dict[str, Any]:
    fields: dict[str, Any] = {"f:metadata": {"f:annotations": {".": {}} | {f"f:{each}": {} for each in annotations}}}
    return {"manager": manager, "operation": "Update", "fieldsV1": fields, **more}


@pytest.mark.parametrize(
    ("entries", "name"),
    [
        ([], ""),
        ([_written("nodeagent", f"{_ALAUDA}/state", subresource="status")], ""),
        ([_written("kubelet", "volumes.kubernetes.io/controller-managed-attach-detach")], ""),
        ([_written("machine-config-controller", f"{_ALAUDA}/desiredConfig")], ""),
        ([_written("kubectl-annotate", f"{_ALAUDA}/state")], ""),
        ([_written("machine-config-daemon", f"{_ALAUDA}/state")], "machine-config-daemon"),
        ([_written("alauda", f"{_ALAUDA}/currentConfig")], "alauda"),
        ([_written("mcd", f"{_OPENSHIFT}/currentConfig")], "mcd"),
        (
            [
                _written("z", f"{_OPENSHIFT}/state"),
                _written("b", f"{_ALAUDA}/state"),
            ],
            "b",
        ),
        ([{"manager": "odd"}], ""),
    ],
)
def test_rival(entries: list[dict[str, Any]], name: str) -> None:
    assert rival({"metadata": {"managedFields": entries}}, "nodeagent") == name


def test_a_node_without_managed_fields_has_no_rival() -> None:
    assert rival({"metadata": {}}, "nodeagent") == ""
