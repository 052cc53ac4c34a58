"""One kubeadm node for all tests of a run: each leaves it with a kubelet, an API server and an agent that work."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.capabilities import require
from tests.controlplane import binaries
from tests.kubeadm import images
from tests.kubeadm.agent import AgentPod
from tests.kubeadm.node import KubeadmNode


@pytest.fixture(scope="session")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KubeadmNode]:
    """The node, with everything below deploy/ applied to it."""
    require("root", "control-plane", "containerd", "runc", "ctr", "ldd", "libnftables")
    programs = binaries.ensured()
    require("kube-controller-manager")
    archive = images.build(tmp_path_factory.mktemp("images"), programs)
    with KubeadmNode(tmp_path_factory.mktemp("kubeadm"), programs, archive) as running:
        running.deploy()
        yield running


@pytest.fixture
def agent(node: KubeadmNode) -> AgentPod:
    """The agent of the node, ready."""
    agent = AgentPod(node)
    agent.until_ready()
    return agent
