"""Looks at everything that a node needs for the agent's work, with the adapters that the work itself uses."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from functools import partial
from typing import Final

from nodeagent import __version__
from nodeagent.doctor import api, kernel, privileges, storage
from nodeagent.doctor.check import Check, Finding, failure, judged, not_applicable, warning
from nodeagent.doctor.examination import Look, examine
from nodeagent.host import vitals
from nodeagent.host.clock import kernel_clock
from nodeagent.host.systemd import Systemd
from nodeagent.host.tree import Tree
from nodeagent.host.vrrp import VrrpHost
from nodeagent.settings import Settings
from nodeagent.vip.findings import Code
from nodeagent.vip.findings import Finding as VipFinding
from nodeagent.vip.inventory import CONFIG, installations
from nodeagent.vip.observe import observe
from nodeagent.vip.truth import Sight, findings

SYSTEMD: Final = "systemd"
OVN: Final = "ovn"
KEEPALIVED: Final = "keepalived"

_ANSWER: Final = 5.0  # seconds for one question to systemd, the API server, the northbound database
_CLUSTER: Final = 30.0  # seconds for all questions to a cluster
_UNIT: Final = "basic.target"
_PROGRAM: Final = "usr/sbin/keepalived"


def diagnosis(settings: Settings) -> tuple[Check, ...]:
    """One check of each aspect. Nothing is changed but for probe files in the state directory."""
    looks: list[Look] = [
        Look(privileges.NAME, lambda: privileges.privileges(vitals.rights())),
        Look(storage.MOUNTS, partial(_mounts, settings)),
        Look(kernel.FANOTIFY, partial(_fanotify, settings)),
        Look(storage.RENAME, partial(_rename, settings)),
        Look(SYSTEMD, partial(_systemd, settings), advice="see whether PID 1 and the system bus work (systemctl)"),
        Look(api.NAME, partial(_api, settings), _CLUSTER, "see cluster.kubeconfig, and the way to the API server"),
        Look(OVN, partial(_ovn, settings), _CLUSTER, "see egress.northbound, and the way to the database"),
        Look(KEEPALIVED, partial(_keepalived, settings)),
        Look(kernel.CLOCK, lambda: kernel.clock(kernel_clock())),
        Look(storage.DISK, partial(_disk, settings)),
    ]
    return examine(looks)


def _needed(settings: Settings) -> Sequence[str]:
    return tuple(dict.fromkeys((*storage.VITAL, settings.state_dir)))


def _mounts(settings: Settings) -> Check:
    found = vitals.file_systems(settings.root, (*_needed(settings), *storage.SELDOM))
    root = vitals.root(settings.root)
    return storage.mounts(root, found, state_dir=settings.state_dir, in_cluster=settings.cluster.enabled)


def _fanotify(settings: Settings) -> Check:
    with Tree(settings.root) as tree:
        paths = [tree.outside(each) for each in ("/etc/systemd/system", "/etc/nodeagent/any")]
    return kernel.fanotify(vitals.unnamed(paths))


def _rename(settings: Settings) -> Check:
    probed = vitals.renames(settings.root, settings.state_dir)
    found = vitals.file_systems(settings.root, _needed(settings))
    return storage.rename(probed, found, state_dir=settings.state_dir)


def _disk(settings: Settings) -> Check:
    inside = vitals.file_systems(settings.root, (*_needed(settings), *storage.SELDOM))
    outside = vitals.file_systems("/", [settings.run_dir])
    return storage.disk((*inside, *outside))


def _systemd(settings: Settings) -> Check:
    with Tree(settings.root) as tree:
        live, run = tree.live(), tree.outside("/run")
    if not live:
        return not_applicable(SYSTEMD, f"{settings.root} is not the root of the running system")
    systemd = Systemd(_ANSWER, run)
    if not systemd.running():
        booted = warning("this node was not booted with systemd", "units and reboots need it; files do not")
        return judged(SYSTEMD, [booted], "")
    state = systemd.states([_UNIT])[_UNIT]
    return judged(SYSTEMD, (), f"it answers over D-Bus; {_UNIT} is {state.active}")


def _api(settings: Settings) -> Check:
    if not settings.cluster.enabled:
        return not_applicable(api.NAME, "cluster.enabled is false")
    from nodeagent.kube.access import Access  # noqa: PLC0415 - the API's client, only in a cluster
    from nodeagent.kube.connection import connect  # noqa: PLC0415

    connection = connect(settings.cluster.kubeconfig, f"nodeagent-doctor/{__version__}")
    needed = api.permissions(settings.certs.report_namespace, settings.coordinator.namespace)
    try:
        return api.api(Access(connection, _ANSWER), settings.node_name, needed)
    finally:
        connection.close()


def _ovn(settings: Settings) -> Check:
    remotes = settings.egress.northbound
    if not remotes:
        return not_applicable(OVN, "egress.northbound names no database")
    from nodeagent.agent.northbound import opened  # noqa: PLC0415 - OVSDB's client, by need

    with opened(settings, remotes) as link, link.view():
        return judged(OVN, (), f"the northbound database answers at {remotes}")


def _keepalived(settings: Settings) -> Check:
    with VrrpHost(settings.root) as host:
        now = time.time()
        live = host.live()
        sights = observe(host, now, probe=False) if live else [Sight(each, now, None) for each in installations(host)]
    if not sights:
        program = os.path.exists(os.path.join(settings.root, _PROGRAM))
        return not_applicable(KEEPALIVED, f"it neither runs nor has a {CONFIG}" if program else "it is not installed")
    found = [_said(each) for sight in sights for each in findings(sight)]
    named = ", ".join(each.installation.configuration.path for each in sights)
    return judged(KEEPALIVED, found, f"it runs with {named}" if live else f"it is set up by {named}")


def _said(found: VipFinding) -> Finding:
    found_as = failure if found.code in (Code.NOT_RUNNING, Code.HUNG) else warning
    return found_as(f"{found.subject}: {found.message}", found.advice or "see nodeagent vip check")
