"""Who belongs to which pool, what a pool gets, how many of its nodes may be away."""

from __future__ import annotations

from typing import Any

import pytest

from nodeagent.pools.pool import ROLE, Pool, membership
from tests.unit.pools.site import config, node

MASTER = Pool("master", node_selector={"matchLabels": {"role/control-plane": ""}})
WORKER = Pool(
    "worker", node_selector={"matchLabels": {"role/worker": ""}}, config_selector={"matchLabels": {ROLE: "worker"}}
)
INFRA = Pool(
    "infra", node_selector={"matchLabels": {"role/infra": ""}}, config_selector={"matchLabels": {ROLE: "infra"}}
)
EDGE = Pool("edge", node_selector={"matchExpressions": [{"key": "role/edge", "operator": "Exists"}]})
POOLS = (MASTER, WORKER, INFRA, EDGE)


def belongs(*roles: str) -> tuple[list[str], tuple[str, ...]]:
    """The pools that a node with these roles is in, and those that contest it."""
    found = membership([node("n", labels={f"role/{role}": "" for role in roles})], POOLS)
    return [name for name, members in found.members.items() if members], found.contested.get("n", ())


@pytest.mark.parametrize(
    ("roles", "pools", "contested"),
    [
        (["worker"], ["worker"], ()),
        (["control-plane"], ["master"], ()),
        (["control-plane", "worker"], ["master"], ()),
        (["worker", "infra"], ["infra"], ()),
        (["infra"], ["infra"], ()),
        (["control-plane", "infra"], ["master"], ()),
        (["worker", "infra", "edge"], [], ("edge", "infra")),
        (["control-plane", "infra", "edge"], [], ("edge", "infra")),
        ([], [], ()),
    ],
)
def test_a_node_belongs_to_one_pool(roles: list[str], pools: list[str], contested: tuple[str, ...]) -> None:
    assert belongs(*roles) == (pools, contested)


@pytest.mark.parametrize(
    "selector", [{}, {"matchLabels": {}}, {"matchExpressions": [{"key": "a", "operator": "Unheard"}]}]
)
def test_what_selects_nothing_or_nobody_knows_what_matches_nothing(selector: dict[str, Any]) -> None:
    found = membership([node("n", labels={"a": "b"})], [Pool("infra", node_selector=selector)])
    assert found.members == {"infra": ()}
    assert not Pool("infra", config_selector=selector).wants(config("50-x", "infra"))


def test_a_custom_pool_inherits_what_workers_have_and_no_pool_takes_what_was_rendered() -> None:
    names = {"worker": config("50-w"), "infra": config("50-i", "infra"), "rendered": config("render-infra-1", "infra")}
    assert [name for name, one in names.items() if INFRA.wants(one)] == ["worker", "infra"]
    assert [name for name, one in names.items() if WORKER.wants(one)] == ["worker"]


@pytest.mark.parametrize(
    ("limit", "machines", "expected"),
    [
        (None, 10, 1),
        (3, 10, 3),
        ("3", 10, 3),
        (0, 10, 1),
        ("30%", 10, 3),
        ("39%", 10, 3),
        ("5%", 10, 1),
        ("0%", 10, 1),
        ("100%", 7, 7),
        ("-1", 10, 1),
        ("half", 10, 1),
        ("50%", 0, 1),
    ],
)
def test_max_unavailable_is_a_number_or_a_share_and_at_least_one(
    limit: int | str | None, machines: int, expected: int
) -> None:
    assert Pool("worker", limit=limit).max_unavailable(machines) == expected
