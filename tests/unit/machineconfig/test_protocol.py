"""The node protocol from the agent's side."""

from __future__ import annotations

from typing import Any

import pytest

from nodeagent.engine.report import Report, State
from nodeagent.machineconfig.protocol import DrainRequest, announcement
from nodeagent.machineconfig.surroundings import Absence
from nodeagent.observed import nodes
from nodeagent.observed.nodes import NodeView

DETAIL: dict[str, Any] = {"config": "render-worker-1", "pending": None}


def test_done_says_what_is_current_and_no_reason() -> None:
    said = announcement(Report("machineconfig", State.DONE, "", "AsDeclared", DETAIL))
    assert said == {
        nodes.STATE: "Done",
        nodes.REASON: "",
        nodes.POST_CONFIG_ACTION: "",
        nodes.CURRENT_CONFIG: "render-worker-1",
    }


def test_a_config_is_not_current_before_its_reboot_is_over() -> None:
    pending = DETAIL | {"pending": {"boot": "b", "why": "x"}}
    said = announcement(Report("machineconfig", State.WORKING, "rebooting: x", "Rebooting", pending))
    assert nodes.CURRENT_CONFIG not in said
    assert said[nodes.POST_CONFIG_ACTION] == "Rebooting"


def test_a_node_that_has_no_config_names_none() -> None:
    said = announcement(Report("machineconfig", State.DONE, "", "AsDeclared", DETAIL | {"config": ""}))
    assert nodes.CURRENT_CONFIG not in said


def test_a_long_reason_is_cut() -> None:
    said = announcement(Report("machineconfig", State.DEGRADED, "x" * 5000, "Drift", DETAIL))
    assert len(said[nodes.REASON]) == 2000


class Board:
    """A Node whose annotations the request writes; the test is the controller."""

    def __init__(self) -> None:
        self.annotations: dict[str, str] = {}
        self.now = 0.0
        self.seen = True
        self.requests = DrainRequest(self.node, self.ask, timeout=60.0, clock=lambda: self.now)

    def node(self) -> NodeView | None:
        return NodeView("n1", annotations=self.annotations) if self.seen else None

    def ask(self, value: str) -> None:
        self.annotations[nodes.DESIRED_DRAIN] = value

    def answer(self) -> None:
        self.annotations[nodes.LAST_APPLIED_DRAIN] = self.annotations[nodes.DESIRED_DRAIN]


def test_a_drain_is_asked_for_answered_and_given_back() -> None:
    board = Board()
    assert board.requests.away("a") is Absence.LEAVING
    assert board.annotations == {nodes.DESIRED_DRAIN: "drain-a"}
    board.answer()
    assert board.requests.away("a") is Absence.GONE
    board.requests.back()
    assert board.annotations[nodes.DESIRED_DRAIN] == "uncordon-a"
    board.answer()
    before = dict(board.annotations)
    board.requests.back()
    assert board.annotations == before
    assert board.requests.away("a") is Absence.LEAVING, "an uncordon is no answer to a drain"


def test_a_drain_for_one_config_is_none_for_another() -> None:
    board = Board()
    board.requests.away("a")
    board.answer()
    assert board.requests.away("b") is Absence.LEAVING


def test_nobody_answering_shows_and_is_asked_on() -> None:
    board = Board()
    board.requests.away("a")
    board.now = 61.0
    assert board.requests.away("a") is Absence.OVERDUE
    board.answer()
    assert board.requests.away("a") is Absence.GONE


@pytest.mark.parametrize("annotation", ["", "uncordon-a"])
def test_what_was_not_drained_is_not_given_back(annotation: str) -> None:
    board = Board()
    board.annotations = {nodes.DESIRED_DRAIN: annotation}
    board.requests.back()
    assert board.annotations == {nodes.DESIRED_DRAIN: annotation}


def test_an_agent_gives_back_what_it_asked_for_before_a_reboot() -> None:
    board = Board()
    board.annotations = {nodes.DESIRED_DRAIN: "drain-a", nodes.LAST_APPLIED_DRAIN: "drain-a"}
    board.seen = False
    board.requests.back()
    assert board.annotations[nodes.DESIRED_DRAIN] == "drain-a", "the Node has not been seen yet"
    board.seen = True
    board.requests.back()
    assert board.annotations[nodes.DESIRED_DRAIN] == "uncordon-a"
