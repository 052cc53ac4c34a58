"""What a look at the VIP amounts to: for the status file, the condition, and others in the cluster. Pure.

Invariant: what is published changes only with a transition, a finding or a check, never with each look.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection
from typing import Any, Final

from nodeagent.engine.report import Report, State
from nodeagent.observed.vrrp import VrrpState
from nodeagent.vip.configuration import Instance
from nodeagent.vip.findings import Code, Finding
from nodeagent.vip.health import Health
from nodeagent.vip.truth import Sight, belief, held

_NAME: Final = "vip"
_NAMED: Final = 3  # findings in the reason
_MOST: Final = 16  # instances that are published


def report(
    sights: tuple[Sight, ...],
    findings: Collection[Finding],
    health: Health,
    drained: int,
    mac: Callable[[str], str],
) -> Report:
    """The report of one look; `drained` is what planned work takes from the priority, `mac` a hardware address."""
    if not sights:
        return Report(_NAME, State.DONE, "", "NoKeepalived", {"enabled": False}, {}, rest="off: there is no keepalived")
    instances = [_published(instance, each, mac) for each in sights for instance in _instances(each)]
    failed = [f"{check.rule.name}: {check.detail}" for check in health.failed]
    detail: dict[str, Any] = {
        "enabled": True,
        "instances": instances,
        "findings": [each.facts() for each in findings],
        "health": {"value": health.value, "known": health.known, "checks": [each.facts() for each in health.checks]},
        "drained": drained,
    }
    summary = {
        "instances": instances[:_MOST],
        "health": health.value,
        "findings": sorted({str(e.code) for e in findings}),
    }
    bad = [each for each in findings if not (drained and each.code is Code.FAULT)]
    if bad:
        return Report(_NAME, State.DEGRADED, _reason(bad, failed), str(bad[0].code), detail, summary)
    if drained:
        return Report(_NAME, State.WORKING, "out of the election for planned work", "Drained", detail, summary)
    if failed:
        reason = f"this node is not fit to hold the VIP: {'; '.join(failed)}"
        return Report(_NAME, State.DEGRADED, reason, "NodeUnfit", detail, summary)
    return Report(_NAME, State.DONE, "", "AsConfigured", detail, summary, rest=_rest(sights))


def _instances(sight: Sight) -> tuple[Instance, ...]:
    return sight.installation.configuration.instances


def _published(instance: Instance, sight: Sight, mac: Callable[[str], str]) -> dict[str, Any]:
    """An instance for others to compare: who has the address and since when, and what all peers must have alike."""
    now, here = belief(instance, sight), held(instance, sight)
    return {
        "name": instance.name,
        "vrid": instance.vrid,
        "state": str(now.state),
        "since": round(now.since),
        "source": now.source,
        "vips": sorted(vip.address for vip in instance.vips),
        "held": sorted(vip.address for vip in here),
        "mac": mac(next(iter(here.values()), instance.interface)),
        "alike": alike(instance),
    }


def alike(instance: Instance) -> str:
    """A digest of what the configurations of all peers must agree in."""
    facts = [instance.vrid, instance.version, instance.advert_interval, sorted(vip.address for vip in instance.vips)]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:12]


def _reason(bad: Collection[Finding], failed: Collection[str]) -> str:
    named = [f"{each.subject}: {each.message}" for each in list(bad)[:_NAMED]]
    more = len(bad) - len(named)
    return "; ".join([*named, *([f"and {more} more"] if more else []), *failed])


def _rest(sights: tuple[Sight, ...]) -> str:
    """Who has what, in a sentence."""
    states = [(instance.name, belief(instance, each)) for each in sights for instance in _instances(each)]
    known = [f"{name} is {now.state}" for name, now in states if now.state is not VrrpState.UNKNOWN]
    return ", ".join(known) or "keepalived has not said its state yet"
