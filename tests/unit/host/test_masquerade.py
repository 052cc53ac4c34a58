"""The table of a gateway, as versions of nftables list it."""

from __future__ import annotations

from typing import Any

import pytest

from nodeagent.host import masquerade
from nodeagent.observed.kernel import Nat

FACT = Nat("ns", "eth0", "net1", frozenset({"10.17.0.0/16", "fd00:17::5/128"}))

Object = dict[str, Any]


def listing(*, single: bool = False) -> list[Object]:
    """What the kernel lists of the table of FACT; with `single` a flag that is alone is no list."""
    added = [next(iter(command.values())) for command in masquerade.made(FACT)[2:]]
    return [{"metainfo": {"version": "1"}}, *(_listed(each, single) for each in added)]


def _listed(item: Object, single: bool) -> Object:
    ((kind, given),) = item.items()
    counted = {"packets": 7, "bytes": 900} if kind == "counter" else {}
    found: Object = _alone(given) if single else given
    return {kind: {**found, "handle": 5, **counted}}


def _alone(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            key: each[0] if key == "flags" and isinstance(each, list) and len(each) == 1 else _alone(each)
            for key, each in value.items()
        }
    return [_alone(each) for each in value] if isinstance(value, list) else value


@pytest.mark.parametrize("single", [False, True])
def test_the_table_is_known_again_however_its_flags_are_listed(*, single: bool) -> None:
    assert (str(listing()) == str(listing(single=single))) is not single
    assert masquerade.seen("ns", listing(single=single), "eth0", "net1") == FACT


def test_a_table_with_another_rule_is_not_the_one_that_was_made() -> None:
    rule = {"family": "inet", "table": masquerade.TABLE, "chain": "nat", "expr": [{"drop": None}]}
    assert masquerade.seen("ns", [*listing(), {"rule": rule}], "eth0", "net1") is None


def test_packets_are_counted_by_version_of_ip() -> None:
    assert masquerade.counted(listing()) == {4: (7, 7), 6: (7, 7)}
    assert masquerade.counted([each for each in listing() if each.get("counter", {}).get("name") != "went6"]) == {
        4: (7, 7)
    }
