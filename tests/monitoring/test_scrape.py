"""What a real Prometheus makes of deploy/monitoring/scrape.yaml, for pods as discovery tells of them.

Debian's Prometheus is built without discovery by Kubernetes, so the pods are told in its words (its documentation,
kubernetes_sd_config, role pod) by static configuration.
"""

from __future__ import annotations

from pathlib import Path

import yaml

from tests.capabilities import require
from tests.cluster.controlplane import eventually
from tests.monitoring.server import prometheus

_FILE = Path(__file__).parents[2] / "deploy" / "monitoring" / "scrape.yaml"
_POD = "__meta_kubernetes_pod_"


def _pod(name: str, address: str, app: str, component: str, phase: str = "Running") -> dict[str, object]:
    """A pod on node-NAME."""
    labels = {f"{_POD}label_app_kubernetes_io_name": app, f"{_POD}label_app_kubernetes_io_component": component}
    where = {f"{_POD}ip": address, f"{_POD}node_name": f"node-{name}", f"{_POD}phase": phase}
    return {"targets": [f"{name}.invalid"], "labels": {**labels, **where}}


def test_agents_and_coordinators_are_scraped_by_the_names_of_their_nodes(tmp_path: Path) -> None:
    require("prometheus", "setpriv")
    configuration = yaml.safe_load(_FILE.read_text())
    (job,) = configuration["scrape_configs"]
    assert job.pop("kubernetes_sd_configs") == [{"role": "pod", "namespaces": {"names": ["nodeagent"]}}]
    job["static_configs"] = [
        _pod("a", "127.0.0.2", "nodeagent", "agent"),
        _pod("b", "127.0.0.3", "nodeagent", "pools"),
        _pod("c", "::1", "nodeagent", "agent"),
        _pod("foreign", "127.0.0.4", "other", "agent"),
        _pod("gone", "127.0.0.5", "nodeagent", "agent", "Succeeded"),
    ]
    expected = {
        "http://127.0.0.2:9469/metrics": {"component": "agent", "instance": "node-a", "job": "nodeagent"},
        "http://127.0.0.3:9469/metrics": {"component": "pools", "instance": "node-b", "job": "nodeagent"},
        "http://[::1]:9469/metrics": {"component": "agent", "instance": "node-c", "job": "nodeagent"},
    }
    with prometheus(tmp_path, configuration) as server:
        eventually(lambda: bool(server.targets()), "there are targets", 60.0)
        assert server.targets() == expected
