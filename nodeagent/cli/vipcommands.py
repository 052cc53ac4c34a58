"""What the commands of `nodeagent vip` do; loaded when one of them runs."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

from nodeagent.cli import show
from nodeagent.cli.codes import OK, PENDING
from nodeagent.cli.machineconfig import settings_of
from nodeagent.host.livez import PORT, HealthServer
from nodeagent.host.trackfile import TRACK, TrackFile
from nodeagent.host.vrrp import VrrpHost
from nodeagent.settings import Settings
from nodeagent.vip.configuration import Configuration, Instance
from nodeagent.vip.handover import VipHandover
from nodeagent.vip.inventory import CONFIG, Installation, installations
from nodeagent.vip.observe import observe
from nodeagent.vip.setup import FIFO
from nodeagent.vip.truth import Sight, belief, findings, held


def status_command(arguments: argparse.Namespace) -> int:
    """Show it; without keepalived the job is off, which is healthy."""
    settings = settings_of(arguments)
    sights = _sights(settings, probe=False)
    if arguments.output == "json":
        show.emit({"enabled": bool(sights), "installations": [_document(each, settings) for each in sights]})
    elif not sights:
        print(_OFF)
    else:
        print("\n".join(line for each in sights for line in _lines(each, settings)))
    return OK


def check_command(arguments: argparse.Namespace) -> int:
    """Print what is wrong; 3 if anything is."""
    settings = settings_of(arguments)
    sights = _sights(settings, probe=True)
    found = [finding for sight in sights for finding in findings(sight)]
    if arguments.output == "json":
        show.emit({"enabled": bool(sights), "findings": [each.facts() for each in found]})
    elif not sights:
        print(_OFF)
    else:
        print("\n".join(map(str, found)) or "nothing is wrong with the VIP")
    return PENDING if found else OK


def drain_command(arguments: argparse.Namespace) -> int:
    """Hand the VIP over; Transient if it does not move."""
    settings = settings_of(arguments)
    port = settings.vip.endpoint.port if settings.vip.endpoint else PORT

    def well(peer: str) -> bool:
        """The API server of a peer could take the traffic."""
        with closing(HealthServer(peer, port, _PEER_TIMEOUT)) as server:
            return not server.complaint("/readyz")

    run_dir = settings.run_dir
    with VrrpHost() as host:
        handover = VipHandover(host, TrackFile(run_dir), f"{run_dir}/{TRACK}", well, force=arguments.force)
        handover.prepare("the drain", arguments.timeout)
    print("this node is out of the election; `nodeagent vip resume` brings it back")
    return OK


def resume_command(arguments: argparse.Namespace) -> int:
    """End a drain; the VIP comes back if this node is well and its peers' rules let it."""
    TrackFile(settings_of(arguments).run_dir).end_drain()
    print("this node stands for election again")
    return OK


_PEER_TIMEOUT = 2.0  # seconds
_OFF = f"off: no keepalived runs here, and there is no {CONFIG}"


def _sights(settings: Settings, *, probe: bool) -> tuple[Sight, ...]:
    """What is seen now; below another root nothing runs, and only files are looked at."""
    with VrrpHost(settings.root) as host:
        now = time.time()
        if host.live():
            return observe(host, now, probe=probe)
        return tuple(Sight(each, now, None) for each in installations(host))


def _fifo(settings: Settings) -> str:
    """The FIFO that the daemon reads."""
    return f"{settings.run_dir}/{FIFO}"


def _document(sight: Sight, settings: Settings) -> dict[str, Any]:
    installation = sight.installation
    found = installation.configuration
    return {
        "config": found.path,
        "files": list(found.files),
        "daemon": vars(installation.daemon) if installation.daemon else None,
        "balancer": installation.balancer,
        "routerId": found.router_id,
        "fifos": [each.path for each in found.fifos],
        "fifoRead": found.tells(_fifo(settings)),
        "trackFiles": [vars(each) for each in found.track_files],
        "virtualServers": found.virtual_servers,
        "instances": [each.facts() | _state(each, sight) for each in found.instances],
        "problems": [vars(each) for each in found.problems],
    }


def _state(instance: Instance, sight: Sight) -> dict[str, Any]:
    """State, with its source and since when (seconds since the epoch); and the addresses that are here."""
    now = belief(instance, sight)
    here = [vip.address for vip in held(instance, sight)]
    return {
        "state": now.state,
        "source": now.source,
        "since": now.since,
        "effectivePriority": now.priority,
        "held": here,
    }


def _lines(sight: Sight, settings: Settings) -> Iterator[str]:
    installation, found = sight.installation, sight.installation.configuration
    yield f"config      {found.path}" + (" (beside the alive.yaml of a load balancer)" if installation.balancer else "")
    yield f"daemon      {_daemon(installation)}{', does not answer' if sight.hung else ''}"
    yield from _fifo_lines(found, settings)
    for each in found.instances:
        now = belief(each, sight)
        here = held(each, sight)
        yield f"instance    {each.name}: {now.state} with priority {now.priority} ({now.source})"
        yield f"            VRID {each.vrid} on {each.interface}, base priority {each.priority}"
        yield f"            VRRP version {each.version}, advert each {each.advert_interval:g} s" + (
            ", nopreempt" if each.nopreempt else ""
        )
        yield f"            {'unicast to ' + ', '.join(each.peers) if each.peers else 'multicast'}"
        yield from (f"            {vip}{' (here)' if vip in here else ''}" for vip in each.vips)


def _fifo_lines(found: Configuration, settings: Settings) -> Iterator[str]:
    """Which FIFOs there are, and what it means that none of them is ours to read."""
    ours = _fifo(settings)
    for each in found.fifos:
        yield f"fifo        {each.path}" + ("" if each.path == ours else " (somebody else's, so not read)")
    if found.instances and not found.tells(ours):
        pause = f"{settings.vip.probe_interval:g} s (vip.probe_interval)"
        yield f"            a transition that moves no address is seen within {pause}"


def _daemon(installation: Installation) -> str:
    daemon = installation.daemon
    if daemon is None:
        return "not running"
    where = f"container {daemon.container[:12]}" if daemon.container else daemon.unit or "started by hand"
    return f"process {daemon.pid}, {where}" + ("" if daemon.dumps else ", built without JSON")
