"""The gateway's own end of BFD: kept, silenced for a reason, told; and moving traffic away by either road."""

from __future__ import annotations

import json
import random
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from nodeagent.agent import gatewayhandover
from nodeagent.agent.turn import Turn
from nodeagent.egress.bulletin import bulletin, last
from nodeagent.egress.node.bird import Session
from nodeagent.egress.node.handover import GatewayHandover
from nodeagent.egress.node.keeper import Keeper, Parts
from nodeagent.egress.node.part import GatewayPart, Leg
from nodeagent.egress.node.passage import Passage
from nodeagent.egress.node.roads import Both, Router, Silence, Withdrawn, Word
from nodeagent.egress.node.series import COLUMNS, series
from nodeagent.egress.node.speech import LOUD, Quiet, Speaking, Speech
from nodeagent.egress.node.upstream import Upstream
from nodeagent.engine.report import Report, State
from nodeagent.errors import Broken, Transient
from nodeagent.host.drainfile import COMMAND, WORK, DrainFiles
from nodeagent.host.gatewaycounters import Counters, Passing
from nodeagent.observed.nodes import DRAIN, EGRESS_DRAIN, EGRESS_SESSIONS, FORCE
from nodeagent.settings import Settings
from tests.unit.egress.parts import part

GATEWAY = part()
REPLY = """\
1020-bfd1:
 IP address                Interface  State      Since         Interval  Timeout
 {v4}                      eth0       {one}      10:00:00.000    0.100    0.300
 {v6}                      eth0       {other}    10:00:00.000    0.100    0.300
0000
"""


@dataclass
class Mouth:
    """Speakers and their silence, in memory."""

    one: str = "Up"
    other: str = "Up"
    running: dict[str, str] = field(default_factory=dict)
    silent: set[str] = field(default_factory=set)
    refuses: bool = False
    tried: int = 0

    def keep(self, namespace: str, configuration: str) -> None:
        self.tried += 1
        if self.refuses:
            raise Broken("bird is not there")
        self.running[namespace] = configuration

    def ask(self, namespace: str, _command: str) -> str:
        if namespace not in self.running:
            raise Transient(f"{namespace}: BIRD does not answer")
        return REPLY.format(v4="10.20.0.1", v6="fd00:20::1", one=self.one, other=self.other)

    def names(self) -> tuple[str, ...]:
        return tuple(self.running)

    def end(self, namespace: str) -> None:
        del self.running[namespace]

    def silence(self, namespace: str) -> None:
        self.silent.add(namespace)

    def unsilence(self, namespace: str) -> None:
        self.silent.remove(namespace)

    def silenced(self, namespace: str) -> bool:
        return namespace in self.silent


class Node:
    """A node with gateways and their speakers."""

    def __init__(self, *parts: GatewayPart) -> None:
        self.parts, self.complete, self.changes, self.now = parts, True, 0, 0.0
        self.reason: Quiet | None = LOUD
        self.mouth = Mouth()
        self.speaking = Speaking(
            lambda: (self.parts, self.complete),
            self.mouth,
            self.mouth,
            lambda _: self.reason,
            self._changed,
            1.0,
            random.Random(7),
            lambda: self.now,
        )

    def _changed(self) -> None:
        self.changes += 1

    def heard(self) -> Speech:
        self.speaking.tick()
        return self.speaking.heard


def test_a_speaker_is_kept_for_each_gateway_that_is_watched() -> None:
    node = Node(GATEWAY, part(port="other", peers=frozenset()))
    assert node.heard().states == {"10.20.0.11": "up", "fd00:20::b": "up"}
    assert set(node.mouth.running) == {GATEWAY.namespace}
    node.parts = ()
    assert node.heard() == Speech()
    assert node.mouth.running == {}


def test_speakers_stay_while_it_is_not_known_who_needs_them() -> None:
    node = Node(GATEWAY)
    node.heard()
    node.parts, node.complete = (), False
    node.heard()
    assert set(node.mouth.running) == {GATEWAY.namespace}


def test_speakers_of_others_are_not_touched() -> None:
    node = Node()
    node.mouth.running["cni-1234"] = ""
    node.heard()
    assert "cni-1234" in node.mouth.running


def test_a_change_of_what_is_heard_is_told_once() -> None:
    node = Node(GATEWAY)
    node.heard()
    node.heard()
    assert node.changes == 1
    node.mouth.other = "Down"
    assert node.heard().states == {"10.20.0.11": "up", "fd00:20::b": "down"}
    assert node.changes == 2


