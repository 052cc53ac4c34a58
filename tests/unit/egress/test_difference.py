"""From what stands there to what should, and what is found wrong on the way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from nodeagent.changes.ovn import Delete, Insert, Update
from nodeagent.egress.difference import difference, foreign
from nodeagent.egress.findings import Code, Finding, findings, orphans, sessions
from nodeagent.egress.rows import KUBE_OVN, NODEAGENT, rows
from nodeagent.observed.northbound import ADDRESS_SET, BFD, GROUP, POLICY, ROUTER, Northbound, Row
from tests.unit.egress.site import asked, carried_out, changed, empty, policies

KEY = "default/gw"


def _programmed(*, up: bool = True) -> Northbound:
    """A database with all rows of the gateway, and its sessions up."""
    seen = empty()
    carried_out(difference(KEY, KUBE_OVN, rows(asked(), KUBE_OVN, seen), seen), seen)
    for row in list(seen.table(BFD).values()):
        changed(seen, row, status="up" if up else "down")
    return seen


def _found(seen: Northbound, local: dict[str, str] | None = None) -> set[Code]:
    wanted = asked()
    missing = difference(KEY, KUBE_OVN, rows(wanted, KUBE_OVN, seen), seen)
    return {each.code for each in findings(wanted, missing, seen, local)}


def test_what_stands_there_is_not_touched() -> None:
    seen = _programmed()
    assert not difference(KEY, KUBE_OVN, rows(asked(), KUBE_OVN, seen), seen)
    assert _found(seen) == set()


def test_sessions_come_before_the_policies_that_name_them() -> None:
    seen = empty()
    edits = difference(KEY, KUBE_OVN, rows(asked(), KUBE_OVN, seen), seen).edits
    tables = [edit.table for edit in edits if isinstance(edit, Insert)]
    assert tables == sorted(tables, key=[BFD, ADDRESS_SET, GROUP, POLICY].index)


def test_one_nexthop_more_is_one_session_and_its_policies() -> None:
    seen, wanted = _programmed(), asked()
    third = replace(wanted.instances[0], node="n3", internal=("10.20.0.13",))
    wanted = replace(wanted, instances=(*wanted.instances, third))
    edits = difference(KEY, KUBE_OVN, rows(wanted, KUBE_OVN, seen), seen).edits
    assert [type(edit) for edit in edits] == [Insert, Update, Update]
    assert all(set(edit.columns) == {"nexthops", "bfd_sessions"} for edit in edits if isinstance(edit, Update))
    carried_out(difference(KEY, KUBE_OVN, rows(wanted, KUBE_OVN, seen), seen), seen)
    assert not difference(KEY, KUBE_OVN, rows(wanted, KUBE_OVN, seen), seen)


def test_a_gateway_that_is_gone_leaves_nothing_on_any_router() -> None:
    seen = _programmed()
    carried_out(difference(KEY, KUBE_OVN, (), seen), seen)
    assert seen.owned(KEY) == ()
    assert all(row.columns["policies"] == frozenset() for row in seen.table(ROUTER).values())


def test_a_gateway_of_another_vpc_leaves_its_old_router() -> None:
    seen = _programmed()
    moved = replace(asked(), router="vpc2")
    transaction = difference(KEY, KUBE_OVN, rows(moved, KUBE_OVN, seen), seen)
    assert {edit.holder.name for edit in transaction.edits if isinstance(edit, Delete) and edit.holder} == {"vpc1"}
    carried_out(transaction, seen)
    assert {row.name for each in policies(seen, 29100) if (row := seen.holder_of(each.uuid))} == {"vpc2"}


def test_external_ids_of_others_are_left_alone() -> None:
    seen = _programmed()
    row = policies(seen, 29090)[0]
    changed(seen, row, external_ids={**row.columns["external_ids"], "note": "seen"})
    assert not difference(KEY, KUBE_OVN, rows(asked(), KUBE_OVN, seen), seen)


def test_rows_of_another_owner_are_named_and_never_touched() -> None:
    seen = _programmed()
    wanted = rows(asked(), NODEAGENT, seen)
    problems = foreign(KEY, NODEAGENT, wanted, seen)
    assert len(problems) == len(seen.owned(KEY))
    assert all("belongs to kube-ovn for default/gw" in str(each) for each in problems)
    assert not [edit for edit in difference(KEY, NODEAGENT, wanted, seen).edits if not isinstance(edit, Insert)]
    assert not foreign(KEY, KUBE_OVN, rows(asked(), KUBE_OVN, seen), seen)


def test_a_session_that_another_gateway_has_is_in_the_way() -> None:
    seen = empty()
    columns = {"logical_port": "bfd@vpc1", "dst_ip": "10.20.0.11", "external_ids": {}}
    seen.put(Row(BFD, "theirs", columns))
    problem = foreign(KEY, NODEAGENT, rows(asked(), NODEAGENT, seen), seen)[0]
    assert str(problem).startswith("default/gw: BFD bfd@vpc1 10.20.0.11: belongs to nobody that is named")


def _nexthops(change: Callable[[frozenset[str]], frozenset[str]]) -> Callable[[Northbound], None]:
    def damage(seen: Northbound) -> None:
        row = policies(seen, 29100)[0]
        changed(seen, row, nexthops=change(row.columns["nexthops"]))

    return damage


def _session(**columns: object) -> Callable[[Northbound], None]:
    return lambda seen: void(changed(seen, next(iter(seen.table(BFD).values())), **columns))


def void(_: object) -> None:
    return None


def _leak(seen: Northbound) -> None:
    """A copy of a policy on the router that the gateway belonged to before."""
    row = policies(seen, 29100)[0]
    seen.put(Row(POLICY, "leaked", row.columns))
    router = seen.named(ROUTER, "vpc2")
    assert router is not None
    changed(seen, router, policies=frozenset({"leaked"}))


def _of(table: str, **columns: object) -> Callable[[Northbound], None]:
    return lambda seen: void(changed(seen, _first(seen, table), **columns))


def _without(table: str) -> Callable[[Northbound], None]:
    return lambda seen: void(seen.drop(table, _first(seen, table).uuid))


def _first(seen: Northbound, table: str) -> Row:
    return next(row for row in seen.owned(KEY) if row.table == table)


@pytest.mark.parametrize(
    ("damage", "codes"),
    [
        (_nexthops(lambda has: has - {"10.20.0.11"} - {"fd00:20::11"}), {Code.WRONG_NEXTHOPS}),
        (_nexthops(lambda has: has | {"10.20.0.99"}), {Code.WRONG_NEXTHOPS}),
        (_session(min_rx=100), {Code.WRONG_TIMERS}),
        (_session(status="down"), {Code.SESSION_DOWN}),
        (lambda seen: void(changed(seen, policies(seen, 29100)[0], match="ip4.src == 10.0.0.0/8")), {Code.WRONG_MATCH}),
        (
            lambda seen: void(changed(seen, policies(seen, 29100)[0], match="ip4.src == $gone")),
            {Code.WRONG_MATCH, Code.DANGLING_SET},
        ),
        (lambda seen: void(changed(seen, policies(seen, 29100)[0], bfd_sessions=frozenset())), {Code.WRONG_SESSIONS}),
        (lambda seen: void(seen.drop(POLICY, policies(seen, 29090)[0].uuid)), {Code.MISSING_DROP}),
        (lambda seen: void(seen.drop(POLICY, policies(seen, 29100)[0].uuid)), {Code.MISSING_POLICY}),
        (_leak, {Code.LEAKED_POLICY}),
        (_of(ADDRESS_SET, addresses=frozenset()), {Code.WRONG_MEMBERS}),
        (_of(GROUP, ports=frozenset({"port x1.blue"})), {Code.WRONG_MEMBERS}),
        (_without(ADDRESS_SET), {Code.MISSING_ROW, Code.DANGLING_SET}),
        (_without(GROUP), {Code.MISSING_ROW, Code.DANGLING_SET}),
        (_without(BFD), {Code.MISSING_SESSION, Code.WRONG_SESSIONS}),
    ],
)
def test_damage_is_found(damage: Callable[[Northbound], None], codes: set[Code]) -> None:
    seen = _programmed()
    damage(seen)
    assert _found(seen) == codes


def test_a_gateway_without_any_session_up_is_told_of() -> None:
    assert _found(_programmed(up=False)) == {Code.SESSION_DOWN, Code.ALL_DOWN}


def test_a_session_that_ovn_alone_has_up_is_stale() -> None:
    assert _found(_programmed(), {"10.20.0.11": "down"}) == {Code.STALE_UP}


def test_state_is_told_by_nexthop() -> None:
    seen = _programmed()
    seen.drop(BFD, _first(seen, BFD).uuid)
    assert sorted(sessions(asked(), seen).values()) == ["missing", "up", "up", "up"]


def test_rows_without_an_object_are_orphans() -> None:
    found = orphans(frozenset(), KUBE_OVN, _programmed())
    assert {each.code for each in found} == {Code.ORPHAN}
    assert orphans(frozenset({KEY}), KUBE_OVN, _programmed()) == ()


def test_a_finding_says_what_differs() -> None:
    seen = _programmed()
    row = next(each for each in policies(seen, 29100) if each.columns["match"].startswith("ip4"))
    changed(seen, row, nexthops=frozenset({"10.20.0.11", "10.20.0.99"}))
    wanted = asked()
    missing = difference(KEY, KUBE_OVN, rows(wanted, KUBE_OVN, seen), seen)
    (found,) = findings(wanted, missing, seen)
    assert found == Finding(KEY, Code.WRONG_NEXTHOPS, found.message)
    assert "nexthops lacks 10.20.0.12 and has also 10.20.0.99" in found.message


def test_a_plan_can_be_read() -> None:
    seen = empty()
    text = difference(KEY, KUBE_OVN, rows(asked(), KUBE_OVN, seen), seen).describe()
    assert "default/gw: insert BFD session 10.20.0.11 dst_ip=10.20.0.11 min_rx=200 min_tx=100" in text
