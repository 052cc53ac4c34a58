"""One node with its adapters and its job, as commands and the daemon need it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nodeagent.engine.executor import Executor
from nodeagent.engine.journal import Journal
from nodeagent.host import sources
from nodeagent.host.effects import LocalEffects
from nodeagent.host.fetch import Fetcher
from nodeagent.host.local import LocalNode
from nodeagent.host.store import Store
from nodeagent.host.systemd import Systemd
from nodeagent.host.tree import Tree
from nodeagent.machineconfig.applied import Applied, Subject
from nodeagent.machineconfig.disruption import Policy
from nodeagent.machineconfig.job import Intent, Job, Remit, Retention
from nodeagent.settings import Settings

if TYPE_CHECKING:
    from nodeagent.machineconfig.source import Documents

VIP_RECORD = "vip.json"  # in the state directory: what `vip configure` has set up, and what stood there before
_ANSWER = 10.0  # seconds that systemd may take to tell of units; carrying out an action may take longer


@dataclass(frozen=True)
class Workplace:
    """One node, ready to be worked on. `systemd` carries out actions, `informant` only tells of units."""

    settings: Settings
    tree: Tree
    store: Store
    node: LocalNode
    systemd: Systemd
    informant: Systemd
    job: Job
    clock: Callable[[], float] = time.time


@contextmanager
def opened(settings: Settings) -> Iterator[Workplace]:
    """The node that `settings` describe. Nothing is written, not even the state directory made, before it is locked."""
    with Tree(settings.root) as tree:
        store = Store(tree, settings.state_dir)
        try:
            yield _assemble(settings, tree, store)
        finally:
            store.close()


def _assemble(settings: Settings, tree: Tree, store: Store) -> Workplace:
    run = tree.outside("/run")
    systemd = Systemd(settings.apply.unit_timeout, run)
    fetcher = Fetcher(store, settings.fetch.timeout, settings.fetch.max_bytes)
    informant = Systemd(min(_ANSWER, settings.apply.unit_timeout), run)
    node = LocalNode(tree, store, fetcher, informant)
    effects = LocalEffects(tree, f"{store.path}/originals", systemd, settings.certs.restart_timeout)
    remit = Remit(settings.user, lambda: {**_renewed(settings), **_set_up(store)})
    retention = Retention(settings.generations.keep, settings.generations.max_bytes)

    def executor() -> Executor:
        return Executor(Journal(store.prepare()), effects, node.boot)

    job = Job(node, store, effects.check, executor, remit, retention)
    return Workplace(settings, tree, store, node, systemd, informant, job)


def _renewed(settings: Settings) -> Mapping[str, str]:
    """Paths that the agent's own renewals write, by owner."""
    if not settings.certs.rotate:
        return {}
    from nodeagent.certs.catalog import renewed_paths  # noqa: PLC0415 - by need

    return dict.fromkeys(renewed_paths(), "the agent's renewal of certificates (certs.rotate)")


def _set_up(store: Store) -> Mapping[str, str]:
    """Paths that `nodeagent vip configure` has written, by owner."""
    data = store.read(VIP_RECORD)
    entries = Applied.decode(data, VIP_RECORD).entries if data is not None else {}
    ours = (path for path, entry in entries.items() if entry.subject is not Subject.PARENT)
    return dict.fromkeys(ours, "nodeagent vip configure")


def intent(paths: list[str], pool: str) -> tuple[Intent, Documents]:
    """What the sources ask for, and everything that was found in them; Rejected with every problem."""
    from nodeagent.machineconfig.render import render  # noqa: PLC0415 - YAML and the Ignition model, by need
    from nodeagent.machineconfig.source import load  # noqa: PLC0415

    found = load(sources.read(paths))
    policy = found.policy.policy if found.policy is not None else Policy()
    return Intent(render(found.machine_configs, pool), policy), found


def default_source(settings: Settings) -> list[str]:
    """The configured source directory, if it is there."""
    return [settings.source] if os.path.exists(settings.source) else []
