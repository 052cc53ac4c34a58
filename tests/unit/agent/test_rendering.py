"""From MachineConfigs of the API to the object that is published."""

from __future__ import annotations

import random
import string
from typing import Any

import pytest

from nodeagent.agent.rendering import policy, rendering
from nodeagent.errors import Rejected
from nodeagent.machineconfig import provenance
from nodeagent.machineconfig.render import Rendered, render
from nodeagent.machineconfig.source import load
from tests.unit.cli.conftest import machine_config as written

ROLE = "machineconfiguration.alauda.io/role"


def config(name: str, role: str = "worker", path: str = "/etc/x", text: str = "x") -> dict[str, Any]:
    """A MachineConfig as the API server gives it, with what it adds."""
    file = {"path": path, "contents": {"source": f"data:,{text}"}}
    spec = {"config": {"ignition": {"version": "3.4.0"}, "storage": {"files": [file]}}}
    metadata = {"name": name, "labels": {ROLE: role}, "uid": "1", "resourceVersion": "7", "managedFields": [{}]}
    return {"metadata": metadata, "spec": spec}


def test_the_api_and_files_render_alike() -> None:
    from_files = render(load([("a.yaml", written("50-x", ("/etc/x", "x")).encode())]).machine_configs)
    found = rendering("worker", [config("50-x")])
    assert Rendered.from_document(found.document).config.storage.files[0].path == "/etc/x"
    assert found.name.startswith("render-worker-")
    assert found.document["metadata"]["name"] == found.name
    assert from_files.name.startswith("render-worker-")


def test_the_order_and_what_the_server_adds_make_no_difference() -> None:
    one, other = config("50-x"), config("60-y", path="/etc/y")
    later = {**one, "metadata": one["metadata"] | {"resourceVersion": "8"}}
    assert rendering("worker", [one, other]).name == rendering("worker", [other, later]).name


def test_a_custom_pool_has_its_own_after_those_of_workers_and_tells_where_from() -> None:
    found = rendering("infra", [config("10-i", "infra", text="infra"), config("50-w", text="worker")])
    assert found.name.startswith("render-infra-")
    assert "data:,infra" in str(found.document["spec"])
    told = provenance.published(found.document["metadata"]["annotations"])
    assert told == {"file:/etc/x": ("50-w", "10-i")}


def test_every_problem_is_told_with_its_object() -> None:
    with pytest.raises(Rejected) as caught:
        rendering("worker", [config("50-x", path="/proc/x"), config("60-y", path="relative")])
    text = str(caught.value)
    assert "MachineConfig 50-x" in text
    assert "MachineConfig 60-y" in text


def test_what_the_api_has_no_room_for_is_refused_with_the_sizes_of_its_sources() -> None:
    chance = random.Random(1)
    much = "".join(chance.choices(string.ascii_letters, k=1_000_000))
    with pytest.raises(Rejected, match=r"pool worker: renders to 2\d{6} bytes") as caught:
        rendering(
            "worker",
            [
                config("50-big", text=much),
                config("60-big", path="/etc/y", text=much),
                config("70-small", path="/etc/z"),
            ],
        )
    assert "50-big 1000" in str(caught.value)
    assert "60-big 1000" in str(caught.value)


def test_the_policy_of_the_status_is_that_of_the_spec_with_its_default() -> None:
    files = [{"path": "/etc/x", "actions": [{"type": "Drain"}]}]
    spec = {"nodeDisruptionPolicy": {"files": files}}
    assert policy({"spec": spec}) == {"files": files, "units": [], "sshkey": {"actions": [{"type": "None"}]}}
    assert policy({}) == {"files": [], "units": [], "sshkey": {"actions": [{"type": "None"}]}}


def test_a_policy_that_cannot_be_used_changes_nothing() -> None:
    assert policy({"spec": {"nodeDisruptionPolicy": {"files": [{"path": "x", "actions": []}]}}}) is None