def test_what_cannot_be_asked_is_a_problem_and_no_state() -> None:
    node = Node(GATEWAY)
    node.mouth.refuses = True
    heard = node.heard()
    assert heard.states == {}
    assert len(heard.problems) == 2
    assert "bird is not there" in heard.problems[0]


def test_a_speaker_that_cannot_be_had_is_tried_ever_more_seldom_and_told_all_the_time() -> None:
    node = Node(GATEWAY)
    node.mouth.refuses = True
    tries = []
    for _ in range(8):
        for _ in range(60):
            assert "bird is not there" in node.heard().problems[0]
            node.now += 1.0
        tries.append(node.mouth.tried)
    assert tries[0] < 12
    assert tries[-1] - tries[-4] < 9
    before = node.mouth.tried
    node.parts = (part(peers=frozenset({"10.20.0.1"})),)  # something else is wanted, which may work
    node.heard()
    assert node.mouth.tried == before + 1
    node.mouth.refuses = False
    node.now += 60.0
    assert node.heard().problems == ()
    node.heard()
    assert node.mouth.tried == before + 3


def test_silence_stays_as_it_is_while_nobody_knows_of_a_reason() -> None:
    node = Node(GATEWAY)
    node.reason = None
    assert node.heard().silent == {}
    assert node.mouth.silent == set()
    node.mouth.silence(GATEWAY.namespace)
    assert "not known yet" in node.heard().silent["default/gw"].why
    assert node.mouth.silent == {GATEWAY.namespace}
    node.reason = LOUD
    assert node.heard().silent == {}
    assert node.mouth.silent == set()


def test_a_gateway_is_silent_for_as_long_as_there_is_a_reason() -> None:
    node = Node(GATEWAY)
    node.reason = Quiet("Drained", "the node is drained")
    assert node.heard().silent == {"default/gw": node.reason}
    assert node.mouth.silent == {GATEWAY.namespace}
    node.reason = LOUD
    assert node.heard().silent == {}
    assert node.mouth.silent == set()


# -- the outside ------------------------------------------------------------------------------------------------------


def test_the_outside_is_dead_after_three_looks_and_back_after_three() -> None:
    answers, changes = True, []

    def ask(_part: GatewayPart, _link: str, leg: Leg) -> bool:
        return answers or leg.version == 4

    upstream = Upstream(lambda: [GATEWAY], ask, lambda: changes.append(1), 1.0)

    def after(looks: int) -> str | None:
        for _ in range(looks):
            upstream.tick()
        return upstream.dead(GATEWAY.namespace)

    assert after(2) is None
    assert after(3) == ""
    answers = False
    assert after(2) == ""
    assert after(1) == "2001:db8::1"
    answers = True
    assert after(2) == "2001:db8::1"
    assert after(1) == ""
    assert len(changes) == 3


def test_a_single_look_that_differs_starts_the_count_again() -> None:
    looks = iter([True, True, True, False, False, True, False, False, True])
    upstream = Upstream(lambda: [part(port="p")], lambda *_: next(looks), lambda: None, 1.0)
    upstream.parts = lambda: [_of_ipv4()]
    for number in range(9):
        upstream.tick()
        assert upstream.dead(_of_ipv4().namespace) == (None if number < 2 else "")


def _of_ipv4() -> GatewayPart:
    return part(inside=GATEWAY.inside[:1], outside=GATEWAY.outside[:1], peers=frozenset({"10.20.0.1"}))


# -- what comes and does not go on ------------------------------------------------------------------------------------


class Flow:
    """Counters of one gateway, of IPv4, looked at once a second."""

    def __init__(self) -> None:
        self.now, self.came, self.went, self.changes = 1000.0, 50, 40, 0
        self.passage = Passage(lambda: [GATEWAY], self._count, self._changed, 1.0, random.Random(1), lambda: self.now)
        self.look(0, 0)

    def _count(self, _namespace: str) -> dict[int, Passing]:
        return {4: Passing(self.came, self.went)}

    def _changed(self) -> None:
        self.changes += 1

    def look(self, came: int, went: int, times: int = 1) -> str:
        for _ in range(times):
            self.now, self.came, self.went = self.now + 1.0, self.came + came, self.went + went
            self.passage.tick()
        return self.passage.stuck(GATEWAY.namespace)

    def held(self) -> float:
        """How long it stays stuck with nothing coming, in seconds."""
        began = self.now
        while self.look(0, 0):
            assert self.now - began < 1000
        return self.now - began


