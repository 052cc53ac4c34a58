"""What counts as left on a Node, and who still works. Pure parts; the rest is asked of a real API server."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from nodeagent.kube.events import COORDINATOR
from nodeagent.kube.leavings import held, on_node
from nodeagent.kube.nodestatus import WRITTEN
from nodeagent.observed import nodes

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
COORDINATED = (nodes.DESIRED_CONFIG, nodes.LAST_APPLIED_DRAIN, nodes.CORDONED_FOR)


def node(annotations: list[str], conditions: list[str] = [], **writers: list[str]) -> dict[str, Any]:  # noqa: B006
    managed = [
        {"manager": manager, "fieldsV1": {"f:metadata": {"f:annotations": {f"f:{name}": {} for name in names}}}}
        for manager, names in writers.items()
    ]
    return {
        "metadata": {"name": "a", "annotations": dict.fromkeys(annotations, "x"), "managedFields": managed},
        "status": {"conditions": [{"type": each, "status": "True"} for each in conditions]},
    }


@given(
    st.sets(st.sampled_from([*WRITTEN, *COORDINATED, "theirs"])), st.sets(st.sampled_from([*nodes.CONDITIONS, "Ready"]))
)
def test_an_agents_own_words_are_left_and_nothing_else(said: set[str], told: set[str]) -> None:
    found = on_node(node(sorted(said), sorted(told)))
    ours, conditions = said & set(WRITTEN), told & set(nodes.CONDITIONS)
    if found is None:
        assert not ours | conditions
    else:
        assert (set(found.annotations), set(found.conditions), found.uncordon) == (ours, conditions, False)


def test_where_another_agent_writes_the_protocol_is_left_to_it() -> None:
    found = on_node(node(list(WRITTEN), **{"machine-config-daemon": [nodes.STATE]}))
    assert found is not None
    assert found.annotations == (nodes.REPORT, nodes.EGRESS_DRAIN, nodes.EGRESS_SESSIONS)


def test_what_a_controller_assigned_goes_only_if_that_was_ours() -> None:
    ours = on_node(node(list(COORDINATED), **{COORDINATOR: list(COORDINATED)}), coordinated=True)
    assert ours is not None
    assert set(ours.annotations) == set(COORDINATED)
    theirs = on_node(node(list(COORDINATED), **{"machine-config-controller": list(COORDINATED)}), coordinated=True)
    assert theirs is not None
    assert theirs.annotations == (nodes.CORDONED_FOR,)


def test_a_node_that_says_nothing_may_still_be_cordoned() -> None:
    found = on_node(node([]), coordinated=True, uncordon=True)
    assert found is not None
    assert found.describe() == "node a: uncordon"
    assert on_node(node([]), coordinated=True) is None


def test_a_lease_counts_while_it_is_renewed() -> None:
    def lease(age: float, holder: str = "h") -> dict[str, Any]:
        renewed = (NOW - timedelta(seconds=age)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        spec = {"holderIdentity": holder, "leaseDurationSeconds": 15, "renewTime": renewed}
        return {"metadata": {"name": f"l{age:g}"}, "spec": spec}

    found = list(held([lease(0), lease(29), lease(31), lease(1, "")], NOW))
    assert found == [("l0", "h"), ("l29", "h")]
    assert (
        list(held([{"metadata": {"name": "x"}, "spec": {"holderIdentity": "h"}}, {"metadata": {"name": "y"}}], NOW))
        == []
    )
