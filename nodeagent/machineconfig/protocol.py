"""The node protocol from the agent's side: what it says on its Node, and how it asks for its workloads to leave. Pure.

Source: the annotations of Alauda's machine configuration, the same model as the machine-config-operator's.
"""

from __future__ import annotations

from collections.abc import Callable

from nodeagent.engine.report import Report, State
from nodeagent.machineconfig.controller import Cause
from nodeagent.machineconfig.surroundings import Absence
from nodeagent.observed import nodes
from nodeagent.observed.nodes import NodeView

_REASON_LIMIT = 2000  # characters
_DRAIN = nodes.drain_of("")


def announcement(report: Report) -> dict[str, str]:
    """What the node's annotations have to say after a report of machine configuration.

    `currentConfig` is told only once it is proven: while a reboot is pending it stays what it was.
    """
    said = {
        nodes.STATE: str(report.state),
        nodes.REASON: "" if report.state is State.DONE else _shortened(report.reason),
        nodes.POST_CONFIG_ACTION: nodes.REBOOTING if report.cause == Cause.REBOOTING else "",
    }
    if report.detail["config"] and report.detail["pending"] is None:
        said[nodes.CURRENT_CONFIG] = report.detail["config"]
    return said


def _shortened(reason: str) -> str:
    return reason if len(reason) <= _REASON_LIMIT else reason[: _REASON_LIMIT - 1] + "…"


class DrainRequest:
    """The node's workloads as the annotations have them: asked away by `desiredDrain`, gone by `lastAppliedDrain`.

    `node` gives the last known Node (None before it was ever seen), `ask` has the annotation written; `timeout` is in
    seconds of `clock`, which is monotonic.
    """

    def __init__(
        self,
        node: Callable[[], NodeView | None],
        ask: Callable[[str], None],
        timeout: float,
        clock: Callable[[], float],
    ) -> None:
        self._node = node
        self._ask = ask
        self._timeout = timeout
        self._clock = clock
        self._asked = ""
        self._since = 0.0

    def away(self, config: str) -> Absence:
        """Ask for a drain; gone once the Node says both that it was asked for and that it was done."""
        wanted = nodes.drain_of(config)
        if self._asked != wanted:
            self._asked, self._since = wanted, self._clock()
        self._ask(wanted)
        node = self._node()
        if node is not None and node.said(nodes.DESIRED_DRAIN) == node.said(nodes.LAST_APPLIED_DRAIN) == wanted:
            return Absence.GONE
        return Absence.OVERDUE if self._clock() - self._since > self._timeout else Absence.LEAVING

    def back(self) -> None:
        """Give a drain back, whoever asked for it: an agent before a restart or a reboot as well."""
        node = self._node()
        drained = self._asked or (node.said(nodes.DESIRED_DRAIN) if node is not None else "")
        if drained.startswith(_DRAIN):
            self._asked = nodes.uncordon_of(drained.removeprefix(_DRAIN))
            self._ask(self._asked)
