"""The contract of nodeagent.kube, with a real kube-apiserver."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.capabilities import require
from tests.cluster.client import Client
from tests.cluster.controlplane import ControlPlane
from tests.contract.kube import KubeContract
from tests.controlplane import binaries


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """Without controllers, which would write what the contract arranges (the status of budgets)."""
    require("control-plane", "setpriv")
    with ControlPlane(tmp_path_factory.mktemp("contract"), binaries.ensured()) as running:
        yield running


class TestReal(KubeContract):
    @pytest.fixture
    def arrange(self, plane: ControlPlane) -> Client:
        account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}}
        plane.admin.apply(account)  # which pods need, and a controller would make
        return plane.admin

    @pytest.fixture
    def kubeconfig(self, plane: ControlPlane) -> str:
        return str(plane.kubeconfig("contract", ["system:masters"]))
