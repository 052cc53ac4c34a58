"""The coordinator: many of them may run, and of each role one works, by Lease."""

from __future__ import annotations

import logging
import os
import random
import secrets
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Final

from nodeagent import __version__
from nodeagent.agent.fare import LoopWatcher
from nodeagent.agent.poolsrole import pools
from nodeagent.agent.process import end, ending_on_crash, served
from nodeagent.agent.roles import Duty, Office, Role
from nodeagent.agent.signing import certificates
from nodeagent.agent.viprole import referee
from nodeagent.engine.controller import Controller
from nodeagent.errors import Broken
from nodeagent.kube.connection import Connection, connect
from nodeagent.kube.leases import Election, Seat
from nodeagent.settings import Settings
from nodeagent.telemetry.health import Beats
from nodeagent.telemetry.metrics.agent import AgentMetrics
from nodeagent.telemetry.metrics.registry import Registry

_log = logging.getLogger(__name__)


def _egress(office: Office) -> Duty:
    from nodeagent.agent.egressrole import egress  # noqa: PLC0415 - OVSDB's client, which other roles do without

    return egress(office)


def _encryption(office: Office) -> Duty:
    from nodeagent.agent.encryption import encryption  # noqa: PLC0415 - what looks at certificates, by need

    return encryption(office)


ROLES: Final[Mapping[str, Role]] = {
    "pools": pools,
    "vip": referee,
    "certificates": certificates,
    "egress": _egress,
    "encryption": _encryption,
}

_BURST: Final = 0.1  # seconds in which changes count as one
_GLANCE: Final = 15.0  # seconds between two looks at the loops and elections


def run(settings: Settings, roles: Sequence[str], stop: threading.Event) -> None:
    """Work these roles until `stop` is set. Broken if a thread crashes or a round does not end."""
    connection = connect(settings.cluster.kubeconfig, f"nodeagent-coordinator/{__version__}")
    identity = f"{os.uname().nodename}_{secrets.token_hex(4)}"
    beats, registry = Beats(), Registry(__version__)
    desk = _Desk(settings, connection, registry, LoopWatcher(AgentMetrics(registry), beats, roles[0]), identity, stop)
    with ExitStack() as stack:
        stack.enter_context(ending_on_crash(stop))
        stack.enter_context(served(settings, beats, registry, health_beside_metrics=True))
        threading.Thread(target=_guard, args=(beats, stop), name="watchdog", daemon=True).start()
        loops = [stack.enter_context(_worked(name, desk)) for name in roles]
        _log.info("started", extra={"version": __version__, "role": ", ".join(roles), "identity": identity})
        stop.wait()
        end(loops)


@dataclass(frozen=True)
class _Desk:
    """What the roles of one process share."""

    settings: Settings
    connection: Connection
    registry: Registry
    watcher: LoopWatcher
    identity: str
    stop: threading.Event


@contextmanager
def _worked(name: str, desk: _Desk) -> Iterator[Controller]:
    """The running loop of the role `name`, with what it follows and its election."""
    changed = threading.Event()
    seat = Seat(desk.settings.coordinator.namespace, f"nodeagent-{name}", desk.identity)
    election = Election(desk.connection, seat, changed.set, changed.set, random.Random())  # noqa: S311 - no secret
    duties: list[Duty] = []

    def leading() -> bool:
        return election.leading and all(followed.synced for duty in duties for followed in duty.follows)

    duty = ROLES[name](Office(desk.settings, desk.connection, desk.registry, changed.set, leading))
    duties.append(duty)
    loop = Controller(name, duty.round, desk.watcher, random.Random())  # noqa: S311 - jitter, no secret
    desk.watcher.expect(name, duty.allowance)
    threading.Thread(target=_relay, args=(changed, loop, election, desk.stop), name=f"wake {name}", daemon=True).start()
    with ExitStack() as stack:
        for followed in duty.follows:
            desk.watcher.expect_watch(followed.path.rpartition("/")[2], followed.age)
            followed.start()
            stack.callback(followed.close)
        stack.callback(election.close)  # after the loop has ended: another may lead at once
        election.start()
        loop.start()
        yield loop


def _relay(changed: threading.Event, loop: Controller, election: Election, stop: threading.Event) -> None:
    """Wake the loop for what has changed, a burst of changes once; log what keeps it from being elected."""
    told: tuple[str, ...] = ()
    while not stop.is_set():
        if changed.wait(_GLANCE):
            stop.wait(_BURST)
            changed.clear()
            loop.wake()
        found = election.problems()
        if found and found != told:
            _log.warning("cannot be elected", extra={"role": loop.name, "error": "; ".join(found)})
        told = found


def _guard(beats: Beats, stop: threading.Event) -> None:
    """End the process when a loop is stuck: it would hold its Lease for ever."""
    while not stop.wait(_GLANCE):
        if stuck := beats.stuck():
            raise Broken(f"the loop {', '.join(stuck)} does not turn any more")