def test_a_gateway_that_forwards_nothing_of_what_comes_is_stuck_after_three_looks() -> None:
    flow = Flow()
    assert flow.look(100, 0, times=2) == ""
    assert flow.look(100, 0) == "none of 300 packets of IPv4 that came was forwarded"
    assert flow.changes == 1


@pytest.mark.parametrize(("came", "went"), [(0, 0), (9, 0), (100, 100), (100, 1), (0, 5)])
def test_one_that_forwards_anything_or_to_which_nothing_comes_is_not(came: int, went: int) -> None:
    flow = Flow()
    assert flow.look(came, went, times=10) == ""
    assert flow.changes == 0


def test_a_look_between_at_which_something_goes_on_starts_the_count_again() -> None:
    flow = Flow()
    flow.look(100, 0, times=2)
    flow.look(100, 3)
    assert flow.look(100, 0, times=2) == ""


def test_counters_that_begin_anew_with_their_namespace_are_no_loss() -> None:
    flow = Flow()
    flow.look(1000, 1000)
    flow.came = flow.went = 0
    assert flow.look(0, 0, times=5) == ""


def test_one_that_forwards_again_is_well_after_three_looks() -> None:
    flow = Flow()
    flow.look(100, 0, times=3)
    assert flow.look(10, 10, times=2) != ""
    assert flow.look(10, 10) == ""


def test_one_whose_traffic_is_gone_is_tried_again_ever_later_while_it_fails() -> None:
    flow = Flow()
    waits = []
    for _ in range(30):
        flow.look(100, 0, times=3)
        waits.append(flow.held())
    assert waits[0] <= 11.0
    assert max(waits) <= 601.0
    assert max(waits[-10:]) > 60.0
    flow.look(100, 100, times=61)
    flow.look(100, 0, times=3)
    assert flow.held() <= 11.0


# -- what the job says ------------------------------------------------------------------------------------------------


class _Empty:
    def observe(self, _wanted: object) -> frozenset[object]:
        return frozenset()

    def carry_out(self, _change: object) -> None:
        return


def _report(speech: Speech, drain: str = "") -> Report:
    said: list[Report] = []

    class Reporter:
        def publish(self, report: Report) -> None:
            said.append(report)

    plane = _Empty()
    keeper = Keeper(lambda: Parts((GATEWAY,)), plane, plane, Reporter(), 1.0, lambda: speech, lambda: drain)  # type: ignore[arg-type] # by shape
    keeper.tick()
    return said[0]


@pytest.mark.parametrize(
    ("speech", "drain", "state", "cause"),
    [
        (Speech(states={"10.20.0.11": "up"}), "", State.DONE, "GatewaysInPlace"),
        (Speech(states={"10.20.0.11": "down"}), "", State.DEGRADED, "SessionDown"),
        (Speech(states={"10.20.0.11": "down"}), "drain", State.DONE, "GatewaysDrained"),
        (Speech(silent={"default/gw": Quiet("UpstreamDead", "nobody answers")}), "", State.DEGRADED, "UpstreamDead"),
        (Speech(silent={"default/gw": Quiet("NothingForwarded", "300")}), "", State.DEGRADED, "NothingForwarded"),
        (Speech(problems=("bird is not there",)), "", State.DEGRADED, "GatewayNotInPlace"),
    ],
)
def test_the_condition_says_what_is_wrong(speech: Speech, drain: str, state: State, cause: str) -> None:
    report = _report(speech, drain)
    assert (report.state, report.cause) == (state, cause)


def test_sessions_and_a_drain_are_told_on_the_node_and_absent_where_there_are_none() -> None:
    said = _report(Speech(states={"10.20.0.11": "up"}), "drain").annotations
    assert (json.loads(said[EGRESS_SESSIONS] or ""), said[EGRESS_DRAIN]) == ({"10.20.0.11": "up"}, "drain")
    assert set(_report(Speech()).annotations.values()) == {None}


def test_every_table_of_metrics_has_rows() -> None:
    heard = Speech({"default/gw": (Session("10.20.0.1", "eth0", "up", 0.1, 0.3),)})
    found = series([GATEWAY], heard, {"default/gw": Counters(10, 3, 100)})
    assert set(found) == set(COLUMNS)
    assert all(found.values())


# -- moving traffic away ----------------------------------------------------------------------------------------------


ONE = ("nodeagent-egress-1",)


