"""The loop that approves what kubelets ask for: looks at what waits, judges it, approves what nothing speaks against.

Invariant: nothing is ever denied; what is not approved waits for an administrator, with an Event that says why. A
request is approved as it was judged or not at all, and only while this process leads and approval is switched on.
"""

from __future__ import annotations

import datetime
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from nodeagent.certs.approval import Site, objections
from nodeagent.certs.signing import SigningRequest
from nodeagent.errors import NodeAgentError

NAME: Final = "certificates"

_log = logging.getLogger(__name__)

_IDLE: Final = 60.0  # seconds between two rounds
_PATIENCE: Final = datetime.timedelta(seconds=30)  # before it is told why: the Node of a new node comes a little later
_TOLD: Final = 20  # Events of one round: whoever may ask can ask often

APPROVED_REASON: Final = "KubeletServing"
APPROVED: Final = "asked for by the node itself, for its own name and addresses and nothing else"


class Cluster(Protocol):
    """The requests for kubelet-serving and the Nodes, from memory, and what is done about the former."""

    def requests(self) -> Iterable[SigningRequest]: ...

    def nodes(self) -> Mapping[str, frozenset[str]]:
        """The alternative names that each Node's addresses make."""
        ...

    def approve(self, request: SigningRequest, reason: str, message: str) -> bool:
        """Approve the request as it is; False where it has changed or is gone."""
        ...

    def tell(self, request: SigningRequest, message: str) -> None:
        """Write an Event about a request that is not approved."""
        ...


@dataclass(frozen=True)
class Verdict:
    """A request that waits, since how many seconds, and what speaks against it."""

    request: SigningRequest
    age: float
    objections: tuple[str, ...]


@dataclass(frozen=True)
class Terms:
    """Whether anything is approved at all, and the longest lifetime (seconds) that may be asked for."""

    approving: bool
    longest: float


class Approver:
    """Works while `leading` says so; `approved` is called for each request that was."""

    def __init__(
        self,
        cluster: Cluster,
        terms: Terms,
        leading: Callable[[], bool],
        clock: Callable[[], datetime.datetime],
        approved: Callable[[], None],
    ) -> None:
        self._cluster = cluster
        self._terms = terms
        self._leading = leading
        self._clock = clock
        self._approved = approved
        self._done: dict[str, str] = {}  # by uid: the version that was approved, which the watch may still show
        self._told: dict[str, tuple[str, ...]] = {}  # by uid: what was last said against it
        self.verdicts: tuple[Verdict, ...] = ()

    def tick(self) -> float:
        """One round; the seconds to the next."""
        self.verdicts = self._judged() if self._leading() else ()
        failures = [error for each in self.verdicts if (error := self._settle(each)) is not None]
        self._tell()
        if failures:
            raise failures[0]
        return _IDLE

    def _judged(self) -> tuple[Verdict, ...]:
        now, site = self._clock(), Site.of(self._cluster.nodes(), self._terms.longest)
        requests = {each.uid: each for each in self._cluster.requests()}
        self._done = {uid: version for uid, version in self._done.items() if uid in requests}
        waiting = [each for each in requests.values() if not each.settled and self._done.get(each.uid) != each.version]
        self._told = {each.uid: self._told[each.uid] for each in waiting if each.uid in self._told}
        return tuple(
            Verdict(each, max(0.0, (now - each.created).total_seconds()), objections(each, site))
            for each in sorted(waiting, key=lambda each: (each.created, each.name))
        )

    def _settle(self, verdict: Verdict) -> NodeAgentError | None:
        """Approve what may be approved; what went wrong with it."""
        request = verdict.request
        if verdict.objections or not self._terms.approving or not self._leading():
            return None
        try:
            if self._cluster.approve(request, APPROVED_REASON, APPROVED):
                self._done[request.uid] = request.version
                self._approved()
                _log.info("approved a serving certificate", extra=_about(request))
        except NodeAgentError as error:
            _log.warning("a request could not be approved", extra=_about(request) | {"reason": str(error)})
            return error
        return None

    def _tell(self) -> None:
        """Say once what speaks against each request, to a few in one round."""
        news = [
            each
            for each in self.verdicts
            if each.objections
            and each.age >= _PATIENCE.total_seconds()
            and self._told.get(each.request.uid) != each.objections
        ]
        for verdict in news[:_TOLD] if self._terms.approving and self._leading() else ():
            message = "left for an administrator: " + "; ".join(verdict.objections)
            self._cluster.tell(verdict.request, message)
            self._told[verdict.request.uid] = verdict.objections
            _log.warning("not approved", extra=_about(verdict.request) | {"reason": message})


def _about(request: SigningRequest) -> dict[str, str]:
    return {"request": request.name, "requester": request.username}
