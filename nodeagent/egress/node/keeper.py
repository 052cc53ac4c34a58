"""Keeps the gateways of this node as their parts say: looks, plans, carries out, and says what came of it.

Invariant: what is as it should be is not touched, so a start of the agent costs no packet; of a gateway that cannot be
brought about no other has to suffer. What no part wants any more is taken away, but nothing while any part cannot be
read: it might be the one that wants it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from nodeagent.changes.kernel import KernelChange, Make
from nodeagent.egress.findings import UP
from nodeagent.egress.node.dataplane import dataplane, difference
from nodeagent.egress.node.part import GatewayPart
from nodeagent.egress.node.speech import Speech
from nodeagent.engine.report import Report, Reporter, State
from nodeagent.errors import NodeAgentError
from nodeagent.observed.kernel import Fact, Port
from nodeagent.observed.nodes import EGRESS_DRAIN, EGRESS_SESSIONS

NAME: Final = "egress"
_NAMED: Final = 3  # problems in the reason


class DataPlane(Protocol):
    """A part of the node that gateways are made of: the kernel, or the ports of its switch."""

    def observe(self, wanted: Collection[Fact]) -> frozenset[Fact]: ...

    def carry_out(self, change: KernelChange) -> None: ...


@dataclass(frozen=True)
class Parts:
    """The parts that this node carries, and what is wrong with those that cannot be read."""

    parts: tuple[GatewayPart, ...] = ()
    problems: tuple[str, ...] = ()


@dataclass(frozen=True)
class Missing:
    """What has to be changed, and for which gateways, by namespace of the kernel."""

    changes: tuple[KernelChange, ...]
    owners: dict[str, str]


def lacking(found: Parts, kernel: DataPlane, switch: DataPlane) -> Missing:
    """What the node lacks, in order; what nobody wants is among it only where every part could be read."""
    wanted = frozenset[Fact]().union(*(dataplane(part) for part in found.parts))
    changes = difference(wanted, kernel.observe(wanted) | switch.observe(wanted))
    owners = {part.namespace: part.owner for part in found.parts}
    if found.problems:
        changes = tuple(each for each in changes if isinstance(each, Make) or each.fact.namespace in owners)
    return Missing(changes, owners)


@dataclass
class Keeper:
    """The gateways of one node. `kernel` and `switch` are told apart by the facts that they know.

    `speech` is what its end of BFD says, `drain` the word of a drain ("" for none); `found` are the
    parts as last read, once it has `looked`.
    """

    parts: Callable[[], Parts]
    kernel: DataPlane
    switch: DataPlane
    reporter: Reporter
    interval: float
    speech: Callable[[], Speech] = Speech
    drain: Callable[[], str] = str
    found: Parts = field(default_factory=Parts)
    looked: bool = False

    def tick(self) -> float:
        """Bring all gateways about and report; returns the seconds until the next look."""
        found = self.found = self.parts()
        missing = lacking(found, self.kernel, self.switch)
        problems = [*found.problems, *self._carry_out(missing)]
        self.looked = True
        self.reporter.publish(_report(found, problems, self.speech(), self.drain()))
        return self.interval

    def _carry_out(self, missing: Missing) -> Iterable[str]:
        """Make the changes; what went wrong. After a failure nothing more is done for that gateway."""
        failed: dict[str, str] = {}
        for change in missing.changes:
            namespace = change.fact.namespace
            if namespace in failed:
                continue
            try:
                self._of(change).carry_out(change)
            except NodeAgentError as error:
                failed[namespace] = f"gateway {missing.owners.get(namespace, namespace)}: {error}"
        return failed.values()

    def _of(self, change: KernelChange) -> DataPlane:
        return self.switch if isinstance(change.fact, Port) else self.kernel


def _report(found: Parts, problems: Sequence[str], speech: Speech, drain: str) -> Report:
    gateways = sorted(part.owner for part in found.parts)
    said = {
        EGRESS_SESSIONS: json.dumps(dict(speech.states), sort_keys=True) if speech.states else None,
        EGRESS_DRAIN: drain or None,
    }
    detail: dict[str, Any] = {
        "enabled": True,
        "gateways": gateways,
        "problems": [*problems, *speech.problems],
        "sessions": dict(speech.states),
        "silent": {owner: quiet.why for owner, quiet in speech.silent.items()},
        "drain": drain,
    }
    down = [f"{address} is {state}" for address, state in sorted(speech.states.items()) if state != UP]
    summary = {"gateways": len(gateways), "problems": len(detail["problems"]), "sessionsDown": len(down)}

    def told(cause: str, reasons: Sequence[str]) -> Report:
        more = f" (and {len(reasons) - _NAMED} more)" if len(reasons) > _NAMED else ""
        reason = "; ".join(reasons[:_NAMED]) + more
        return Report(NAME, State.DEGRADED, reason, cause, detail, summary, said)

    if detail["problems"]:
        return told("GatewayNotInPlace", detail["problems"])
    if speech.silent and not drain:
        cause = max(quiet.cause for quiet in speech.silent.values())  # one word; the reason has all of them
        return told(cause, [f"gateway {owner}: {quiet.why}" for owner, quiet in sorted(speech.silent.items())])
    if down and not drain:
        return told("SessionDown", [f"the BFD session of {each}" for each in down])
    rest = f"{len(gateways)} gateways are in place" if gateways else "this node carries no gateway"
    rest += ", and take no new traffic: the node is drained" if drain and gateways else ""
    cause = "NoGateways" if not gateways else "GatewaysDrained" if drain else "GatewaysInPlace"
    return Report(NAME, State.DONE, "", cause, detail, summary, said, rest)