class Hour:
    """A clock that only sleeping moves, with something that happens on the way."""

    def __init__(self) -> None:
        self.now = 0.0

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@dataclass
class Road:
    takes: float
    hour: Hour
    gone: list[str] = field(default_factory=list)

    def leave(self, namespaces: Collection[str], *, force: bool) -> None:
        assert namespaces == ONE
        self.gone.append("force" if force else "leave")

    def left(self, _namespaces: Collection[str]) -> str:
        return "" if self.hour.now >= self.takes else "10.20.0.11"

    def returned(self, _namespaces: Collection[str]) -> str:
        return "" if self.hour.now >= self.takes else "10.20.0.1"

    def come_back(self) -> None:
        self.gone.append("back")


def _handover(road: Road, packets: Mapping[float, int]) -> GatewayHandover:
    """`packets` are those forwarded until a time."""

    def counters(_namespace: str) -> Counters:
        seen = [count for until, count in sorted(packets.items()) if until <= road.hour.now]
        return Counters(seen[-1] if seen else 0, 7, 100)

    return GatewayHandover(road, counters, lambda: road.hour.now, road.hour.sleep)


def test_it_waits_for_the_road_and_for_quiet() -> None:
    hour = Hour()
    road = Road(1.0, hour)
    moved = _handover(road, {0.5: 10, 1.2: 20}).prepare(ONE, 10.0)
    assert moved.connections == 7
    assert 1.3 <= hour.now < 3.0
    assert road.gone == ["leave"]


def test_old_connections_that_go_on_sending_are_waited_for_only_so_long() -> None:
    hour = Hour()
    road = Road(0.0, hour)
    _handover(road, {number / 10: number for number in range(1000)}).prepare(ONE, 60.0, force=True)
    assert 3.0 <= hour.now < 4.0
    assert road.gone == ["force"]


def test_what_has_not_moved_in_time_is_taken_back() -> None:
    hour = Hour()
    road = Road(99.0, hour)
    with pytest.raises(Transient, match=r"10\.20\.0\.11"):
        _handover(road, {}).prepare(ONE, 2.0)
    assert road.gone == ["leave", "back"]


def test_a_node_without_gateways_has_nothing_to_move() -> None:
    road = Road(99.0, Hour())
    assert _handover(road, {}).prepare((), 1.0).connections == 0
    assert road.gone == []


def test_the_return_is_awaited_for_so_long() -> None:
    hour = Hour()
    road = Road(2.0, hour)
    assert _handover(road, {}).resume(ONE, 10.0) == ""
    assert 2.0 <= hour.now < 2.5
    road.takes = 99.0
    assert _handover(road, {}).resume(ONE, 10.0) == "10.20.0.1"
    assert 12.0 <= hour.now < 13.0
    assert road.gone == ["back", "back"]


@dataclass
class Air:
    """Routers as one hears them in namespaces: each says `said` every `pause` seconds."""

    hour: Hour
    said: dict[Router, str]
    pause: float = 1.0
    hushed: set[str] = field(default_factory=set)

    def silence(self, namespace: str) -> None:
        self.hushed.add(namespace)

    def unsilence(self, namespace: str) -> None:
        self.hushed.remove(namespace)

    def silent(self) -> Collection[str]:
        return tuple(sorted(self.hushed))

    def heard(self, names: Collection[str], seconds: float) -> Mapping[Router, str]:
        before = self.hour.now
        self.hour.sleep(seconds)
        spoken = int(self.hour.now / self.pause) > int(before / self.pause)
        return {router: state for router, state in self.said.items() if spoken and router[0] in names}


def _silence(tmp_path: Path, air: Air) -> Silence:
    return Silence(DrainFiles(str(tmp_path)), air, WORK, 3.0, clock=lambda: air.hour.now)


ROUTER, ROUTER6 = ("nodeagent-egress-1", "10.20.0.1"), ("nodeagent-egress-1", "fd00:20::1")


def test_by_silence_traffic_has_left_once_every_router_says_that_it_has_missed_the_gateway(tmp_path: Path) -> None:
    air = Air(Hour(), {ROUTER: "up", ROUTER6: "up"}, 0.1)
    road = _silence(tmp_path, air)
    road.leave(ONE, force=False)
    assert (air.hushed, DrainFiles(str(tmp_path)).word()) == (set(ONE), DRAIN)
    assert "10.20.0.1" in road.left(ONE)
    air.said[ROUTER] = "down"
    assert road.left(ONE) == "fd00:20::1 may still send here"
    air.hour.now += 10.0  # however long the setting says: this one has not missed it
    assert road.left(ONE) == "fd00:20::1 may still send here"
    air.said[ROUTER6] = "admin_down"
    assert road.left(ONE) == ""


