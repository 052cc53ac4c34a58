"""The VIP as metrics. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from nodeagent.observed.vrrp import VrrpState
from nodeagent.vip.configuration import Instance
from nodeagent.vip.controller import Look
from nodeagent.vip.findings import Code
from nodeagent.vip.truth import Sight, belief, held

Labels = tuple[str, ...]
Table = Iterable[tuple[Labels, float]]

COLUMNS: Final[Mapping[str, tuple[str, Labels]]] = {
    "nodeagent_vip_keepalived_running": ("1 while keepalived runs and answers", ("config",)),
    "nodeagent_vip_state": ("1 for the state that an instance is in", ("vrrp_instance", "vrid", "state")),
    "nodeagent_vip_state_since_timestamp_seconds": ("When an instance came to its state", ("vrrp_instance",)),
    "nodeagent_vip_priority": ("Effective priority of an instance", ("vrrp_instance",)),
    "nodeagent_vip_held": ("1 while this node has the address", ("vrrp_instance", "address")),
    "nodeagent_vip_findings": ("Findings of each kind", ("reason",)),
    "nodeagent_vip_check_failed": ("1 while a check of this node fails", ("check", "scope")),
    "nodeagent_vip_check_weight": ("Priority that a failing check takes; 254 is FAULT", ("check", "scope")),
    "nodeagent_vip_health": ("Number that keepalived tracks", ()),
    "nodeagent_vip_drained": ("Priority that planned work takes", ()),
}


def series(look: Look) -> dict[str, list[tuple[Labels, float]]]:
    """The rows of each table of COLUMNS; nothing but findings where there is no keepalived."""
    pairs = [(instance, each) for each in look.sights for instance in each.installation.configuration.instances]
    tables: dict[str, Table] = {
        "nodeagent_vip_keepalived_running": (
            ((each.installation.configuration.path,), float(each.installation.daemon is not None and not each.hung))
            for each in look.sights
        ),
        "nodeagent_vip_state": (row for pair in pairs for row in _states(*pair)),
        "nodeagent_vip_state_since_timestamp_seconds": (
            ((instance.name,), belief(instance, each).since) for instance, each in pairs
        ),
        "nodeagent_vip_priority": (
            ((instance.name,), float(belief(instance, each).priority)) for instance, each in pairs
        ),
        "nodeagent_vip_held": (row for pair in pairs for row in _held(*pair)),
        "nodeagent_vip_findings": _findings(look),
        **(_health(look) if look.sights else {}),
    }
    return {name: list(table) for name, table in tables.items()}


def _states(instance: Instance, sight: Sight) -> Iterator[tuple[Labels, float]]:
    now = belief(instance, sight).state
    return (((instance.name, str(instance.vrid), str(state)), float(state is now)) for state in VrrpState)


def _held(instance: Instance, sight: Sight) -> Iterator[tuple[Labels, float]]:
    here = held(instance, sight)
    return (((instance.name, vip.address), float(vip in here)) for vip in instance.vips)


def _findings(look: Look) -> Iterator[tuple[Labels, float]]:
    counted = Counter(each.code for each in look.findings)
    return (((str(code),), float(counted[code])) for code in Code)


def _health(look: Look) -> dict[str, Table]:
    fitness = look.fitness
    checks = [(check, (check.rule.name, str(check.rule.scope))) for check in fitness.health.checks]
    return {
        "nodeagent_vip_check_failed": ((labels, float(bool(check.failed))) for check, labels in checks),
        "nodeagent_vip_check_weight": ((labels, float(check.rule.worth)) for check, labels in checks),
        "nodeagent_vip_health": [((), float(fitness.value))] if fitness.value is not None else [],
        "nodeagent_vip_drained": [((), float(-fitness.drained))],
    }
