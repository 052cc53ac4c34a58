"""Patches of a Node: only what differs, never what is others'."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from nodeagent.kube.conditions import LARGEST_ANNOTATION, bounded, node_patch, removal
from nodeagent.observed import nodes
from nodeagent.observed.nodes import Condition
from tests.fakes.objects import merged

_NOW = datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)
_LATER = datetime(2026, 5, 4, 4, 0, 0, tzinfo=UTC)
_WORDS = st.text("abc…", max_size=3)
_ANNOTATIONS = st.dictionaries(st.sampled_from([nodes.STATE, nodes.REASON, "theirs"]), _WORDS)
_CONDITIONS = st.lists(
    st.builds(
        Condition, st.sampled_from([*nodes.CONDITIONS, "Ready"]), st.sampled_from(["True", "False"]), _WORDS, _WORDS
    ),
    unique_by=lambda each: each.type,
)


def _node(annotations: dict[str, str], conditions: list[Condition]) -> dict[str, Any]:
    patch = node_patch({}, annotations, conditions, _NOW)
    node: dict[str, Any] = merged({"metadata": {}}, patch, strategic=True)
    return node


@given(
    _ANNOTATIONS,
    _CONDITIONS,
    st.dictionaries(st.sampled_from([nodes.STATE, nodes.REASON]), st.none() | _WORDS),
    _CONDITIONS,
)
def test_after_its_patch_a_node_needs_none_and_others_words_stay(
    stood: dict[str, str], were: list[Condition], wanted: dict[str, str | None], conditions: list[Condition]
) -> None:
    before = _node(stood, were)
    patch = node_patch(before, wanted, conditions, _LATER)
    after = merged(before, patch, strategic=True)
    assert node_patch(after, wanted, conditions, _LATER) == {}
    assert after["metadata"].get("annotations", {}).get("theirs") == stood.get("theirs")
    untouched = {each.type for each in were} - {each.type for each in conditions}
    assert {json.dumps(each) for each in _conditions(before) if each["type"] in untouched} <= {
        json.dumps(each) for each in _conditions(after)
    }


@given(_ANNOTATIONS, _CONDITIONS)
def test_what_was_written_can_be_taken_away(stood: dict[str, str], were: list[Condition]) -> None:
    before = _node(stood, were)
    after = merged(before, removal(before, [nodes.STATE, nodes.REASON], nodes.CONDITIONS), strategic=True)
    assert set(after["metadata"].get("annotations", {})) <= {"theirs"}
    assert {each["type"] for each in _conditions(after)} <= {"Ready"}
    assert removal(after, [nodes.STATE, nodes.REASON], nodes.CONDITIONS) == {}


def _conditions(node: dict[str, Any]) -> list[dict[str, str]]:
    found: list[dict[str, str]] = node.get("status", {}).get("conditions", [])
    return found


def test_a_transition_is_dated_only_when_the_status_changes() -> None:
    good = Condition("MachineConfigDegraded", "False", "AsDeclared", "")
    node = _node({}, [good])
    (still,) = node_patch(node, {}, [Condition(good.type, "False", "AsDeclared", "news")], _LATER)["status"][
        "conditions"
    ]
    assert still["lastHeartbeatTime"] == "2026-05-04T04:00:00Z"
    assert "lastTransitionTime" not in still
    (turned,) = node_patch(node, {}, [Condition(good.type, "True", "Drift", "")], _LATER)["status"]["conditions"]
    assert turned["lastTransitionTime"] == "2026-05-04T04:00:00Z"


@given(st.text(max_size=10), st.integers(0, 20000))
def test_values_are_bounded(word: str, times: int) -> None:
    text = word * times
    reason, other = bounded(nodes.REASON, text), bounded(nodes.REPORT, text)
    assert reason is not None
    assert other is not None
    assert len(reason) <= 2000
    assert len(other.encode()) <= LARGEST_ANNOTATION
    assert other == text or other.endswith("…")
