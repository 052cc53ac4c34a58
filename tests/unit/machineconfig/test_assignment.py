"""What the cluster wants of a node: fetched once by name, kept verified, usable without the API server."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from nodeagent.errors import Rejected, Transient
from nodeagent.machineconfig import provenance
from nodeagent.machineconfig.assignment import COPY, Assignment
from nodeagent.machineconfig.disruption import Action, ActionType
from nodeagent.machineconfig.render import Rendered, render
from nodeagent.machineconfig.source import load
from nodeagent.observed import nodes
from nodeagent.observed.nodes import NodeView
from tests.unit.cli.conftest import machine_config

POLICY = {"nodeDisruptionPolicy": {"files": [{"path": "/etc/x", "actions": [{"type": "Drain"}]}]}}


@dataclass
class Cluster:
    """A cluster in memory; `away` is an API server that does not answer."""

    desired: str = ""
    seen: bool = True
    configuration: dict[str, Any] | None = field(default_factory=dict)
    objects: dict[str, dict[str, Any]] = field(default_factory=dict)
    away: bool = False
    asked: list[str] = field(default_factory=list)

    def node(self) -> NodeView | None:
        return NodeView("n1", annotations={nodes.DESIRED_CONFIG: self.desired}) if self.seen else None

    def policy(self) -> Mapping[str, Any] | None:
        return self.configuration

    def rendered(self, name: str) -> Mapping[str, Any] | None:
        self.asked.append(name)
        if self.away:
            raise Transient("the API server is away")
        return self.objects.get(name)

    def publish(self, text: str, path: str = "/etc/x") -> str:
        """Publish a rendered config with one file, and have the node want it."""
        found = load([("a.yaml", machine_config("50-x", (path, text)).encode())])
        rendered = render(found.machine_configs)
        document = rendered.document()
        document["metadata"]["annotations"] |= provenance.publishable(rendered.provenance)
        self.objects[rendered.name] = document
        self.desired = rendered.name
        return rendered.name


class Cache(dict[str, bytes]):
    def read(self, name: str) -> bytes | None:
        return self.get(name)

    def write(self, name: str, data: bytes) -> None:
        self[name] = data


def wanted(assignment: Assignment) -> Rendered:
    intent = assignment.load()
    assert intent is not None
    return intent.rendered


def test_a_config_is_fetched_once_and_survives_restarts_without_the_api_server() -> None:
    cluster, cache = Cluster(), Cache()
    name = cluster.publish("x")
    rendered = wanted(Assignment(cluster, cache))
    assert (rendered.name, rendered.provenance) == (name, {"file:/etc/x": ("50-x",)})
    assert wanted(Assignment(cluster, cache)) == rendered
    assert cluster.asked == [name]
    unseen = Cluster(seen=False, configuration=None, away=True)
    assert wanted(Assignment(unseen, cache)) == rendered
    assert unseen.asked == []


def test_nothing_is_wanted_before_the_cluster_says_so() -> None:
    assert Assignment(Cluster(), Cache()).load() is None
    assert Assignment(Cluster(seen=False), Cache()).load() is None


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[:-9],
        lambda text: text.replace("0644", "0666").replace("420", "438"),
        lambda _: "[]",
        lambda text: text.replace('"format":1', '"format":2'),
    ],
)
def test_a_damaged_copy_is_fetched_again(damage: Any) -> None:
    cluster, cache = Cluster(), Cache()
    name = cluster.publish("x")
    whole = wanted(Assignment(cluster, cache))
    before = cache[COPY]
    cache[COPY] = damage(before.decode()).encode()
    assert cache[COPY] != before
    assert wanted(Assignment(cluster, cache)) == whole
    assert cluster.asked == [name, name]


def test_an_api_server_that_is_away_is_no_fault_of_the_config() -> None:
    cluster = Cluster(away=True)
    cluster.publish("x")
    with pytest.raises(Transient):
        Assignment(cluster, Cache()).load()


def test_a_config_that_does_not_exist_is_named() -> None:
    with pytest.raises(Rejected, match=r"render-worker-1.*does not exist"):
        Assignment(Cluster(desired="render-worker-1"), Cache()).load()


def test_a_hazardous_config_of_another_controller_goes_no_further() -> None:
    cluster = Cluster()
    name = cluster.publish("x")
    cluster.objects[name]["spec"]["config"]["storage"]["files"][0]["path"] = "/proc/x"
    with pytest.raises(Rejected, match="/proc"):
        Assignment(cluster, Cache()).load()


def test_a_config_without_provenance_counts_as_its_own_source() -> None:
    cluster = Cluster()
    name = cluster.publish("x")
    cluster.objects[name]["metadata"]["annotations"] = {}
    assert wanted(Assignment(cluster, Cache())).provenance == {"file:/etc/x": (name,)}


@pytest.mark.parametrize("place", ["spec", "status"])
def test_the_policy_is_the_controllers_else_what_the_spec_says(place: str) -> None:
    cluster, cache = Cluster(), Cache()
    cluster.publish("x")
    status = {"nodeDisruptionPolicyStatus": {"clusterPolicies": POLICY["nodeDisruptionPolicy"]}}
    cluster.configuration = {"spec": POLICY} if place == "spec" else {"spec": {}, "status": status}
    intent = Assignment(cluster, cache).load()
    assert intent is not None
    assert intent.policy.files == {"/etc/x": (Action(ActionType.DRAIN),)}
    cluster.configuration = None  # not seen yet after a restart
    kept = Assignment(cluster, cache).load()
    assert kept is not None
    assert kept.policy == intent.policy


def test_the_copy_is_written_on_change_only() -> None:
    cluster, cache = Cluster(), Cache()
    cluster.publish("x")
    assignment = Assignment(cluster, cache)
    assignment.load()
    before = cache[COPY]
    cluster.configuration = {"metadata": {"resourceVersion": "7"}}
    assignment.load()
    assert cache[COPY] is before
    assert json.loads(before)["copy"]["name"] == cluster.desired
