"""One control plane for all tests of a run that do not break it, and another for each that does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.capabilities import require
from tests.cluster.controlplane import ControlPlane
from tests.controlplane import binaries


@pytest.fixture(scope="session")
def control_plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """etcd and kube-apiserver, shared: a test gives its objects names of its own, and stops nothing."""
    require("control-plane", "setpriv")
    with ControlPlane(tmp_path_factory.mktemp("control-plane"), binaries.ensured()) as running:
        yield running


@pytest.fixture
def own_control_plane(tmp_path: Path) -> Iterator[ControlPlane]:
    """etcd and kube-apiserver for one test, which may stop, kill and restart them."""
    require("control-plane", "setpriv")
    with ControlPlane(tmp_path, binaries.ensured()) as running:
        yield running


@pytest.fixture(scope="session")
def controllers(control_plane: ControlPlane) -> ControlPlane:
    """The shared control plane with kube-controller-manager."""
    require("kube-controller-manager")
    control_plane.start_controllers()
    return control_plane
