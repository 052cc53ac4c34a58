"""The coordinator's role: what it tells of gateways, when, and only while it leads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace

from nodeagent.agent.egressrole import GRACE, Told, Verifier
from nodeagent.egress.difference import difference
from nodeagent.egress.inventory import Inventory, gathered, inventory, readable
from nodeagent.egress.rows import KUBE_OVN, rows
from nodeagent.observed.northbound import BFD, Northbound
from nodeagent.telemetry.metrics.tables import Row
from tests.unit.egress.site import asked, carried_out, changed, document, empty, policies, site

KEY = "default/gw"


class Round:
    """A verifier over one gateway whose rows are as they should be."""

    def __init__(self) -> None:
        self.now, self.leads = 0.0, True
        self.told: list[tuple[str, Told]] = []
        self.shown: Mapping[str, list[Row]] = {}
        self.seen = empty()
        carried_out(difference(KEY, KUBE_OVN, rows(asked(), KUBE_OVN, self.seen), self.seen), self.seen)
        for row in list(self.seen.table(BFD).values()):
            changed(self.seen, row, status="up")
        self.inventory = gathered([readable(document())], site(), frozenset())
        tell, show = (lambda _kind, key, told: self.told.append((key, told))), self._show
        self.verifier = Verifier(lambda: self.inventory, self.view, tell, show, lambda: self.leads, lambda: self.now)

    @contextmanager
    def view(self) -> Iterator[Northbound]:
        yield self.seen

    def _show(self, rows: Mapping[str, list[Row]]) -> None:
        self.shown = rows

    def after(self, seconds: float) -> list[tuple[str, str]]:
        """What is told then: gateway and reason."""
        self.now += seconds
        self.told.clear()
        self.verifier.tick()
        return [(key, reason) for key, (_, reason, _) in self.told]


def test_nothing_is_told_of_what_is_right() -> None:
    work = Round()
    assert work.after(0) + work.after(GRACE) == []
    assert Row((KEY,), 4.0) in work.shown["nodeagent_egress_nexthops"]
    assert Row((KEY, "10.20.0.11"), 1.0) in work.shown["nodeagent_egress_session_up"]


def test_what_is_wrong_for_a_while_is_told_once_and_when_it_is_mended() -> None:
    work = Round()
    row = policies(work.seen, 29090)[0]
    changed(work.seen, row, action="allow")
    assert work.after(0) == []
    assert work.after(GRACE) == [(KEY, "WrongRow")]
    assert work.after(GRACE) == []
    assert Row((KEY, "WrongRow"), 1.0) in work.shown["nodeagent_egress_findings"]
    changed(work.seen, row, action="drop")
    assert work.after(1) == [(KEY, "EgressGatewayMended")]


def test_what_was_wrong_for_a_moment_is_not_told() -> None:
    work = Round()
    row = policies(work.seen, 29090)[0]
    changed(work.seen, row, action="allow")
    assert work.verifier.tick() < GRACE
    changed(work.seen, row, action="drop")
    assert work.after(GRACE) == []


def test_rows_without_an_object_are_told_of() -> None:
    work = Round()
    work.inventory = Inventory()
    work.after(0)
    assert set(work.after(GRACE)) == {(KEY, "OrphanRow")}


def test_a_bad_object_is_told_of() -> None:
    work = Round()
    work.inventory = inventory([document(replicas=50)])
    work.after(0)
    assert work.after(GRACE) == [(KEY, "GatewayRefused")]
    assert Row((KEY,), 1.0) in work.shown["nodeagent_egress_refused"]


def test_one_that_does_not_lead_says_nothing() -> None:
    work = Round()
    work.leads = False
    work.inventory = Inventory()
    assert work.after(0) + work.after(GRACE) == []
    assert work.shown == {}


def test_two_gateways_that_want_one_address_are_told_at_both() -> None:
    other = document(internalIPs=["10.20.0.11", "10.20.0.14"])
    other["metadata"] = {"namespace": "default", "name": "other"}
    work = Round()
    mine = inventory([document(internalIPs=["10.20.0.11", "10.20.0.13"]), other])
    work.inventory = replace(mine, site=site())
    work.after(0)
    told = work.after(GRACE)
    assert (KEY, "GatewayRefused") in told
    assert ("default/other", "GatewayRefused") in told


def test_rows_of_another_owner_are_told_as_a_problem_of_the_gateway() -> None:
    work = Round()
    row = policies(work.seen, 29100)[0]
    changed(work.seen, row, external_ids={**row.columns["external_ids"], "vendor": "somebody"})
    work.after(0)
    told = work.after(GRACE)
    assert (KEY, "GatewayRefused") in told
    assert any("belongs to somebody for default/gw" in message for _, (_, _, message) in work.told)
