"""Takes back what the agent has left outside of its own files, on this node or in a whole cluster.

Invariant: managed files and the state directory stay as they are; nothing is taken away while somebody works who would
write it again. What is left is observed and planned first; a removal that was interrupted is simply begun anew.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Final, assert_never, cast

from nodeagent import __version__
from nodeagent.agent.gateways import remove
from nodeagent.agent.workplace import Workplace, opened
from nodeagent.changes.leavings import (
    ClearNode,
    DeleteObject,
    DeleteRows,
    DropFinalizers,
    EndSilence,
    GiveUpTrackFile,
    Leaving,
    RemoveGateway,
    RemoveRecovery,
    RemoveRunFile,
)
from nodeagent.egress.node.part import PREFIX
from nodeagent.engine.plan import Change, Plan
from nodeagent.errors import Broken, NodeAgentError, Problem, Rejected
from nodeagent.host import namespaces, recovery, silence
from nodeagent.host.drainfile import DrainFiles
from nodeagent.host.trackfile import TrackFile
from nodeagent.settings import Settings
from nodeagent.telemetry.status import NAME as STATUS

if TYPE_CHECKING:  # the API's client, only in a cluster
    from nodeagent.kube.connection import Connection

_DAEMON: Final = "daemon.lock"
_GATEWAYS: Final = re.compile(r"/[a-z-]*egress-?gateways/")  # objects that rows belong to


def node_plan(place: Workplace) -> Plan:
    """What is left of this node's agent."""
    run_dir = place.settings.run_dir
    return Plan.of([*_run_files(run_dir), *_gateways(), *_recovery(place), *_own_node(place.settings)])


def refuse_while_running(place: Workplace) -> None:
    """Broken while the daemon runs."""
    if place.store.is_locked(_DAEMON):
        raise Broken("the daemon runs and would write everything again; first: systemctl disable --now nodeagent")


@contextmanager
def alone(place: Workplace) -> Iterator[None]:
    """Hold the daemon's lock and the host lane, with nothing half done. Transient if somebody else has them.

    Where there is no state directory, nobody ever worked, and none is made.
    """
    try:
        place.tree.directory(place.store.path)
    except FileNotFoundError:
        yield
        return
    with place.store.locked(0, _DAEMON), place.store.locked(place.settings.apply.lock_timeout):
        place.job.recover()
        yield


def _run_files(directory: str) -> Iterator[Leaving]:
    if left := TrackFile(directory).left():
        yield GiveUpTrackFile(directory, left)
    if os.path.lexists(f"{directory}/{STATUS}"):
        yield RemoveRunFile(f"{directory}/{STATUS}")
    yield from map(RemoveRunFile, DrainFiles(directory).left())


def _gateways() -> Iterator[Leaving]:
    """Network namespaces of ours, and rules of ours in those of others, such as Kube-OVN's gateways."""
    ours = frozenset(namespaces.names(PREFIX))
    yield from map(RemoveGateway, sorted(ours))
    with suppress(Broken):  # without libnftables nothing was ever silenced
        yield from (EndSilence(name) for name in silence.silent() if name not in ours)


def _recovery(place: Workplace) -> Iterator[Leaving]:
    if files := recovery.left(place.tree, place.store):
        yield RemoveRecovery(recovery.NAME, files)


def _own_node(settings: Settings) -> Iterator[Leaving]:
    if not settings.cluster.enabled:
        return
    from nodeagent.kube import leavings  # noqa: PLC0415 - the API's client, only in a cluster
    from nodeagent.kube.errors import Missing  # noqa: PLC0415

    with closing(_connected(settings)) as connection, suppress(Missing):
        if found := leavings.on_node(leavings.node(connection, settings.node_name)):
            yield found


def _connected(settings: Settings) -> Connection:
    from nodeagent.kube.connection import connect  # noqa: PLC0415 - as above

    return connect(settings.cluster.kubeconfig, f"nodeagent-uninstall/{__version__}")


def cluster_plan(settings: Settings, now: datetime) -> Plan:
    """What is left in the cluster. Broken, naming all of them, while agents or coordinators work."""
    from nodeagent.agent.certwatch import CONFIG_MAP  # noqa: PLC0415 - as above
    from nodeagent.kube import leavings  # noqa: PLC0415

    namespace, reports = settings.coordinator.namespace, settings.certs.report_namespace
    with closing(_connected(settings)) as connection:
        leases = leavings.leases(connection, namespace)
        working = [f"pod {name}" for name in leavings.pods(connection, namespace)]
        working += [f"{held} (Lease {name})" for name, held in leavings.held(leases, now)]
        if working:
            advice = f"kubectl -n {namespace} delete daemonset,deployment -l app.kubernetes.io/name=nodeagent"
            raise Broken(f"{', '.join(working)} would write everything again; first: {advice}")
        finalizers = tuple(leavings.finalizers(connection))
        _refuse_orphans(settings, finalizers)
        found: list[Leaving] = [*_rows(settings), *finalizers, *_nodes(connection)]
        found += map(leavings.lease_left, leases)
        if reports:
            found += leavings.config_maps(connection, reports, CONFIG_MAP)
        return Plan.of(found)


