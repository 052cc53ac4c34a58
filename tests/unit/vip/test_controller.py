"""The loop that follows keepalived: when it asks, what it tells, and that it forgets nothing in between."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from nodeagent.engine.report import Report, State
from nodeagent.errors import Transient
from nodeagent.observed.vrrp import Advert, Assigned, Daemon, Removal, Reported, Transition, VrrpState
from nodeagent.vip.controller import Audience, Fitness, Look, VipController
from nodeagent.vip.health import FAULT, Health, Rule, Scope
from nodeagent.vip.health import Look as HealthLook
from nodeagent.vip.inventory import CONFIG
from nodeagent.vip.series import COLUMNS, series
from tests.unit.vip.files import FilesInMemory

VIP, PEER = "10.0.0.100", "10.0.0.2"
TEXT = f"""
global_defs {{ vrrp_version 3 }}
vrrp_instance VI_1 {{
  interface eth0
  virtual_router_id 51
  priority 150
  advert_int 0.3
  unicast_peer {{ {PEER} }}
  virtual_ipaddress {{ {VIP}/24 }}
}}
"""
MASTER = Reported("VI_1", VrrpState.MASTER, "eth0", 51, 3, 150, 150, (VIP,), 0.3, False, 500.0)


@dataclass
class FakeNode:
    """A node whose keepalived answers with `answers`; counts how often it was asked, and the link."""

    texts: dict[str, str] = field(default_factory=lambda: {CONFIG: TEXT})
    running: tuple[Daemon, ...] = (Daemon(7, 70, dumps=True),)
    answers: tuple[Reported, ...] | None = (MASTER,)
    addresses: frozenset[Assigned] = frozenset({Assigned(VIP, "eth0")})
    others: frozenset[str] = frozenset()
    heard_adverts: frozenset[Advert] = frozenset()
    ended: bool = False
    asked: int = 0
    probed: int = 0

    def name(self) -> str:
        return "cp-1"

    def daemons(self) -> tuple[Daemon, ...]:
        return self.running

    def files(self, daemon: Daemon | None) -> FilesInMemory:
        del daemon
        return FilesInMemory(self.texts)

    def ask(self, daemon: Daemon) -> tuple[Reported, ...] | None:
        del daemon
        self.asked += 1
        if self.ended:
            raise Transient("it has ended")
        return self.answers

    def assigned(self) -> frozenset[Assigned]:
        return self.addresses

    def owners(self, interface: str, address: str) -> frozenset[str] | None:
        del interface, address
        self.probed += 1
        return self.others

    def adverts(self, seconds: float) -> frozenset[Advert]:
        del seconds
        return self.heard_adverts

    def mac(self, interface: str) -> str:
        return f"mac of {interface}"


@dataclass
class Scene:
    """A controller on a fake node, whose clocks are turned by hand."""

    node: FakeNode = field(default_factory=FakeNode)
    now: float = 1000.0
    lines: dict[str, Transition] = field(default_factory=dict)
    lost: tuple[Removal, ...] = ()
    fitness: Fitness = field(default_factory=lambda: Fitness(Health(())))
    reports: list[Report] = field(default_factory=list)
    events: list[tuple[str, str]] = field(default_factory=list)
    looks: list[Look] = field(default_factory=list)

    def __post_init__(self) -> None:
        audience = Audience(self, self, self.looks.append)
        self.controller = VipController(
            self.node, self, lambda: self.fitness, audience, 60.0, lambda: self.now, lambda: self.now
        )

    def heard(self) -> Mapping[str, Transition]:
        return self.lines

    def removals(self) -> tuple[Removal, ...]:
        return self.lost

    def publish(self, report: Report) -> None:
        self.reports.append(report)

    def record(self, kind: str, reason: str, message: str) -> None:
        del message
        self.events.append((kind, reason))

    def tick(self, after: float = 10.0) -> float:
        self.now += after
        return self.controller.tick()

    @property
    def report(self) -> Report:
        return self.reports[-1]

    @property
    def codes(self) -> set[str]:
        return {str(each.code) for each in self.looks[-1].findings}


def test_keepalived_is_asked_at_first_and_then_only_when_the_time_to_probe_has_come() -> None:
    scene = Scene()
    for _ in range(5):
        scene.tick()
    assert (scene.node.asked, scene.node.probed) == (1, 1)
    assert (scene.report.state, scene.report.cause) == (State.DONE, "AsConfigured")
    scene.tick(60.0)
    assert (scene.node.asked, scene.node.probed) == (2, 2)


def test_something_that_happens_is_a_reason_to_ask_and_many_things_are_one() -> None:
    scene = Scene()
    scene.tick()
    scene.controller.woken()
    scene.tick(1.0)
    assert scene.node.asked == 2
    for _ in range(10):
        scene.controller.woken()
        assert scene.tick(0.01) <= 0.5
    assert scene.node.asked == 2
    scene.tick(1.0)
    assert scene.node.asked == 3, "what was put off is not forgotten"


def test_a_restart_or_another_file_is_a_reason_to_ask() -> None:
    scene = Scene()
    scene.tick()
    scene.node.running = (Daemon(8, 80, dumps=True),)
    scene.tick(1.0)
    scene.node.texts[CONFIG] = TEXT.replace("150", "151")
    scene.tick(1.0)
    assert scene.node.asked == 3
    assert scene.codes == {"ConfigurationNotLoaded"}


def test_what_is_heard_counts_when_it_is_newer() -> None:
    scene = Scene()
    scene.tick()
    scene.lines["VI_1"] = Transition("VI_1", VrrpState.BACKUP, 150, scene.now + 1)
    scene.node.addresses = frozenset()
    scene.tick()
    (instance,) = scene.report.summary["instances"]
    assert (instance["state"], instance["source"], instance["held"]) == ("BACKUP", "fifo", [])
    assert scene.events == [("Normal", "VIPTransition")]


def test_a_hung_keepalived_is_asked_each_time_until_it_answers() -> None:
    scene = Scene()
    scene.tick()
    scene.node.answers = None
    scene.tick(60.0)
    assert "KeepalivedHung" in scene.codes
    assert scene.report.state is State.DEGRADED
    scene.node.answers = (MASTER,)
    scene.tick()
    scene.tick()
    assert scene.codes == set()
    assert ("Warning", "KeepalivedHung") in scene.events
    assert ("Normal", "VIPFindingGone") in scene.events


def test_one_that_ends_while_it_is_asked_is_no_fault_of_ours() -> None:
    scene = Scene(FakeNode(ended=True))
    scene.tick()
    assert "KeepalivedHung" not in scene.codes


def test_what_the_link_said_counts_until_the_address_moves() -> None:
    scene = Scene(FakeNode(others=frozenset({"02:00:00:00:00:02"})))
    scene.tick()
    scene.tick(1.0)
    assert scene.codes == {"DuplicateOwner"}
    assert scene.node.probed == 1
    scene.node.addresses = frozenset()
    scene.lines["VI_1"] = Transition("VI_1", VrrpState.BACKUP, 150, scene.now)
    scene.tick()
    assert scene.codes == set()


def test_a_finding_of_the_link_is_checked_again_soon() -> None:
    scene = Scene(FakeNode(others=frozenset({"02:00:00:00:00:02"})))
    scene.tick()
    scene.node.others = frozenset()
    scene.tick()
    assert (scene.node.probed, scene.codes) == (2, set())


def test_who_took_the_address_away_is_told_for_a_while() -> None:
    scene = Scene()
    scene.lost = (Removal(VIP, "eth0", "systemd-networkd (process 412)", 1005.0),)
    scene.tick()
    assert scene.codes == {"VIPDropped"}
    assert "systemd-networkd (process 412)" in scene.report.reason
    scene.tick(1000.0)
    assert scene.codes == set()


def test_a_stranger_with_our_vrid_is_told_and_a_peer_is_not() -> None:
    fine = {
        Advert(PEER, 51, 100),
        Advert("10.0.0.66", 52, 100),
        Advert("fe80::66", 51, 100),
    }  # VRIDs are a family's own
    scene = Scene(FakeNode(heard_adverts=frozenset(fine)))
    scene.tick()
    assert scene.codes == set()
    scene.node.heard_adverts = frozenset({Advert("10.0.0.66", 51, 100)})
    scene.tick(60.0)
    assert scene.codes == {"ForeignVRID"}


def test_planned_work_is_no_fault() -> None:
    fault = replace(MASTER, state=VrrpState.FAULT)
    scene = Scene(FakeNode(answers=(fault,), addresses=frozenset(), others=frozenset({"02:00:00:00:00:02"})))
    scene.fitness = Fitness(Health(()), FAULT, FAULT)
    scene.tick()
    assert (scene.report.state, scene.report.cause) == (State.WORKING, "Drained")


def test_an_unfit_node_says_why() -> None:
    health = Health.begin([Rule("disk", Scope.SHARED, 10, 1, 1)]).after({"disk": HealthLook(False, "/ is full")})
    scene = Scene(fitness=Fitness(health, -10))
    scene.tick()
    assert (scene.report.state, scene.report.cause) == (State.DEGRADED, "NodeUnfit")
    assert "disk: / is full" in scene.report.reason


def test_without_keepalived_it_is_off_and_says_so() -> None:
    scene = Scene(FakeNode(texts={}, running=()))
    scene.tick()
    assert (scene.report.state, scene.report.cause) == (State.DONE, "NoKeepalived")
    assert scene.node.asked == 0


def test_what_is_published_stays_the_same_while_nothing_changes() -> None:
    scene = Scene()
    for _ in range(3):
        scene.tick()
    assert scene.reports[0] == scene.reports[1] == scene.reports[2]
    (instance,) = scene.report.summary["instances"]
    assert instance["mac"] == "mac of eth0"


def test_every_metric_is_defined_and_none_is_empty_where_there_is_a_keepalived() -> None:
    health = Health.begin([Rule("disk", Scope.SHARED, 10, 1, 1)]).after({"disk": HealthLook(False, "/ is full")})
    scene = Scene(fitness=Fitness(health, -10))
    scene.tick()
    tables: dict[str, Any] = dict(series(scene.looks[-1]))
    assert tables.keys() == COLUMNS.keys()
    assert all(tables.values())
    assert dict(tables["nodeagent_vip_state"])["VI_1", "51", "MASTER"] == 1.0
    assert dict(tables["nodeagent_vip_check_failed"])["disk", "shared"] == 1.0
    assert dict(tables["nodeagent_vip_held"])["VI_1", VIP] == 1.0