def test_by_silence_routers_that_are_not_heard_are_waited_for_as_long_as_they_may_take(tmp_path: Path) -> None:
    air = Air(Hour(), {ROUTER: "up"}, 1.0)
    road = _silence(tmp_path, air)
    road.leave(ONE, force=True)
    air.said.clear()
    began, waits = air.hour.now, True
    while waits:
        waits = bool(road.left(ONE))
    assert 3.0 <= air.hour.now - began < 4.5
    assert DrainFiles(str(tmp_path)).word() == FORCE
    deaf = _silence(tmp_path, Air(Hour(), {}))
    deaf.leave(ONE, force=False)
    assert deaf.left(ONE) == "a router of nodeagent-egress-1 may still send here"


def test_by_silence_traffic_is_back_once_the_routers_that_were_up_are_so_again(tmp_path: Path) -> None:
    air = Air(Hour(), {ROUTER: "up", ROUTER6: "down"}, 0.1)
    road = _silence(tmp_path, air)
    road.leave(ONE, force=False)
    air.said[ROUTER] = "down"
    assert road.left(ONE) == ""
    road.come_back()
    assert (air.hushed, DrainFiles(str(tmp_path)).word()) == (set(), "")
    assert road.returned(ONE) == "10.20.0.1 does not have its session up"
    air.said[ROUTER] = "up"
    assert road.returned(ONE) == ""
    after_a_boot = _silence(tmp_path, air)
    assert "fd00:20::1" in after_a_boot.returned(ONE)


def test_by_silence_the_last_nexthop_that_works_stays_but_by_force(tmp_path: Path) -> None:
    air, files = Air(Hour(), {ROUTER: "up"}, 0.1), DrainFiles(str(tmp_path))
    road = _silence(tmp_path, air)
    road.last = lambda _: ("10.20.0.11 of gateway default/gw",)
    with pytest.raises(Transient, match=r"10\.20\.0\.11 of gateway default/gw is the last nexthop"):
        road.leave(ONE, force=False)
    assert (air.hushed, files.word()) == (set(), "")
    files.begin(COMMAND, FORCE)  # an administrator's word counts for the agent's work too
    road.leave(ONE, force=False)
    assert air.hushed == set(ONE)


@pytest.mark.parametrize(
    ("states", "found"),
    [
        ({"10.20.0.11": "up", "10.20.0.12": "up"}, ()),
        ({"10.20.0.11": "up", "10.20.0.12": "down"}, ("10.20.0.11 of gateway default/gw",)),
        ({"10.20.0.11": "down", "10.20.0.12": "down"}, ()),  # nothing is left that could be lost
        ({"10.20.0.12": "up"}, ()),
        ({"10.20.0.11": "up", "10.20.0.12": "up", "fd00:20::b": "up"}, ("fd00:20::b of gateway default/gw",)),
        ({}, ()),
    ],
)
def test_the_coordinators_word_tells_which_nexthops_are_the_last(
    states: dict[str, str], found: tuple[str, ...]
) -> None:
    text = bulletin({"default/gw": states, "default/other": {"10.30.0.1": "up"}})
    assert last(text, {"10.20.0.11", "fd00:20::b", "192.0.2.1"}) == found


@pytest.mark.parametrize("text", ["", "[]", '{"default/gw": "up"}', "nonsense"])
def test_what_is_no_bulletin_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"^(Expecting|it is no)"):
        last(text, ())


def test_gateways_of_others_go_silent_beside_those_that_the_coordinator_withdraws(tmp_path: Path) -> None:
    air = Air(Hour(), {("cni-1", "10.20.0.1"): "up"}, 0.1)
    said = {"10.20.0.11": Word(False)}
    files = DrainFiles(str(tmp_path))
    ours = Withdrawn(files, lambda: said, WORK, lambda: air.hour.now)
    road = Both(ours, _silence(tmp_path, air), lambda namespace: namespace in ONE)
    both = (*ONE, "cni-1")
    road.leave(both, force=False)
    assert (air.hushed, files.word()) == ({"cni-1"}, DRAIN)
    assert road.left(both) == "10.20.0.1 may still send here; the coordinator has not withdrawn 10.20.0.11"
    air.said[("cni-1", "10.20.0.1")] = "down"
    said["10.20.0.11"] = Word(True, "Drained", "admin_down")
    assert road.left(both) == ""
    assert road.left(ONE) == ""
    road.come_back()
    assert (air.hushed, files.word()) == (set(), "")
    assert road.returned(both) == "10.20.0.1 does not have its session up; 10.20.0.11 does not take traffic yet"
    air.said[("cni-1", "10.20.0.1")] = "up"
    said["10.20.0.11"] = Word(False)
    assert road.returned(both) == ""