def _refuse_orphans(settings: Settings, finalizers: Iterable[DropFinalizers]) -> None:
    """Rejected where gateways wait for rows to be deleted, and nobody has said in which database."""
    waiting = [each.subject for each in finalizers if _GATEWAYS.search(each.subject)]
    if waiting and not settings.egress.northbound:
        message = f"names no database, and there are rows of {', '.join(waiting)}"
        raise Rejected([Problem("egress.northbound", "", message, "set it, or give --egress-northbound REMOTE")])


def _nodes(connection: Connection) -> Iterator[Leaving]:
    from nodeagent.kube import leavings, pages  # noqa: PLC0415 - as above
    from nodeagent.observed.nodes import NodeView  # noqa: PLC0415
    from nodeagent.pools.drains import cordoned_by_us  # noqa: PLC0415

    for node in pages.objects(connection, "/api/v1/nodes"):
        if found := leavings.on_node(node, coordinated=True, uncordon=cordoned_by_us(NodeView.of(node))):
            yield found


def _rows(settings: Settings) -> Iterator[Leaving]:
    """Rows of ours, by gateway."""
    if not settings.egress.northbound:
        return
    from nodeagent.agent import northbound  # noqa: PLC0415 - OVSDB's client, by need
    from nodeagent.egress.difference import difference  # noqa: PLC0415
    from nodeagent.egress.rows import NODEAGENT  # noqa: PLC0415

    with northbound.opened(settings, settings.egress.northbound, ports=True) as link, link.view() as seen:
        for owner in sorted(seen.owners()):
            if edits := difference(owner, NODEAGENT, (), seen).edits:
                yield DeleteRows(owner, tuple(edit.describe() for edit in edits))


def carry_out(settings: Settings, plan: Plan, progress: Callable[[Change], None]) -> tuple[str, ...]:
    """Make every change in order; returns what failed, since one failure must not keep the others from it.

    But finalizers stay where rows could not be deleted: without their object nobody would know of the rows any more.
    """
    failures: list[str] = []
    with ExitStack() as stack:
        effects = _Effects(settings, stack)
        for change in plan.changes:
            if failures and isinstance(change, DropFinalizers):
                failures.append(f"did not {change.describe()}, since rows are left")
                continue
            progress(change)
            try:
                effects.make(cast("Leaving", change))
            except (NodeAgentError, OSError) as error:
                failures.append(f"could not {change.describe()}: {error}")
    return tuple(failures)


class _Effects:
    """Makes changes; what one of them is the first to need stays open until `stack` ends."""

    def __init__(self, settings: Settings, stack: ExitStack) -> None:
        self._settings = settings
        self._stack = stack

    @cached_property
    def _connection(self) -> Connection:
        return self._stack.enter_context(closing(_connected(self._settings)))

    @cached_property
    def _place(self) -> Workplace:
        return self._stack.enter_context(opened(self._settings))

    def make(self, change: Leaving) -> None:
        match change:
            case GiveUpTrackFile():
                TrackFile(change.subject).give_up()
            case RemoveRunFile():
                with suppress(FileNotFoundError):
                    os.unlink(change.subject)
            case RemoveGateway():
                remove(self._settings, change.subject)
            case EndSilence():
                silence.unsilence(change.subject)
            case RemoveRecovery():
                place = self._place
                recovery.remove(place.tree, place.store, place.systemd)
            case DeleteRows():
                self._delete_rows(change.subject)
            case ClearNode() | DropFinalizers() | DeleteObject():
                self._change_api(change)
            case _:
                assert_never(change)

    def _change_api(self, change: ClearNode | DropFinalizers | DeleteObject) -> None:
        from nodeagent.kube import leavings  # noqa: PLC0415 - as above

        match change:
            case ClearNode():
                leavings.clear_node(self._connection, change)
            case DropFinalizers():
                leavings.drop_finalizers(self._connection, change)
            case DeleteObject():
                leavings.delete(self._connection, change)

    def _delete_rows(self, owner: str) -> None:
        """Those that are there now: others may have come or gone since the plan was made."""
        from nodeagent.agent import northbound  # noqa: PLC0415 - OVSDB's client, by need
        from nodeagent.egress.difference import difference  # noqa: PLC0415
        from nodeagent.egress.rows import NODEAGENT  # noqa: PLC0415

        with northbound.opened(self._settings, self._settings.egress.northbound, ports=True) as link:
            with link.view() as seen:
                gone = difference(owner, NODEAGENT, (), seen)
            if gone:
                link.commit(gone)
