"""What is believed of the VIP, and which contradictions count."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodeagent.observed.vrrp import Assigned, Daemon, Reported, Transition, VrrpState
from nodeagent.vip.findings import Code
from nodeagent.vip.inventory import Installation
from nodeagent.vip.truth import GRACE, Sight, belief, findings, held
from tests.unit.vip.files import configured

NOW = 1000.0
VIP = "10.0.0.100"
TEXT = """
vrrp_instance VI_1 {
  interface eth0
  virtual_router_id 51
  priority 100
  virtual_ipaddress { 10.0.0.100/24 }
}
"""
INSTALLATION = Installation(configured(TEXT), Daemon(7, 1, dumps=True))
HERE = frozenset({Assigned(VIP, "eth0")})
OTHER = frozenset({"02:00:00:00:00:02"})


def _reported(state: VrrpState, since: float = 0.0) -> Reported:
    return Reported("VI_1", state, "eth0", 51, 2, 100, 100, (VIP,), 1.0, False, since)


def _sight(
    state: VrrpState | None,
    *,
    here: bool = False,
    since: float = 0.0,
    owners: Mapping[str, frozenset[str]] | None = None,
) -> Sight:
    answers = () if state is None else (_reported(state, since),)
    return Sight(INSTALLATION, NOW, HERE if here else frozenset(), answers, owners=owners or {})


def _codes(sight: Sight) -> set[Code]:
    return {each.code for each in findings(sight)}


@pytest.mark.parametrize(
    ("state", "here", "codes"),
    [
        (VrrpState.MASTER, True, set()),
        (VrrpState.BACKUP, False, set()),
        (VrrpState.MASTER, False, {Code.MASTER_WITHOUT_VIP}),
        (VrrpState.BACKUP, True, {Code.VIP_WITHOUT_MASTER}),
        (VrrpState.FAULT, False, {Code.FAULT}),
        (VrrpState.FAULT, True, {Code.FAULT, Code.VIP_WITHOUT_MASTER}),
        (VrrpState.INIT, False, set()),
    ],
)
def test_state_and_address_that_contradict_each_other_are_told(state: VrrpState, here: bool, codes: set[Code]) -> None:
    assert _codes(_sight(state, here=here)) == codes


@pytest.mark.parametrize(("state", "here"), [(VrrpState.MASTER, False), (VrrpState.BACKUP, True)])
def test_a_transition_under_way_is_no_contradiction(state: VrrpState, here: bool) -> None:
    assert _codes(_sight(state, here=here, since=NOW - GRACE / 2)) == set()


@pytest.mark.parametrize(
    ("here", "others", "code"),
    [(True, 0, None), (True, 1, Code.DUPLICATE_OWNER), (False, 1, None), (False, 2, Code.DUPLICATE_OWNER)],
)
def test_an_address_has_one_owner(here: bool, others: int, code: Code | None) -> None:
    state = VrrpState.MASTER if here else VrrpState.BACKUP
    macs = frozenset(f"02:00:00:00:00:0{number}" for number in range(others))
    assert _codes(_sight(state, here=here, owners={VIP: macs})) == ({code} if code else set())


def test_an_address_that_nobody_has_is_told() -> None:
    assert _codes(_sight(VrrpState.BACKUP, owners={VIP: frozenset()})) == {Code.UNOWNED}


def test_without_a_probe_nobody_is_accused() -> None:
    assert _codes(_sight(VrrpState.BACKUP)) == set()


def test_a_daemon_that_does_not_answer_makes_its_address_a_stale_one() -> None:
    hung = Sight(INSTALLATION, NOW, HERE, None, hung=True)
    assert _codes(hung) == {Code.HUNG, Code.VIP_WITHOUT_MASTER}


def test_an_address_without_a_daemon_is_stale() -> None:
    dead = Sight(replace(INSTALLATION, daemon=None), NOW, HERE)
    assert _codes(dead) == {Code.NOT_RUNNING, Code.VIP_WITHOUT_MASTER}


def test_an_instance_that_keepalived_does_not_know_was_not_loaded() -> None:
    assert _codes(Sight(INSTALLATION, NOW, frozenset(), ())) == {Code.NOT_LOADED}


@pytest.mark.parametrize(
    "change", [{"vrid": 52}, {"base_priority": 1}, {"nopreempt": True}, {"vips": ()}, {"advert_interval": 0.3}]
)
def test_a_value_that_was_not_loaded_is_told(change: dict[str, Any]) -> None:
    answer = replace(_reported(VrrpState.BACKUP), **change)
    assert _codes(Sight(INSTALLATION, NOW, frozenset(), (answer,))) == {Code.NOT_LOADED}


def test_the_newest_source_counts() -> None:
    heard = {"VI_1": Transition("VI_1", VrrpState.MASTER, 90, 20.0)}
    (instance,) = INSTALLATION.configuration.instances
    older = replace(_sight(VrrpState.BACKUP, since=10.0), heard=heard)
    newer = replace(_sight(VrrpState.BACKUP, since=30.0), heard=heard)
    assert (belief(instance, older).state, belief(instance, older).source) == (VrrpState.MASTER, "fifo")
    assert (belief(instance, newer).state, belief(instance, newer).source) == (VrrpState.BACKUP, "json")


def test_an_address_on_a_virtual_mac_interface_is_held_there() -> None:
    (instance,) = INSTALLATION.configuration.instances
    sight = replace(_sight(VrrpState.MASTER), assigned=frozenset({Assigned(VIP, "vrrp.51")}))
    assert list(held(instance, sight).values()) == ["vrrp.51"]


@given(st.sampled_from(VrrpState), st.booleans(), st.booleans(), st.floats(0, NOW))
def test_a_master_that_has_its_address_alone_is_never_accused(
    state: VrrpState, here: bool, probed: bool, since: float
) -> None:
    owners = {VIP: OTHER} if probed and not here else {}
    rightly = {VrrpState.MASTER: here, VrrpState.BACKUP: not here}.get(state, False)
    if rightly:
        assert _codes(_sight(state, here=here, since=since, owners=owners)) == set()


def test_below_a_root_that_does_not_run_only_the_file_is_judged() -> None:
    bad = Installation(configured(TEXT.replace("priority 100", "priority 300")))
    assert _codes(Sight(bad, NOW, None)) == {Code.PROBLEM}
