"""A node's gateways are brought about from files; one that cannot be costs no other, and doubt takes nothing away."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from nodeagent.agent.gateways import parts
from nodeagent.changes.kernel import KernelChange, Make
from nodeagent.egress.node.keeper import Keeper, Parts
from nodeagent.egress.node.partfile import part_of
from nodeagent.engine.report import Report, State
from nodeagent.errors import Rejected, Transient
from nodeagent.observed.kernel import Fact, Macvlan, Port
from tests.unit.egress.parts import part

DOCUMENT: dict[str, Any] = {
    "gateway": "default/gw",
    "port": "gw-0.default",
    "mac": "0A:00:00:00:20:0b",
    "mtu": 1400,
    "underlay": "ext0",
    "inside": [
        {"address": "10.20.0.11/24", "gateway": "10.20.0.1"},
        {"address": "fd00:20::b/64", "gateway": "fd00:20::1"},
    ],
    "outside": [
        {"address": "192.0.2.11/24", "gateway": "192.0.2.1"},
        {"address": "2001:db8::b/64", "gateway": "2001:db8::1"},
    ],
    "routers": ["10.20.0.1", "fd00:20::1"],
    "bfd": {"minRX": 100, "minTX": 100, "multiplier": 3},
}


@dataclass
class _Plane:
    """Half of a node: facts of the kinds that it knows; `fails` names those that it refuses."""

    ports: bool
    facts: set[Fact] = field(default_factory=set)
    fails: str = ""
    changes: list[KernelChange] = field(default_factory=list)

    def observe(self, _: Collection[Fact]) -> frozenset[Fact]:
        return frozenset(self.facts)

    def carry_out(self, change: KernelChange) -> None:
        assert isinstance(change.fact, Port) is self.ports
        if self.fails and self.fails in change.describe():
            raise Transient(f"{change.describe()}: no")
        self.changes.append(change)
        (self.facts.add if isinstance(change, Make) else self.facts.discard)(change.fact)


class _Node:
    def __init__(self) -> None:
        self.kernel, self.switch = _Plane(ports=False), _Plane(ports=True)
        self.said: list[Report] = []

    def publish(self, report: Report) -> None:
        self.said.append(report)

    def keep(self, found: Parts) -> Report:
        Keeper(lambda: found, self.kernel, self.switch, self, 10.0).tick()
        return self.said[-1]

    @property
    def changes(self) -> int:
        return len(self.kernel.changes) + len(self.switch.changes)


def test_a_file_gives_the_part() -> None:
    assert part_of(DOCUMENT, "a.yaml") == part()


def test_everything_that_is_wrong_with_a_file_is_told_at_once() -> None:
    wrong = DOCUMENT | {"gateway": 7, "mtu": 10, "routers": ["x"], "colour": "red", "bfd": {"minRX": 0}}
    with pytest.raises(Rejected) as told:
        part_of(wrong, "a.yaml")
    assert {each.path for each in told.value.problems} == {
        "$.gateway",
        "$.mtu",
        "$.routers[0]",
        "$.colour",
        "$.bfd.minRX",
    }


@pytest.mark.parametrize("document", [None, [], "text", {}])
def test_what_is_no_part_is_refused(document: Any) -> None:
    with pytest.raises(Rejected):
        part_of(document, "a.yaml")


def test_files_that_cannot_be_used_are_problems_and_the_others_count(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps(DOCUMENT))
    (tmp_path / "b.yaml").write_text("a: [")
    (tmp_path / "c.json").write_text(json.dumps(DOCUMENT))
    (tmp_path / "notes.txt").write_text("nothing")
    found = parts(str(tmp_path))
    assert found.parts == (part(),)
    assert len(found.problems) == 2
    assert "b.yaml" in found.problems[0]
    assert "gw-0.default is another gateway's too" in found.problems[1]
    assert "No such file" in parts(str(tmp_path / "none")).problems[0]


def test_a_gateway_is_brought_about_and_then_nothing_is_touched() -> None:
    node = _Node()
    report = node.keep(Parts((part(),)))
    assert (report.state, report.cause) == (State.DONE, "GatewaysInPlace")
    before = node.changes
    assert before > 20
    node.keep(Parts((part(),)))
    assert node.changes == before


def test_what_fails_for_one_gateway_costs_no_other() -> None:
    node = _Node()
    node.kernel.fails = "macvlan on nosuch0"
    one, other = part(port="gw-1", owner="default/one", underlay="nosuch0"), part()
    report = node.keep(Parts((one, other)))
    assert report.state is State.DEGRADED
    assert "gateway default/one" in report.reason
    assert {each.namespace for each in node.switch.facts} == {other.namespace}
    assert not any(isinstance(each, Macvlan) for each in node.kernel.facts if each.namespace == one.namespace)


def test_what_nobody_wants_goes_unless_a_part_cannot_be_read() -> None:
    node = _Node()
    node.keep(Parts((part(),)))
    report = node.keep(Parts((), ("b.yaml: is no YAML",)))
    assert report.state is State.DEGRADED
    assert node.kernel.facts
    report = node.keep(Parts())
    assert (report.state, report.cause) == (State.DONE, "NoGateways")
    assert not node.switch.facts
