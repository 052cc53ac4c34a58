"""The daemon: one thread a controller, watches that wake them, a watchdog that notices when one is stuck."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial

from nodeagent import __version__
from nodeagent.agent import recovery
from nodeagent.agent.announcer import NoEvents
from nodeagent.agent.certwatch import certificates
from nodeagent.agent.chronicle import Chronicle
from nodeagent.agent.configuration import by_sources, configuration
from nodeagent.agent.gateways import gateways
from nodeagent.agent.jobs import Context, Job, Loop
from nodeagent.agent.process import end, ending_on_crash, served
from nodeagent.agent.vip import vip
from nodeagent.agent.workplace import Workplace, opened
from nodeagent.certs.monitor import NAME as CERTS
from nodeagent.egress.node.keeper import NAME as EGRESS
from nodeagent.engine.handover import Handover
from nodeagent.errors import Broken
from nodeagent.machineconfig.controller import NAME
from nodeagent.settings import Settings
from nodeagent.telemetry.health import Beats
from nodeagent.telemetry.metrics.agent import AgentMetrics
from nodeagent.telemetry.metrics.registry import Registry
from nodeagent.telemetry.notify import Notifier, Watchdog
from nodeagent.vip.controller import NAME as VIP

_log = logging.getLogger(__name__)

_SHUTDOWN = 20.0  # seconds that a loop may take to end what it does


def run(settings: Settings, sources: Sequence[str], stop: threading.Event) -> None:
    """Run until `stop` is set. Broken if another daemon runs on this node, an address is taken or a thread crashes."""
    with ExitStack() as stack:
        stack.enter_context(ending_on_crash(stop))
        place = stack.enter_context(opened(settings))
        stack.enter_context(place.store.locked(0, "daemon.lock"))
        recovery.prepare(place)
        _make_run_dir(settings.run_dir)
        beats, notifier, registry = Beats(), Notifier.taken_from(os.environ), Registry(__version__)
        gauges = AgentMetrics(registry)
        chronicle = Chronicle(gauges, beats, notifier, settings.run_dir, settings.node_name, NAME)
        loops = stack.enter_context(_jobs(place, sources, chronicle, registry, stop))
        stack.enter_context(served(settings, beats, registry))
        watchdog = Watchdog(notifier, beats)
        watchdog.start()
        stack.callback(watchdog.close)
        for loop in loops:
            chronicle.expect(loop.controller.name, loop.allowance)
            loop.controller.start()
        _log.info("started", extra={"version": __version__, "root": settings.root, "sources": ", ".join(sources)})
        stop.wait()
        notifier.stopping()
        end([loop.controller for loop in loops])


@contextmanager
def _jobs(
    place: Workplace, sources: Sequence[str], chronicle: Chronicle, registry: Registry, stop: threading.Event
) -> Iterator[Sequence[Loop]]:
    """The loops of all jobs, in a cluster or on a host of its own."""
    handover = Handover()
    with ExitStack() as stack:
        if place.settings.cluster.enabled:
            from nodeagent.agent.membership import membership  # noqa: PLC0415 - the API's client, only in a cluster

            joined = stack.enter_context(membership(place, chronicle, stop))
            context = Context(place, chronicle, joined.reporter, joined.events, registry, handover, joined)
            declared = joined.declared
        else:
            context = Context(place, chronicle, chronicle, NoEvents(), registry, handover, None)
            declared = by_sources(sources, place.settings.pool)
        jobs: Mapping[str, Job] = {
            NAME: partial(configuration, declared=declared),
            CERTS: certificates,
            VIP: vip,
            EGRESS: gateways,
        }
        loops: list[Loop] = []
        for name, job in jobs.items():
            chronicle.expect_job(name)
            loops += stack.enter_context(job(context))
        yield loops


def _make_run_dir(path: str) -> None:
    try:
        os.makedirs(path, mode=0o755, exist_ok=True)
    except OSError as error:
        raise Broken(f"{path}: cannot be made: {error.strerror}; set run_dir to a directory that can") from error
