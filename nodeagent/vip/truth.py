"""What is true of the VIP, from sources that each know a part of it.

Invariants: a state is told with the source that it comes from and its time, and the newest source counts; an address is
on this node exactly if the kernel says so, whatever keepalived says. A contradiction between the two becomes a finding
only once it has lasted longer than a transition takes, so that a fail-over never looks like a fault.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from nodeagent.observed.vrrp import Advert, Assigned, Removal, Reported, Transition, VrrpState
from nodeagent.vip.configuration import Instance, Vip
from nodeagent.vip.findings import Code, Finding
from nodeagent.vip.inventory import Installation

GRACE = 1.0  # seconds after a transition in which state and addresses may differ
RECENT = 600.0  # seconds for which it is told that somebody has taken the address away

_NOT_ANSWERING = "does not answer, so nobody on this node takes part in the election"


@dataclass(frozen=True)
class Sight:
    """What was seen of one installation at `now` (seconds since the epoch).

    `assigned` are the addresses that the kernel has; None below a root that does not run, of which only files are told.
    `answers` is keepalived's own account, None if it was not asked; `hung` if it was and gave none. `heard` is the last
    line of the FIFO by instance. `owners` has by address the MAC addresses of others that claim it, and no entry for
    an address that was not asked for. `removals` are addresses that programs other than keepalived took away lately,
    `adverts` those of other routers that were heard.
    """

    installation: Installation
    now: float
    assigned: frozenset[Assigned] | None
    answers: tuple[Reported, ...] | None = None
    hung: bool = False
    heard: Mapping[str, Transition] = field(default_factory=dict)
    owners: Mapping[str, frozenset[str]] = field(default_factory=dict)
    removals: tuple[Removal, ...] = ()
    adverts: frozenset[Advert] = frozenset()


@dataclass(frozen=True)
class Belief:
    """The state of an instance with its effective priority, where that comes from, and since when it is so."""

    state: VrrpState
    priority: int
    source: str
    since: float

    def settled(self, now: float) -> bool:
        return now - self.since >= GRACE


def belief(instance: Instance, sight: Sight) -> Belief:
    """The newest of what is said of `instance`."""
    said = []
    reported = _reported(instance, sight)
    if reported is not None:
        said.append(Belief(reported.state, reported.priority, "json", reported.last_transition))
    heard = sight.heard.get(instance.name)
    if heard is not None:
        said.append(Belief(heard.state, heard.priority, "fifo", heard.when))
    return max(said, key=lambda each: each.since, default=Belief(VrrpState.UNKNOWN, 0, "none", 0.0))


def _reported(instance: Instance, sight: Sight) -> Reported | None:
    return next((each for each in sight.answers or () if each.instance == instance.name), None)


def held(instance: Instance, sight: Sight) -> Mapping[Vip, str]:
    """The addresses of `instance` that this node has now, with the interface: with a virtual MAC it is another one."""
    where = {each.address: each.interface for each in sight.assigned or ()}
    return {vip: where[vip.address] for vip in instance.vips if vip.address in where}


def findings(sight: Sight) -> tuple[Finding, ...]:
    """Everything that is wrong, by subject."""
    if sight.assigned is None:
        return tuple(sorted(set(_problems(sight))))
    found = [_problems(sight), _daemon(sight), *(_instance(each, sight) for each in _instances(sight))]
    return tuple(sorted(set(itertools.chain.from_iterable(found))))


def _instances(sight: Sight) -> tuple[Instance, ...]:
    return sight.installation.configuration.instances


def _problems(sight: Sight) -> Iterator[Finding]:
    for problem in sight.installation.configuration.problems:
        subject = f"{problem.object}: {problem.path}" if problem.path else problem.object
        yield Finding(subject, Code.PROBLEM, problem.message, problem.advice)


def _daemon(sight: Sight) -> Iterator[Finding]:
    path = sight.installation.configuration.path
    if sight.installation.daemon is None and _instances(sight):
        yield Finding(path, Code.NOT_RUNNING, "no keepalived runs with it", "start keepalived, or remove the file")
    if sight.hung and sight.installation.daemon is not None:
        advice = f"look at process {sight.installation.daemon.pid} and its children, then restart keepalived"
        yield Finding(path, Code.HUNG, f"keepalived {_NOT_ANSWERING}", advice)


def _instance(instance: Instance, sight: Sight) -> Iterator[Finding]:
    now = belief(instance, sight)
    here = held(instance, sight)
    yield from _state(instance, now, sight)
    if now.settled(sight.now):
        yield from _missing(instance, now, here) if _may_hold(now, sight) else _left_behind(instance, now, here, sight)
    yield from _owners(instance, now, here, sight)
    yield from _dropped(instance, sight)
    yield from _foreign(instance, sight)


def _may_hold(now: Belief, sight: Sight) -> bool:
    """Whether somebody is there who holds the address rightly and would give it up."""
    return now.state is VrrpState.MASTER and not sight.hung and sight.installation.daemon is not None


def _state(instance: Instance, now: Belief, sight: Sight) -> Iterator[Finding]:
    if now.state is VrrpState.FAULT:
        message = f"is in FAULT on this node ({now.source})"
        yield Finding(instance.name, Code.FAULT, message, f"look at {instance.interface} and at what it tracks")
    reported = _reported(instance, sight)
    if sight.answers is not None and (reported is None or _differs(instance, reported)):
        message = f"what keepalived runs is not what stands at {instance.where}"
        advice = "reload keepalived, and look into its log for what it did not take"
        yield Finding(instance.name, Code.NOT_LOADED, message, advice)


def _differs(instance: Instance, reported: Reported) -> bool:
    ours = (instance.vrid, instance.priority, instance.version, instance.nopreempt)
    theirs = (reported.vrid, reported.base_priority, reported.version, reported.nopreempt)
    if {vip.address for vip in instance.vips} != set(reported.vips):
        return True
    return ours != theirs or abs(instance.advert_interval - reported.advert_interval) > 0.005


def _missing(instance: Instance, now: Belief, here: Mapping[Vip, str]) -> Iterator[Finding]:
    for vip in instance.vips:
        if vip not in here:
            message = f"{instance.name} is MASTER ({now.source}), and the address is not on {vip.interface}"
            yield Finding(vip.address, Code.MASTER_WITHOUT_VIP, message, "look for what removed it: networkd, a person")


def _left_behind(instance: Instance, now: Belief, here: Mapping[Vip, str], sight: Sight) -> Iterator[Finding]:
    said = "keepalived does not run" if sight.installation.daemon is None else f"{instance.name} is {now.state}"
    said = f"keepalived {_NOT_ANSWERING}" if sight.hung else said
    for vip, interface in here.items():
        advice = f"remove it: ip address del {vip.address}/{vip.prefix} dev {interface}"
        yield Finding(vip.address, Code.VIP_WITHOUT_MASTER, f"is on {interface}, and {said}", advice)


def _owners(instance: Instance, now: Belief, here: Mapping[Vip, str], sight: Sight) -> Iterator[Finding]:
    for vip in instance.vips:
        others = sight.owners.get(vip.address)
        if others is None:
            continue
        if len(others) + (vip in here) > 1:
            named = ", ".join(sorted(others))
            message = f"is claimed {'by this node and ' if vip in here else ''}by {named}"
            yield Finding(vip.address, Code.DUPLICATE_OWNER, message, "see which of them is MASTER; stop the other")
        elif not others and vip not in here and sight.now - now.since > GRACE + instance.takeover:
            message = f"nobody on the link of {vip.interface} has it"
            yield Finding(vip.address, Code.UNOWNED, message, "look at keepalived on the other nodes")


def _dropped(instance: Instance, sight: Sight) -> Iterator[Finding]:
    """Addresses that another program took away, whether or not keepalived has put them back since."""
    vips = {vip.address for vip in instance.vips}
    for each in sight.removals:
        if each.address in vips and sight.now - each.when < RECENT:
            advice = f"have it leave {each.interface} alone: it must not manage what keepalived does"
            yield Finding(each.address, Code.DROPPED, f"was removed from {each.interface} by {each.by}", advice)


def _foreign(instance: Instance, sight: Sight) -> Iterator[Finding]:
    """Adverts with our VRID from somebody who is no peer. IPv4 and IPv6 have VRIDs of their own (RFC 9568, 5.2.3)."""
    if instance.peers:
        is_ipv6 = ":" in instance.peers[0]
        sources = {each.source for each in sight.adverts if each.vrid == instance.vrid}
        others = {source for source in sources if (":" in source) is is_ipv6} - set(instance.peers)
    else:  # without a list of peers anybody may be one: only who claims to be MASTER beside us is not
        others = set()
    if others - {instance.source}:
        message = f"VRID {instance.vrid} is used by {', '.join(sorted(others))}, which is no peer"
        yield Finding(instance.name, Code.FOREIGN_VRID, message, "choose another virtual_router_id, on all nodes")
