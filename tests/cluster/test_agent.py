"""A real agent against a real API server: the node protocol, conditions, Events, and an API server that goes away."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from nodeagent.kube.reflector import PACE
from nodeagent.observed import nodes
from tests.cluster.controlplane import ControlPlane, eventually
from tests.cluster.simulated import GROUP, SimulatedNode, machine_config

_DRAIN_FOR_X = {"files": [{"path": "/etc/x", "actions": [{"type": "Drain"}]}]}


@pytest.fixture
def node(control_plane: ControlPlane, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[SimulatedNode]:
    control_plane.apply_crds()
    name = re.sub("[^a-z0-9]+", "-", request.node.name.lower())[:50].strip("-")
    with SimulatedNode(control_plane, tmp_path, name) as one:
        yield one


def test_a_desired_config_is_applied_and_told(node: SimulatedNode) -> None:
    name = node.publish(machine_config("50-a", {"/etc/x": "declared"}))
    node.annotate(desiredConfig=name)
    node.until_done(name)
    assert (node.root / "etc/x").read_text() == "declared"
    condition = node.condition()
    assert (condition["status"], condition["reason"]) == ("False", "AsDeclared")
    assert node.condition("Ready")["status"] == "True", "the kubelet's conditions stay"
    report = json.loads(node.said(nodes.REPORT))
    assert report["jobs"]["machineconfig"]["config"] == name
    node.until(lambda: "ConfigApplied" in {event["reason"] for event in node.events()}, "the Event is there")


def test_drift_is_told_with_paths_sources_and_who_and_ends(node: SimulatedNode) -> None:
    name = node.publish(machine_config("50-a", {"/etc/x": "declared"}))
    node.annotate(desiredConfig=name)
    node.until_done(name)
    (node.root / "etc/x").write_text("a secret that somebody put there")
    node.until(lambda: node.said(nodes.STATE) == "Degraded", "the drift shows")
    condition = node.condition()
    assert (condition["status"], condition["reason"]) == ("True", "Drift")
    assert "/etc/x of 50-a by " in condition["message"]
    node.until(lambda: "DriftFound" in {event["reason"] for event in node.events()}, "the Event is there")
    assert "a secret" not in json.dumps([node.get(), node.events()])
    (node.root / "etc/x").write_text("declared")
    node.until_done(name)
    assert node.condition()["status"] == "False"


def test_what_the_node_cannot_have_is_unreconcilable_and_the_next_config_mends_it(node: SimulatedNode) -> None:
    bad = node.publish(machine_config("50-a", {"/run/x": "x"}))
    node.annotate(desiredConfig=bad)
    node.until(lambda: node.said(nodes.STATE) == "Unreconcilable", "the config is refused")
    assert "/run/x" in node.said(nodes.REASON)
    assert node.condition()["reason"] == "Unreconcilable"
    good = node.publish(machine_config("50-a", {"/etc/x": "x"}))
    node.annotate(desiredConfig=good)
    node.until_done(good)
    assert node.said(nodes.REASON) == ""


def test_a_config_that_does_not_exist_is_named_and_awaited(node: SimulatedNode) -> None:
    node.annotate(desiredConfig="render-worker-none")
    node.until(lambda: "render-worker-none" in node.said(nodes.REASON), "the missing config is named")
    assert node.condition()["reason"] == "DeclarationRejected"


def test_a_disruptive_change_waits_for_the_controllers_drain(node: SimulatedNode) -> None:
    policy = {
        "apiVersion": "machineconfiguration.alauda.io/v1alpha1",
        "kind": "MachineConfiguration",
        "metadata": {"name": "cluster"},
        "spec": {"nodeDisruptionPolicy": _DRAIN_FOR_X},
    }
    node.plane.admin.create(f"{GROUP}/machineconfigurations", policy)
    try:
        name = node.publish(machine_config("50-a", {"/etc/x": "x"}))
        node.annotate(desiredConfig=name)
        node.until(lambda: node.said(nodes.DESIRED_DRAIN) == f"drain-{name}", "a drain is asked for")
        node.until(lambda: node.said(nodes.STATE) == "Working", "the node works")
        assert not (node.root / "etc/x").exists()
        node.annotate(lastAppliedDrain=f"drain-{name}")
        node.until_done(name)
        assert node.said(nodes.DESIRED_DRAIN) == f"uncordon-{name}"
    finally:
        node.plane.admin.delete(f"{GROUP}/machineconfigurations/cluster")


def test_a_node_of_another_agent_is_left_alone(control_plane: ControlPlane, tmp_path: Path) -> None:
    control_plane.apply_crds()
    with SimulatedNode(control_plane, tmp_path, "owned") as node:
        node.stop()
        theirs = {"metadata": {"annotations": {nodes.STATE: "Working"}}}
        control_plane.admin.raw(
            "PATCH",
            f"{node.path}?fieldManager=machine-config-daemon",
            json.dumps(theirs).encode(),
            "application/merge-patch+json",
        )
        before = node.get()["metadata"]["resourceVersion"]
        node.start()
        assert node.ended() == 1
        assert "are written by machine-config-daemon" in node.log
        assert node.get()["metadata"]["resourceVersion"] == before
        node.start(NODEAGENT_CLUSTER_TAKE_OVER="true")
        name = node.publish(machine_config("50-a", {"/etc/x": "x"}))
        node.annotate(desiredConfig=name)
        node.until_done(name)


def test_an_api_server_that_is_away_stops_nothing_and_hears_the_latest(
    own_control_plane: ControlPlane, tmp_path: Path
) -> None:
    own_control_plane.apply_crds()
    with SimulatedNode(own_control_plane, tmp_path, "lonely") as node:
        name = node.publish(machine_config("50-a", {"/etc/x": "declared"}))
        node.annotate(desiredConfig=name)
        node.until_done(name)
        own_control_plane.apiserver.kill()
        node.stop()
        (node.root / "etc/x").write_text("changed while nobody looked")
        node.start()
        eventually(lambda: node.local_state() == "Degraded", "the agent has looked, with nobody to tell", 30.0)
        own_control_plane.apiserver.start()
        longest = 2 * PACE.backoff.longest  # a watch that failed often tries again only then
        node.until(lambda: node.said(nodes.STATE) == "Degraded", "what was found meanwhile is told", longest)
        (node.root / "etc/x").write_text("declared")
        node.until_done(name)


def test_a_deleted_rendered_config_degrades_nobody_who_has_it(node: SimulatedNode) -> None:
    name = node.publish(machine_config("50-a", {"/etc/x": "declared"}))
    node.annotate(desiredConfig=name)
    node.until_done(name)
    node.plane.admin.delete(f"{GROUP}/machineconfigs/{name}")
    node.stop()
    node.start()
    (node.root / "etc/y").write_text("another")
    (node.root / "etc/x").chmod(0o600)
    node.until(lambda: node.said(nodes.STATE) == "Degraded", "the agent looks")
    (node.root / "etc/x").chmod(0o644)
    node.until_done(name)


def test_what_another_writer_changes_of_ours_is_put_right_and_the_rest_is_left(node: SimulatedNode) -> None:
    name = node.publish(machine_config("50-a", {"/etc/x": "declared"}))
    node.annotate(desiredConfig=name)
    node.until_done(name)
    theirs = {"type": "NetworkUnavailable", "status": "False", "reason": "RouteCreated", "message": "somebody's"}
    node.plane.admin.patch(f"{node.path}/status", {"status": {"conditions": [theirs]}}, "strategic")
    node.annotate(state="Degraded", currentConfig="render-worker-other")
    node.plane.admin.patch(node.path, {"metadata": {"annotations": {"example.test/theirs": "kept"}}}, "merge")
    node.until_done(name)
    assert node.condition("NetworkUnavailable")["message"] == "somebody's"
    assert node.get()["metadata"]["annotations"]["example.test/theirs"] == "kept"
