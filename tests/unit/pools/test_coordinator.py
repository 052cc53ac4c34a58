"""The coordinator against a cluster that forgets, lags and loses it: it always ends where it should."""

from __future__ import annotations

import contextlib
import random

from hypothesis import given, settings
from hypothesis import strategies as st

from nodeagent.changes.cluster import Announce, ChangeNode, Disown, Remove, WriteStatus
from nodeagent.errors import NodeAgentError, Problem, Rejected
from nodeagent.observed import nodes
from nodeagent.pools.controller import Coordinator, Rendering
from nodeagent.pools.pool import Object, Pool
from tests.unit.pools.site import RULES, Died, Site, config, node, pod

_NOW_HAVE = "render-worker-00-worker.-50-x.1"


def run(site: Site, coordinator: Coordinator) -> None:
    with contextlib.suppress(NodeAgentError):
        coordinator.tick()


def settle(site: Site, coordinator: Coordinator, rounds: int = 60) -> None:
    """Let everybody work, with fresh views, until nothing happens any more."""
    for _ in range(rounds):
        site.watch()
        run(site, coordinator)
        for name in site.truth:
            site.agent(name)
        site.now += 30.0


def cluster(count: int = 3) -> Site:
    site = Site()
    site.add(*(node(f"n{index}") for index in range(count)))
    for name in site.truth:
        site.on_node[name] = [pod(f"pod-{name}")]
    return site


def test_pools_and_their_empty_configs_are_made_and_rendered() -> None:
    site = cluster()
    settle(site, site.coordinator())
    assert set(site.pool_objects) == {"master", "worker"}
    assert {"00-master", "00-worker"} <= set(site.config_objects)
    assert {each.said(nodes.CURRENT_CONFIG) for each in site.truth.values()} == {"render-worker-00-worker."}


def test_a_settled_cluster_gets_no_request() -> None:
    site = cluster()
    coordinator = site.coordinator()
    settle(site, coordinator)
    site.made.clear()
    settle(site, coordinator, rounds=3)
    assert site.made == []


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32), limit=st.integers(1, 3), count=st.integers(2, 6))
def test_whoever_dies_and_whatever_is_stale_a_rollout_ends_and_room_is_never_exceeded(
    seed: int, limit: int, count: int
) -> None:
    chance = random.Random(seed)
    site = cluster(count)
    settle(site, site.coordinator())
    site.pool_objects["worker"] = Pool(
        "worker", 1, site.pool_objects["worker"].node_selector, site.pool_objects["worker"].config_selector, limit
    )
    site.config_objects["50-x"] = config("50-x", text="1")
    site.evicted.clear()
    coordinator = site.coordinator()
    for _ in range(400):
        match chance.randrange(4):
            case 0:
                site.watch()
            case 1:
                site.lives = chance.choice([0, 1, 2, 10**9])
                try:
                    run(site, coordinator)
                except Died:
                    coordinator = site.coordinator()
                    site.watch()  # a new process lists everything before it works
                site.lives = 10**9
            case _:
                site.agent(chance.choice(sorted(site.truth)))
        away = sum(each.unschedulable for each in site.truth.values())
        assert away <= limit
        site.now += 5.0
    settle(site, coordinator)
    assert {each.said(nodes.CURRENT_CONFIG) for each in site.truth.values()} == {_NOW_HAVE}
    assert not any(each.unschedulable for each in site.truth.values()), "every node is given back"
    assert len(site.evicted) == len(set(site.evicted)), "no pod is evicted twice"


def test_a_coordinator_that_lost_the_lease_does_nothing() -> None:
    site = cluster()
    site.leads = False
    settle(site, site.coordinator(), rounds=3)
    assert site.made == []


def test_a_stale_view_does_not_spend_room_twice() -> None:
    site = cluster(5)
    settle(site, site.coordinator())
    site.config_objects["50-x"] = config("50-x", text="1")
    coordinator = site.coordinator()
    for _ in range(5):  # the watch tells of nothing
        run(site, coordinator)
    moved = {
        step.node.name for step in site.made if isinstance(step, ChangeNode) and step.node.said(nodes.CURRENT_CONFIG)
    }
    assert sum(each.said(nodes.DESIRED_CONFIG) == _NOW_HAVE for each in site.truth.values()) == 1
    assert moved


