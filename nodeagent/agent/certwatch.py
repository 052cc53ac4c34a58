"""Certificates as a job of the daemon: follows them, and says how they are on the node and in the cluster."""

from __future__ import annotations

import datetime
import json
import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Final

from nodeagent.agent.certificates import Inspector, inspector_of
from nodeagent.agent.certrotator import LEASE, Rotator
from nodeagent.agent.jobs import Context, Loop
from nodeagent.agent.turn import Turn
from nodeagent.agent.workplace import opened
from nodeagent.certs.findings import Finding
from nodeagent.certs.monitor import NAME, Audience, CertificateMonitor, Look, Pace, inventory_document
from nodeagent.certs.series import COLUMNS, series
from nodeagent.engine.controller import Controller
from nodeagent.telemetry.metrics.tables import Tables, rows

CONFIG_MAP: Final = "node-local-certs-"  # and the node's name
_KEY: Final = "certificates.json"
_MOST: Final = 1000  # certificates in the ConfigMap, which holds 1 MiB
_WORK: Final = 1800.0  # seconds that a look may take, beside the time between two: a renewal that is taken back
_IDLE: Final = 8 * 3600.0  # seconds between two beats of the writer of the ConfigMap


@contextmanager
def certificates(context: Context) -> Iterator[Sequence[Loop]]:
    """The loop, and in a cluster that of the ConfigMap."""
    settings = context.place.settings
    tables = Tables(context.registry, COLUMNS)
    written, loops = _published(context)

    def looked(look: Look) -> None:
        tables.show(rows(series(look.inventory, look.answers)))
        written(look)

    # A place of its own: directories that one thread has open are no other thread's to close.
    with opened(settings) as place, closing_turn(context) as turn:
        inspector = inspector_of(settings, place.tree)
        rotator = Rotator(replace(context, place=place), inspector, turn)
        tends = [rotator.tend, *_serving(replace(context, place=place), inspector)]
        if not (settings.certs.rotate and place.node.running):
            tends = []
        audience = Audience(
            context.reporter, context.events, looked, lambda look: tuple(each for tend in tends for each in tend(look))
        )
        monitor = CertificateMonitor(
            inspector,
            audience,
            Pace(settings.certs.interval, settings.certs.probe_interval),
            lambda: datetime.datetime.now(datetime.UTC),
            time.monotonic,
            lambda: place.node.running,
        )
        loop = Controller(NAME, monitor.tick, context.watcher, random.Random())  # noqa: S311 - jitter, no secret
        yield [Loop(loop, settings.certs.interval + _WORK), *loops]


def _serving(context: Context, inspector: Inspector) -> Iterator[Callable[[Look], tuple[Finding, ...]]]:
    """What asks the cluster for the kubelet's serving certificate, if anything does."""
    if context.membership is None or not context.place.settings.certs.request_serving:
        return
    from nodeagent.agent.servingcertificate import (  # noqa: PLC0415 - the API's client, only in a cluster
        ServingCertificate,
    )

    yield ServingCertificate(context, inspector, context.membership.cluster.raw_node).tend


@contextmanager
def closing_turn(context: Context) -> Iterator[Turn]:
    """This node's turn to renew, given back at the end."""
    turn = Turn.of(context, LEASE, "renews its certificates")
    try:
        yield turn
    finally:
        turn.give_back()


def _published(context: Context) -> tuple[Callable[[Look], None], Sequence[Loop]]:
    """What writes the ConfigMap, if there is one to write, and its loop."""
    settings, member = context.place.settings, context.membership
    if member is None or not settings.certs.report_namespace:
        return lambda _look: None, ()
    from nodeagent.kube.configmaps import ConfigMapWriter  # noqa: PLC0415 - the API's client, only in a cluster

    writer = ConfigMapWriter(
        member.connection,
        settings.certs.report_namespace,
        CONFIG_MAP + settings.node_name,
        "certs-configmap",
        context.watcher,
        random.Random(),  # noqa: S311 - jitter, no secret
    )

    def written(look: Look) -> None:
        if member.admitted:
            document = inventory_document(look, settings.node_name, _MOST)
            writer.publish({_KEY: json.dumps(document, indent=1)})

    return written, [Loop(writer.loop, _IDLE)]