def test_a_node_that_stays_drained_waits_for_nothing(tmp_path: Path) -> None:
    files = DrainFiles(str(tmp_path))
    files.begin(COMMAND, DRAIN)
    air = Air(Hour(), {ROUTER: "down"}, 0.1, set(ONE))
    for road in (_silence(tmp_path, air), Withdrawn(files, lambda: {"10.20.0.11": Word(True)}, WORK)):
        road.come_back()
        assert road.returned(ONE) == ""
    assert air.hushed == set(ONE)


def test_by_the_coordinator_traffic_is_back_once_it_says_so(tmp_path: Path) -> None:
    said = {"10.20.0.11": Word(True, "Drained", "admin_down")}
    road = Withdrawn(DrainFiles(str(tmp_path)), lambda: said, WORK)
    assert road.returned(ONE) == "10.20.0.11 does not take traffic yet"
    said["10.20.0.11"] = Word(False, "", "down")
    assert road.returned(ONE) != ""
    said["10.20.0.11"] = Word(False, "", "up")
    assert road.returned(ONE) == ""
    said["10.20.0.11"] = Word(False, "", "unwatched")
    assert road.returned(ONE) == ""


def test_the_coordinators_word_that_it_is_the_last_is_believed_after_a_while(tmp_path: Path) -> None:
    hour, said = Hour(), {"10.20.0.11": Word(False, "Drained")}
    road = Withdrawn(DrainFiles(str(tmp_path)), lambda: said, WORK, lambda: hour.now)
    with pytest.raises(Transient, match="last nexthop"):
        GatewayHandover(road, lambda _: Counters(), lambda: hour.now, hour.sleep).prepare(ONE, 30.0)
    assert DrainFiles(str(tmp_path)).word() == ""
    said["10.20.0.11"] = Word(True, "Drained")
    GatewayHandover(road, lambda _: Counters(), lambda: hour.now, hour.sleep).prepare(ONE, 30.0)
    assert DrainFiles(str(tmp_path)).word() == DRAIN


def test_drains_by_command_and_for_work_are_told_apart(tmp_path: Path) -> None:
    files = DrainFiles(str(tmp_path))
    files.begin(COMMAND, DRAIN)
    files.begin(WORK, FORCE)
    assert (files.word(), len(files.left())) == (FORCE, 2)
    files.end(WORK)
    files.end(WORK)
    assert files.word() == DRAIN
    files.end(COMMAND)
    assert (files.word(), files.left()) == ("", ())


@pytest.mark.parametrize("said", ["drain", "drain x", "drain 0", "nonsense 5", "", "\xff" * 100])
def test_a_file_for_work_that_is_old_or_garbage_counts_for_nothing(tmp_path: Path, said: str) -> None:
    (tmp_path / WORK).write_text(said, encoding="latin-1")
    counts = said == "drain 0" and DrainFiles(str(tmp_path)).word() == DRAIN  # a machine that has just booted
    assert counts or DrainFiles(str(tmp_path)).word() == ""


def test_a_node_that_can_never_hand_over_does_not_keep_its_work_waiting(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    told: list[tuple[str, str]] = []

    class Events:
        def record(self, kind: str, reason: str, _message: str) -> None:
            told.append((kind, reason))

    class Barred(Road):
        def leave(self, namespaces: Collection[str], *, force: bool) -> None:
            raise Broken(f"libnftables.so.1 is not there, force or not: {force}, {namespaces}")

    monkeypatch.setattr(gatewayhandover, "carried", lambda: ONE)
    road = Barred(0.0, Hour())
    settings = replace(Settings(), run_dir=str(tmp_path))
    gatewayhandover.PlannedWork(settings, road, Turn(None, "", "", "n1", ""), Events()).prepare("a reboot", 10.0)
    assert told == [("Warning", "EgressNotHandedOver")]
    assert road.gone == ["back"]