def test_a_held_pod_is_named_and_its_drain_ends_when_it_may_go() -> None:
    site = cluster(1)
    site.add(node("other"))
    settle(site, site.coordinator())
    site.held = {"pod-n0"}
    site.on_node["n0"] = [pod("pod-n0")]
    site.config_objects["50-x"] = config("50-x", text="1")
    coordinator = site.coordinator()
    settle(site, coordinator, rounds=8)
    told = [step.message for step in site.made if isinstance(step, Announce)]
    assert told == ["the drain waits for pod default/pod-n0, held by PodDisruptionBudget hold"]
    site.held.clear()
    settle(site, coordinator)
    assert site.truth["n0"].said(nodes.CURRENT_CONFIG) == _NOW_HAVE


def test_a_bad_config_stops_and_nodes_come_back_when_it_is_gone() -> None:
    site = cluster(4)
    coordinator = site.coordinator()
    settle(site, coordinator)
    site.config_objects["50-x"] = config("50-x", text="1")
    site.bad = {_NOW_HAVE}
    settle(site, coordinator)
    assert sum(each.said(nodes.STATE) == "Unreconcilable" for each in site.truth.values()) == 1
    halted = {each["type"]: each for each in site.pool_objects["worker"].status["conditions"]}["RolloutHalted"]
    assert (halted["status"], halted["reason"]) == ("True", "CanaryFailed")
    del site.config_objects["50-x"]
    settle(site, coordinator)
    assert {each.said(nodes.STATE) for each in site.truth.values()} == {"Done"}
    assert not any(each.unschedulable for each in site.truth.values())


def test_a_rendered_config_that_somebody_removed_is_published_again() -> None:
    site = cluster()
    coordinator = site.coordinator()
    settle(site, coordinator)
    del site.config_objects["render-worker-00-worker."]
    settle(site, coordinator, rounds=2)
    assert "render-worker-00-worker." in site.config_objects


def test_old_rendered_configs_go_and_what_a_node_or_a_pool_needs_stays() -> None:
    site = cluster()
    coordinator = site.coordinator()
    for text in "1234":
        site.config_objects["50-x"] = config("50-x", text=text)
        settle(site, coordinator)
    rendered = [name for name in site.config_objects if name.startswith("render-worker")]
    assert len(rendered) == 1 + RULES.keep_rendered
    assert "render-worker-00-worker.-50-x.4" in rendered
    assert all(step.name.startswith("render-") for step in site.made if isinstance(step, Remove))


def test_what_does_not_render_is_told_and_leaves_the_nodes_alone() -> None:
    def refuse(pool: str, sources: object) -> Rendering:
        raise Rejected([Problem("MachineConfig 50-x", "$.spec", "is wrong")])

    site = cluster()
    settle(site, site.coordinator())
    site.config_objects["50-x"] = config("50-x", text="1")
    site.made.clear()
    settle(site, Coordinator(site, refuse, _no_policy, RULES, lambda: True, lambda: site.now), rounds=3)
    assert not any(isinstance(step, ChangeNode) for step in site.made)
    conditions = {each["type"]: each for each in site.pool_objects["worker"].status["conditions"]}
    assert "50-x" in conditions["RenderDegraded"]["message"]
    assert conditions["Degraded"]["status"] == "True"


def test_a_condition_keeps_the_time_of_its_transition() -> None:
    site = cluster()
    coordinator = site.coordinator()
    settle(site, coordinator)
    before = {each["type"]: each["lastTransitionTime"] for each in site.pool_objects["worker"].status["conditions"]}
    site.add(node("late"))
    settle(site, coordinator)
    after = {each["type"]: each["lastTransitionTime"] for each in site.pool_objects["worker"].status["conditions"]}
    assert after["NodeDegraded"] == before["NodeDegraded"]
    assert after["Updated"] > before["Updated"]
    assert sum(isinstance(step, WriteStatus) for step in site.made) < 30


def test_the_conditions_of_an_agent_that_is_gone_become_unknown_after_a_while() -> None:
    site = cluster(1)
    site.add(node("gone", conditions={"Ready": "True", nodes.MACHINE_CONFIG_DEGRADED: "False"}))
    site.lost = {"gone"}
    coordinator = site.coordinator()
    run(site, coordinator)
    site.now += RULES.agent_grace + 1
    assert not any(isinstance(step, Disown) for step in site.made)
    run(site, coordinator)
    (step,) = (step for step in site.made if isinstance(step, Disown))
    assert (step.node, step.types) == ("gone", (nodes.MACHINE_CONFIG_DEGRADED,))


def _no_policy(_: Object) -> None:
    return None
