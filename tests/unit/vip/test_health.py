"""This node's health as one number."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from nodeagent.vip.health import FAULT, HEALTHY, LIVE, LOWEST, READY, Health, Look, Rule, Scope, rules
from nodeagent.vip.monitor import HEARTBEAT, Lookout, Monitor, looks_at

OWN = Rule("own", Scope.OWN, fall=2, rise=3)
SHARED = Rule("shared", Scope.SHARED, 60, fall=1, rise=1)
WELL, ILL = Look(True), Look(False, "broken")

_rules = st.builds(
    Rule, st.sampled_from("abcdef"), st.sampled_from(Scope), st.integers(0, 300), st.integers(1, 4), st.integers(1, 4)
)
_looks = st.lists(st.dictionaries(st.sampled_from("abcdef"), st.booleans().map(Look)), max_size=20)


def _values(rule: Rule, looks: str) -> list[int]:
    """Values after each of `looks`, a string of + and -."""
    health, values = Health.begin([rule]), []
    for each in looks:
        health = health.after({rule.name: WELL if each == "+" else ILL})
        values.append(health.value)
    return values


def test_a_check_changes_sides_only_after_enough_looks_in_a_row() -> None:
    assert _values(OWN, "-+-+--+-++-+++") == [0, 0, 0, 0, 0, *[FAULT] * 7, FAULT, 0]


def test_a_shared_fault_only_lowers_the_priority() -> None:
    assert _values(SHARED, "-+") == [-60, HEALTHY]


def test_a_failed_check_says_why_until_it_is_well() -> None:
    health = Health.begin([SHARED]).after({"shared": ILL})
    assert [check.detail for check in health.failed] == ["broken"]
    assert health.after({"shared": WELL}).checks[0].detail == ""


@given(st.lists(_rules, unique_by=lambda rule: rule.name), _looks)
def test_only_a_fault_of_this_node_alone_leaves_the_election(found: list[Rule], looks: list[dict[str, Look]]) -> None:
    health = Health.begin(found)
    for each in looks:
        health = health.after(each)
    own = any(check.rule.scope is Scope.OWN for check in health.failed)
    assert (health.value == FAULT) == own
    assert health.value == FAULT or LOWEST <= health.value <= HEALTHY


class _Tracked:
    def __init__(self, standing: int | None = None) -> None:
        self.written: list[int] = []
        self._standing = standing

    def standing(self) -> int | None:
        return self._standing

    def write(self, value: int) -> None:
        self.written.append(value)


def test_the_loop_writes_each_change_at_once_and_a_heartbeat_each_second() -> None:
    now, sick, drained = 0.0, "", 0
    tracked = _Tracked()
    monitor = Monitor(
        rules({READY: 20}, 2, 2),
        looks_at({LIVE: lambda: sick, READY: lambda: sick}),
        tracked,
        0.25,
        lambda: now,
        lambda: drained,
    )
    for _ in range(6):
        assert monitor.tick() == 0.25
        now += HEARTBEAT / 4
    assert tracked.written == [0, 0]
    sick = "refused"
    monitor.tick()
    monitor.tick()
    assert tracked.written[2:] == [FAULT]
    assert {check.detail for check in monitor.health.failed} == {"refused"}


def test_a_loop_that_begins_beside_a_fault_does_not_undo_it_first() -> None:
    """An agent that was killed and came back: what stood in the track file stands until the new one knows."""
    tracked = _Tracked(FAULT)
    monitor = Monitor((OWN,), {"own": lambda: ILL}, tracked, 1.0, lambda: 0.0, lambda: 0)
    for _ in range(3):
        monitor.tick()
    assert tracked.written == [FAULT]


def test_a_node_that_comes_back_is_believed_only_after_many_good_looks() -> None:
    """A boot: keepalived has made the track file with FAULT in it, and the heartbeat says that somebody decides."""
    now, tracked = 0.0, _Tracked(FAULT)
    monitor = Monitor((OWN,), {"own": lambda: WELL}, tracked, 1.0, lambda: now, lambda: 0)
    for _ in range(OWN.rise):
        monitor.tick()
        now += HEARTBEAT
    assert tracked.written == [*[FAULT] * (OWN.rise - 1), HEALTHY]


def test_a_check_that_never_comes_to_a_result_leaves_the_decision_to_the_guard() -> None:
    now, tracked, looks = 0.0, _Tracked(FAULT), itertools.cycle([WELL, ILL])
    monitor = Monitor((OWN,), {"own": lambda: next(looks)}, tracked, 1.0, lambda: now, lambda: 0)
    for _ in range(200):
        monitor.tick()
        now += HEARTBEAT
    assert len(tracked.written) < 100


def test_planned_work_lowers_what_health_would_say() -> None:
    drained, tracked = LOWEST, _Tracked()
    monitor = Monitor((SHARED,), {"shared": lambda: ILL}, tracked, 1.0, lambda: 0.0, lambda: drained)
    monitor.tick()
    drained = 0
    monitor.tick()
    assert tracked.written == [LOWEST, -60]


def test_a_server_that_lives_without_etcd_keeps_its_node_in_the_election() -> None:
    tracked = _Tracked()
    looks = looks_at({LIVE: lambda: "", READY: lambda: "etcd"})
    monitor = Monitor(rules({READY: 20}, 1, 1), looks, tracked, 1.0, lambda: 0.0, lambda: 0)
    monitor.tick()
    assert tracked.written == [-20]


def test_slow_looks_are_collected_once_and_count_with_the_quick_ones() -> None:
    tracked, sick = _Tracked(), "full"
    lookout = Lookout(looks_at({"disk": lambda: sick}), 1.0)
    monitor = Monitor(
        rules({"disk": 10}, 2, 2),
        looks_at({LIVE: lambda: ""}),
        tracked,
        0.25,
        lambda: 0.0,
        lambda: 0,
        elsewhere=lookout.collected,
    )
    for _ in range(2):
        assert lookout.tick() == 1.0
        for _ in range(4):
            monitor.tick()
    assert tracked.written == [-10]


def test_a_careful_beginning_asks_for_as_many_good_looks_as_a_failure() -> None:
    health, steps = Health.begin([OWN], careful=True), 0
    while not health.known:
        health, steps = health.after({"own": WELL}), steps + 1
    assert (steps, health.value) == (OWN.rise, HEALTHY)


def test_a_look_of_weight_zero_is_not_made() -> None:
    assert [rule.name for rule in rules({READY: 20, "disk": 0}, 1, 1)] == [LIVE, READY]


@given(st.dictionaries(st.sampled_from([READY, "balancer", "etcd", "disk", "certificate"]), st.integers(0, 253)))
def test_whatever_peers_can_share_never_makes_all_of_them_leave(weights: dict[str, int]) -> None:
    health = Health.begin(rules(weights, 1, 1)).after(dict.fromkeys(weights, ILL) | {LIVE: WELL})
    assert LOWEST <= health.value <= HEALTHY
